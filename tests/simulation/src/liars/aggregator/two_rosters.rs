//! Shows some devices a roster without others.

use std::collections::BTreeMap;

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::Roster;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Told};
use crate::ledger::device_of;
use crate::liars::known::Known;
use crate::liars::liar::Scene;

/// By round: who is left out, of the second roster.
#[derive(Default)]
struct TwoRosters(BTreeMap<u64, Vec<usize>>);

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(TwoRosters::default())
}

impl AggregatorLie for TwoRosters {
    fn tells_stories(&self) -> bool {
        true
    }

    fn alters(
        &mut self,
        scene: &mut Scene<'_>,
        _: &BTreeMap<u64, Known>,
        asked: &Told,
        bytes: &mut Vec<u8>,
    ) -> bool {
        if asked.stage != Stage::Roster || !scene.lies("two_rosters", asked.device) {
            return false;
        }
        let Ok(mut roster) = Roster::from_bytes(bytes) else { return false };
        let few = scene.world.min_contributors as usize;
        let out = self.0.entry(asked.round).or_insert_with(|| {
            let most = 1 + roster.entries.len().saturating_sub(few + 1);
            let count = 1 + scene.choices.below("roster_leaves_out", 0, most);
            (0..count).map(|_| scene.choices.below("left_out", 0, scene.world.devices)).collect()
        });
        let kept = |device: usize| device == asked.device || !out.contains(&device);
        roster.entries.retain(|signed| kept(device_of(&signed.entry.device)));
        *bytes = roster.to_bytes();
        true
    }
}
