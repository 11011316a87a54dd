//! Runs a round again under the same number, without one of the devices: the difference of the
//! two sums would be that device's vector.

use super::AggregatorLie;
use crate::liars::liar::Scene;

/// Who is left out of the second run.
#[derive(Default)]
struct RunsAgain {
    without: Option<usize>,
    ran: u64,
}

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(RunsAgain::default())
}

impl AggregatorLie for RunsAgain {
    fn numbers(&mut self, scene: &mut Scene<'_>, next: u64) -> Option<u64> {
        if next < 2 || self.ran + 1 >= next {
            (self.ran, self.without) = (self.ran.max(next.saturating_sub(1)), None);
        }
        if next < 2 {
            return None;
        }
        self.without = Some(scene.choices.below("runs_again", 0, scene.world.devices));
        Some(next - 1)
    }

    fn invites(&mut self, _: &mut Scene<'_>, device: usize) -> bool {
        self.without != Some(device)
    }
}
