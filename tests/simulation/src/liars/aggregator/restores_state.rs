//! Restores the state of the round as it was some messages ago, and goes on from there without
//! the device that spoke next.

use sealsum_protocol::server::Step;
use sealsum_test_fleet::Said;

use super::AggregatorLie;
use crate::liars::liar::Scene;

/// Who is not heard any more since the state was restored.
#[derive(Default)]
struct RestoresState(Option<usize>);

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(RestoresState::default())
}

impl AggregatorLie for RestoresState {
    fn begins(&mut self, _: &mut Scene<'_>) {
        self.0 = None;
    }

    fn passes_on(&mut self, scene: &mut Scene<'_>, from: usize, said: &mut Said) -> bool {
        if self.0 == Some(from) {
            return false;
        }
        let late = matches!(said, Said::Masked(_) | Said::Consistency(_) | Said::Reveal(_));
        if self.0.is_some() || !late || !scene.choices.chance("restores_state", from, 300) {
            return true;
        }
        let Some(live) = &scene.program.live else { return true };
        let back = 1 + scene.choices.below("restores_back", from, 4 * scene.world.devices);
        let (restored, next, wakes) = live.restored(back);
        if restored.step() >= Step::Recover {
            return true;
        }
        self.0 = Some(next.unwrap_or(from));
        scene.program.live = Some(restored);
        let now_ms = scene.now.steady_ms;
        scene.wakes.extend(wakes.into_iter().map(|at_ms| at_ms.max(now_ms)));
        false
    }
}
