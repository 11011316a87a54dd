//! Some hundred histories, as many as half a minute of `make test` can hear.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_simulation::history::History;
use sealsum_simulation::run::run;
use sealsum_simulation::world::World;

const SEEDS: u64 = 400;

#[test]
fn no_history_of_the_first_seeds_breaks_an_invariant() {
    let outcome = run(0, SEEDS, &mut |_, _| {});
    let failures: Vec<String> = outcome
        .failures
        .iter()
        .map(|failure| format!("seed {}: {}: {}", failure.seed, failure.invariant, failure.detail))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
    // The histories are of the kind that the invariants are about.
    let finished = outcome.tally.rounds["finished"];
    let all: u64 = outcome.tally.rounds.values().sum();
    assert_eq!(outcome.tally.histories, SEEDS);
    assert!(finished > 0 && finished < all, "{:?}", outcome.tally.rounds);
    for guard in ["neighbour_view", "quorum", "sets", "survivors_small", "round_replayed"] {
        assert!(outcome.tally.device_refusals.contains_key(guard), "{guard} never refused");
    }
}

#[test]
fn a_history_is_the_same_each_time_and_from_its_trace() {
    for seed in 0..20 {
        let first = History::of_seed(seed);
        let second = History::of_seed(seed);
        assert_eq!((&first.tally, &first.trace), (&second.tally, &second.trace));
        let world: World =
            serde_json::from_str(&serde_json::to_string(&World::draw(seed)).unwrap()).unwrap();
        let again = History::again(world, first.trace.clone());
        assert_eq!((first.tally, first.trace), (again.tally, again.trace), "seed {seed}");
    }
}
