//! Acts as if a device had not said something.

use sealsum_test_fleet::Said;

use super::AggregatorLie;
use crate::liars::liar::Scene;

struct Omits;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(Omits)
}

impl AggregatorLie for Omits {
    fn passes_on(&mut self, scene: &mut Scene<'_>, from: usize, _: &mut Said) -> bool {
        !scene.choices.chance("omits", from, scene.world.boldness / 6)
    }
}
