//! Answers with bytes that are no message, or a message that nobody made.

use std::collections::BTreeMap;

use super::{AggregatorLie, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

struct Malformed;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(Malformed)
}

impl AggregatorLie for Malformed {
    fn alters(
        &mut self,
        scene: &mut Scene<'_>,
        _: &BTreeMap<u64, Known>,
        asked: &Told,
        bytes: &mut Vec<u8>,
    ) -> bool {
        let device = asked.device;
        if bytes.is_empty() || !scene.lies("malformed_answer", device) {
            return false;
        }
        let place = scene.choices.below("malformed_place", device, bytes.len());
        match scene.choices.below("malformed_how", device, 3) {
            0 => bytes[place] ^= 1 << scene.choices.below("malformed_bit", device, 8),
            1 => bytes.truncate(place),
            _ => bytes.push(0),
        }
        true
    }
}
