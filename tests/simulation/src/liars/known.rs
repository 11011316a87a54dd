//! What a lying aggregator was told in a round, and what it told.

use std::collections::BTreeMap;
use std::rc::Rc;

use sealsum_protocol::codec::Message;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::messages::{
    Advertise, Announcement, ConsistencySignature, MaskedInput, Roster, SharedKeys,
};
use sealsum_protocol::roster::SignedEntry;
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::Signature;
use sealsum_protocol::task::RoundSpec;
use sealsum_test_fleet::Said;

/// One round as the aggregator knows it, by device.
#[derive(Default)]
pub struct Known {
    /// When it opened.
    pub opened_ms: u64,
    /// What each was announced.
    pub specs: BTreeMap<usize, RoundSpec>,
    /// What each said of itself.
    pub entries: BTreeMap<usize, SignedEntry>,
    /// What each dealt.
    pub deals: BTreeMap<usize, SharedKeys>,
    /// What each signed of its vector.
    pub masked: BTreeMap<usize, MaskedInput>,
    /// What each signed of the survivors that it was shown.
    pub signatures: BTreeMap<usize, Signature>,
    /// What each was told last, by stage.
    pub told: BTreeMap<(usize, Stage), Vec<u8>>,
    /// What follows from the rosters that were told.
    cohorts: BTreeMap<usize, Rc<Cohort>>,
}

impl Known {
    /// Of a round that opens, so far nothing.
    pub fn of_round(opened_ms: u64) -> Self {
        Self { opened_ms, ..Self::default() }
    }

    /// A device was announced a round.
    pub fn announced(&mut self, device: usize, bytes: &[u8]) {
        let announced = Announcement::from_bytes(bytes).ok();
        let spec = announced.and_then(|announced| announced.rounds.into_iter().next());
        self.specs.extend(spec.map(|spec| (device, spec)));
    }

    /// A device said something.
    pub fn hears(&mut self, device: usize, said: &Said) {
        match said {
            Said::Advertise(bytes) => {
                let message = Advertise::from_bytes(bytes).ok();
                self.entries.extend(message.map(|message| (device, message.signed)));
            }
            Said::Shares(bytes) => {
                self.deals.extend(SharedKeys::from_bytes(bytes).ok().map(|deal| (device, deal)));
            }
            Said::Masked(bytes) => {
                self.masked.extend(MaskedInput::from_bytes(bytes).ok().map(|m| (device, m)));
            }
            Said::Consistency(bytes) => {
                let message = ConsistencySignature::from_bytes(bytes).ok();
                self.signatures.extend(message.map(|message| (device, message.signature)));
            }
            Said::Ack(_) | Said::Chunk { .. } | Said::Reveal(_) => {}
        }
    }

    /// A device was told something.
    pub fn tells(&mut self, world_fleet: u32, device: usize, stage: Stage, bytes: &[u8]) {
        if stage == Stage::Roster {
            self.told_roster(world_fleet, device, bytes);
        }
        self.told.insert((device, stage), bytes.to_vec());
    }

    fn told_roster(&mut self, corrupt_fleet: u32, device: usize, bytes: &[u8]) {
        let same = self
            .told
            .iter()
            .find(|((_, stage), told)| *stage == Stage::Roster && told.as_slice() == bytes);
        let same_spec = |other: &usize| self.specs.get(other) == self.specs.get(&device);
        let known = same.map(|((other, _), _)| *other).filter(same_spec);
        if let Some(cohort) = known.and_then(|other| self.cohorts.get(&other)).cloned() {
            self.cohorts.insert(device, cohort);
            return;
        }
        let (Ok(roster), Some(spec)) = (Roster::from_bytes(bytes), self.specs.get(&device)) else {
            return;
        };
        let entries = roster.entries.into_iter().map(|signed| signed.entry).collect();
        let cohort = Cohort::new(spec, entries, corrupt_fleet).ok().map(Rc::new);
        self.cohorts.extend(cohort.map(|cohort| (device, cohort)));
    }

    /// What follows from the roster that a device was told.
    pub fn cohort(&self, device: usize) -> Option<Rc<Cohort>> {
        self.cohorts.get(&device).cloned()
    }
}
