//! Devices that lie, and whose secrets a lying aggregator knows.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::SecretKey;
use sealsum_test_fleet::Said;

use super::device::{self, Keys, Me, Tell};
use crate::choices::Choices;
use crate::ledger::Ledger;
use crate::tally::Tally;
use crate::world::World;

/// All of them.
pub struct Colluders {
    devices: BTreeMap<usize, Colluder>,
    boldness: u32,
}

struct Colluder {
    lies: Vec<(&'static str, Tell)>,
    keys: Option<Keys>,
    memory: BTreeMap<&'static str, u64>,
}

impl Colluders {
    /// The liars of a world.
    pub fn of(world: &World) -> Self {
        let liars = world.liars.iter().map(|liar| {
            let known = liar.lies.iter().filter_map(|name| device::find(name));
            let lies = known.map(|lie| (lie.name, lie.tell)).collect();
            (liar.device, Colluder { lies, keys: None, memory: BTreeMap::new() })
        });
        Self { devices: liars.collect(), boldness: world.boldness }
    }

    /// A device enters a round; if it is a liar, all that it draws is known.
    pub fn enters(&mut self, device: usize, rng: impl FnOnce() -> ChaCha20Rng) {
        let Some(colluder) = self.devices.get_mut(&device) else { return };
        let mut rng = rng();
        let mask = SecretScalar::random(&mut rng);
        let channel = ExchangeKey::draw(&mut rng);
        let signing = SecretKey::draw(&mut rng);
        colluder.keys = Some(Keys { mask, channel, signing });
        colluder.memory.clear();
    }

    /// The key with which a liar signs in its present round.
    pub fn signing(&self, device: usize) -> Option<&SecretKey> {
        self.devices.get(&device)?.keys.as_ref().map(|keys| &keys.signing)
    }

    /// What a liar says instead.
    pub fn distort(
        &mut self,
        device: usize,
        ledger: &Ledger,
        view: usize,
        _heard: (Option<Stage>, &[u8]),
        said: Vec<Said>,
        (choices, tally): (&mut Choices, &mut Tally),
    ) -> Vec<Said> {
        let Some(Colluder { lies, keys: Some(keys), memory }) = self.devices.get_mut(&device)
        else {
            return said;
        };
        let view = &ledger.views[view];
        let cohort = view.group.map(|group| &ledger.groups[group].cohort);
        let own = view.group.and_then(|group| ledger.groups[group].place(device));
        let seat = cohort.zip(own);
        let mut says = said;
        for (name, tell) in lies.iter() {
            let boldness = self.boldness;
            let mut me = Me { name, device, keys, seat, view, boldness, choices, tally, memory };
            says = says.into_iter().flat_map(|one| tell(&mut me, one)).collect();
        }
        says
    }
}
