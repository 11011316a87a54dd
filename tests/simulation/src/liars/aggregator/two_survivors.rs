//! Shows some devices other survivors than others.

use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Story, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

struct TwoSurvivors;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(TwoSurvivors)
}

impl AggregatorLie for TwoSurvivors {
    fn tells_stories(&self) -> bool {
        true
    }

    fn rewrites(
        &mut self,
        scene: &mut Scene<'_>,
        _: &Known,
        cohort: &Cohort,
        asked: &Told,
        story: &mut Story,
    ) -> bool {
        let lied = scene.lies("two_survivors", asked.device);
        if asked.stage != Stage::Survivors || !lied {
            return false;
        }
        // One of two other sets, so that devices may agree on a wrong one.
        let which = scene.choices.below("which_survivors", asked.device, 2);
        let out = (asked.round as usize + which) % cohort.size();
        story.lose(&[out]);
        true
    }
}
