//! Calls a device a survivor that never sent its masked input.

use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Story, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

struct InventedSurvivor;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(InventedSurvivor)
}

impl AggregatorLie for InventedSurvivor {
    fn tells_stories(&self) -> bool {
        true
    }

    fn rewrites(
        &mut self,
        _: &mut Scene<'_>,
        _: &Known,
        _: &Cohort,
        asked: &Told,
        story: &mut Story,
    ) -> bool {
        if asked.stage != Stage::Survivors || story.lost.count() == 0 {
            return false;
        }
        (story.survivors, story.lost) = (story.shared.clone(), story.shared.without(&story.shared));
        true
    }

    /// Somebody must be missing to be invented.
    fn passes_on(
        &mut self,
        scene: &mut Scene<'_>,
        from: usize,
        said: &mut sealsum_test_fleet::Said,
    ) -> bool {
        let masks = matches!(said, sealsum_test_fleet::Said::Masked(_));
        !(masks && scene.choices.chance("invented_survivor", from, 200))
    }
}
