//! Runs a round again under the same number, without one of the devices: the difference of the
//! two sums would be that device's vector.

use super::AggregatorLie;
use crate::liars::liar::Scene;

/// Who is left out of the second run.
#[derive(Default)]
struct RunsAgain(Option<usize>);

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(RunsAgain::default())
}

impl AggregatorLie for RunsAgain {
    fn numbers(&mut self, scene: &mut Scene<'_>, next: u64) -> Option<u64> {
        self.0 = None;
        if next < 2 || !scene.lies("runs_again", 0) {
            return None;
        }
        self.0 = Some(scene.choices.below("runs_without", 0, scene.world.devices));
        Some(next - 1)
    }

    fn invites(&mut self, _: &mut Scene<'_>, device: usize) -> bool {
        self.0 != Some(device)
    }
}
