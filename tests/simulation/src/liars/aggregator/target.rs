//! Shows one device, the target, a U2 of its own, and the others one in which the target survives
//! and those that the target masked against are lost: the first finding of the review of the
//! protocol, which exposed one exact input.

use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Story, Told};
use crate::ledger::device_of;
use crate::liars::known::Known;
use crate::liars::liar::Scene;

/// By round: the target's place, and with whom it is shown to have shared.
#[derive(Default)]
struct Target(BTreeMap<u64, (usize, Vec<usize>)>);

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(Target::default())
}

impl AggregatorLie for Target {
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
        let (target, friends) = self.0.entry(asked.round).or_insert_with(|| {
            let target = scene.choices.below("target", 0, cohort.size());
            let neighbours: Vec<usize> = cohort.neighbours(target).collect();
            let t = cohort.parameters.t.min(neighbours.len());
            let first = scene.choices.below("target_friends", 0, neighbours.len());
            let friends = (0..t).map(|step| neighbours[(first + step) % neighbours.len()]);
            (target, friends.collect())
        });
        if *target >= cohort.size() {
            return false;
        }
        let is_target = asked.device == device_of(&cohort.device(*target));
        match (asked.stage, is_target) {
            (Stage::Sharers, true) => {
                let few = friends.iter().copied().chain([*target]);
                story.shared = Bitmap::of(cohort.size(), few);
                true
            }
            (Stage::Survivors, false) => {
                story.survivors.insert(*target);
                story.lose(friends);
                true
            }
            _ => false,
        }
    }
}
