//! A failing history with less in it: fewer liars, then fewer choices that are not 0.

use crate::replay::Replay;

/// Histories that are told at most to shrink one.
const MOST_TRIES: usize = 250;

/// Leaves out whatever the failure does not need.
pub fn shrink(replay: Replay) -> Replay {
    let mut shrinking = Shrinking { best: replay, tries: 0 };
    shrinking.worlds();
    shrinking.streams();
    shrinking.choices();
    shrinking.best
}

struct Shrinking {
    best: Replay,
    tries: usize,
}

impl Shrinking {
    /// Keeps a smaller history if it breaks the same invariant.
    fn try_one(&mut self, change: impl FnOnce(&mut Replay)) -> bool {
        if self.tries == MOST_TRIES {
            return false;
        }
        self.tries += 1;
        let mut smaller = self.best.clone();
        change(&mut smaller);
        let told = smaller.tell();
        let same = told.violation.filter(|found| found.invariant == self.best.invariant);
        let Some(violation) = same else { return false };
        smaller.choices = told.trace;
        smaller.detail = violation.detail;
        self.best = smaller;
        true
    }

    fn worlds(&mut self) {
        self.try_one(|replay| replay.world.rounds = 1);
        for place in (0..self.best.world.aggregator_lies.len()).rev() {
            self.try_one(|replay| {
                replay.world.aggregator_lies.remove(place);
            });
        }
        for place in (0..self.best.world.losses.len()).rev() {
            self.try_one(|replay| {
                replay.world.losses.remove(place);
            });
        }
        for place in (0..self.best.world.liars.len()).rev() {
            self.try_one(|replay| {
                replay.world.liars.remove(place);
            });
        }
    }

    fn streams(&mut self) {
        let names: Vec<String> = self.best.choices.0.keys().cloned().collect();
        for name in names {
            self.try_one(|replay| {
                replay.choices.0.remove(&name);
            });
        }
    }

    fn choices(&mut self) {
        let all: Vec<(String, u32)> = self
            .best
            .choices
            .0
            .iter()
            .flat_map(|(name, stream)| stream.keys().map(|ordinal| (name.clone(), *ordinal)))
            .collect();
        for (name, ordinal) in all {
            self.try_one(|replay| {
                if let Some(stream) = replay.choices.0.get_mut(&name) {
                    stream.remove(&ordinal);
                }
            });
        }
    }
}
