//! Answers with what it told in an earlier round.

use std::collections::BTreeMap;

use super::{AggregatorLie, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

struct Replays;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(Replays)
}

impl AggregatorLie for Replays {
    fn alters(
        &mut self,
        scene: &mut Scene<'_>,
        rounds: &BTreeMap<u64, Known>,
        asked: &Told,
        bytes: &mut Vec<u8>,
    ) -> bool {
        let key = (asked.device, asked.stage);
        let old = rounds.range(..asked.round).find_map(|(_, known)| known.told.get(&key));
        match old {
            Some(old) if old != bytes && scene.lies("replays", asked.device) => {
                *bytes = old.clone();
                true
            }
            _ => false,
        }
    }
}
