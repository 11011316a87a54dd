//! Shows some devices a smaller set that shared than others.

use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Story, Told};
use crate::liars::forge::place_of;
use crate::liars::known::Known;
use crate::liars::liar::Scene;

/// By round: who is in none of the smaller sets.
#[derive(Default)]
struct TwoSharers(BTreeMap<u64, Vec<usize>>);

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(TwoSharers::default())
}

impl AggregatorLie for TwoSharers {
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
        let own = place_of(cohort, asked.device);
        let lied = scene.lies("two_sharers", asked.device);
        if asked.stage != Stage::Sharers || !lied {
            return false;
        }
        let out = self.0.entry(asked.round).or_insert_with(|| {
            let spare = story.shared.count().saturating_sub(cohort.parameters.a_min);
            let count = 1 + scene.choices.below("sharers_left_out", 0, spare.max(1));
            (0..count).map(|_| scene.choices.below("sharer_left_out", 0, cohort.size())).collect()
        });
        let kept = |index: &usize| Some(*index) == own || !out.contains(index);
        story.shared = Bitmap::of(cohort.size(), story.shared.iter().filter(kept));
        true
    }
}
