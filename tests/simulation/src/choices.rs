//! Every choice of a history, each under a label, so that a history can be told again.
//!
//! A choice is a number, and 0 is always the choice by which nothing special happens. A trace keeps
//! the others, by label, actor and how many such choices came before. Code that is added later
//! chooses under labels of its own, for which an old trace says 0: the old history stays the same.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// The choices that were not 0: by label and actor, by ordinal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trace(pub BTreeMap<String, BTreeMap<u32, u64>>);

/// Where choices come from.
enum Source {
    Seed(Box<ChaCha8Rng>),
    Trace(Trace),
}

/// The choices of one history.
pub struct Choices {
    source: Source,
    made: BTreeMap<(&'static str, usize), Stream>,
}

#[derive(Default)]
struct Stream {
    next: u32,
    special: BTreeMap<u32, u64>,
}

impl Choices {
    /// Draws them.
    pub fn drawn(seed: u64) -> Self {
        let source = Source::Seed(Box::new(ChaCha8Rng::seed_from_u64(seed)));
        Self { source, made: BTreeMap::new() }
    }

    /// Takes them from a trace.
    pub fn told(trace: Trace) -> Self {
        Self { source: Source::Trace(trace), made: BTreeMap::new() }
    }

    /// What was chosen so far.
    pub fn trace(&self) -> Trace {
        let special = self.made.iter().filter(|(_, stream)| !stream.special.is_empty());
        Trace(special.map(|((label, actor), s)| (name(label, *actor), s.special.clone())).collect())
    }

    /// Whether something happens that happens `permille` times in a thousand.
    pub fn chance(&mut self, label: &'static str, actor: usize, permille: u32) -> bool {
        self.choose(label, actor, |rng| u64::from(rng.next_u32() % 1000 < permille)) != 0
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, label: &'static str, actor: usize, bound: usize) -> usize {
        let last = bound.max(1) as u64 - 1;
        let chosen = self.choose(label, actor, |rng| rng.next_u64() % (last + 1));
        chosen.min(last) as usize
    }

    /// Each of `all` with one chance in two; none if nothing special happens.
    pub fn some_of(&mut self, label: &'static str, actor: usize, all: &[usize]) -> Vec<usize> {
        let mask = self.choose(label, actor, |rng| rng.next_u64());
        let chosen = |place: usize| mask >> (place % 64) & 1 == 1;
        all.iter().enumerate().filter(|(place, _)| chosen(*place)).map(|(_, one)| *one).collect()
    }

    fn choose(
        &mut self,
        label: &'static str,
        actor: usize,
        draw: impl FnOnce(&mut ChaCha8Rng) -> u64,
    ) -> u64 {
        let stream = self.made.entry((label, actor)).or_default();
        let ordinal = stream.next;
        stream.next += 1;
        let chosen = match &mut self.source {
            Source::Seed(rng) => draw(rng),
            Source::Trace(trace) => {
                let told = trace.0.get(&name(label, actor));
                told.and_then(|stream| stream.get(&ordinal)).copied().unwrap_or(0)
            }
        };
        if chosen != 0 {
            stream.special.insert(ordinal, chosen);
        }
        chosen
    }
}

fn name(label: &str, actor: usize) -> String {
    format!("{label} {actor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(choices: &mut Choices) -> Vec<usize> {
        let mut chosen: Vec<usize> = (0..9).map(|_| choices.below("a", 1, 5)).collect();
        chosen.push(usize::from(choices.chance("b", 2, 500)));
        chosen.extend(choices.some_of("c", 3, &[4, 5, 6]));
        chosen
    }

    #[test]
    fn a_trace_tells_the_same_choices_again() {
        for seed in 0..20 {
            let mut drawn = Choices::drawn(seed);
            let chosen = some(&mut drawn);
            let mut told = Choices::told(drawn.trace());
            assert_eq!(some(&mut told), chosen);
            assert_eq!(told.trace(), drawn.trace());
        }
    }

    #[test]
    fn choices_under_a_new_label_change_no_old_one() {
        let mut drawn = Choices::drawn(1);
        let chosen = some(&mut drawn);
        let mut told = Choices::told(drawn.trace());
        assert!(!told.chance("new", 0, 1000), "an old trace knows no such choice");
        assert_eq!(some(&mut told), chosen);
    }
}
