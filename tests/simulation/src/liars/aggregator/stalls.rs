//! Never answers a device at some stage.

use super::{AggregatorLie, Told};
use crate::liars::liar::Scene;

#[derive(Default)]
struct Stalls(Vec<(usize, u64, sealsum_protocol::server::Stage)>);

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(Stalls::default())
}

impl AggregatorLie for Stalls {
    fn stalls(&mut self, scene: &mut Scene<'_>, asked: &Told) -> bool {
        let key = (asked.device, asked.round, asked.stage);
        if self.0.contains(&key) {
            return true;
        }
        let stalls = scene.choices.chance("stalls", asked.device, scene.world.boldness / 6);
        if stalls {
            self.0.push(key);
        }
        stalls
    }
}
