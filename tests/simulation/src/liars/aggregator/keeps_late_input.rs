//! Takes masked inputs, keeps them, and calls their devices lost: their neighbours then reveal the
//! keys of their pair masks.

use std::collections::BTreeMap;

use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Story, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

/// Who is called lost, by round.
#[derive(Default)]
struct KeepsLateInput(BTreeMap<u64, Vec<usize>>);

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(KeepsLateInput::default())
}

impl AggregatorLie for KeepsLateInput {
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
        if asked.stage != Stage::Survivors {
            return false;
        }
        let lost = self.0.entry(asked.round).or_insert_with(|| {
            let spare = story.survivors.count().saturating_sub(cohort.parameters.a_min);
            let most = 1 + scene.choices.below("keeps_late_input", 0, spare.max(1));
            (0..most).map(|_| scene.choices.below("kept_device", 0, cohort.size())).collect()
        });
        story.lose(lost);
        true
    }
}
