//! Answers one device with what is for another, or with another stage.

use std::collections::BTreeMap;

use super::{AggregatorLie, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

struct Swaps;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(Swaps)
}

impl AggregatorLie for Swaps {
    fn alters(
        &mut self,
        scene: &mut Scene<'_>,
        rounds: &BTreeMap<u64, Known>,
        asked: &Told,
        bytes: &mut Vec<u8>,
    ) -> bool {
        let Some(known) = rounds.get(&asked.round) else { return false };
        if !scene.lies("swaps", asked.device) {
            return false;
        }
        let others: Vec<&Vec<u8>> = known.told.values().filter(|told| *told != bytes).collect();
        if others.is_empty() {
            return false;
        }
        *bytes = others[scene.choices.below("swapped", asked.device, others.len())].clone();
        true
    }
}
