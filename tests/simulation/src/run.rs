//! Many histories, on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::choices::Trace;
use crate::history::History;
use crate::invariants::Violation;
use crate::replay::Replay;
use crate::shrink::shrink;
use crate::tally::Tally;
use crate::world::World;

/// What many histories came to.
#[derive(Default)]
pub struct Outcome {
    /// What they met.
    pub tally: Tally,
    /// Those that broke an invariant, shrunk.
    pub failures: Vec<Replay>,
}

/// Failures that are kept in full; of others only the number matters.
const MOST_FAILURES: usize = 4;
/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(250);

/// Tells the histories of `count` seeds from `first` on. `progress` hears how many are done and
/// how many broke an invariant.
pub fn run(first: u64, count: u64, progress: &mut dyn FnMut(u64, u64)) -> Outcome {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let outcome = Mutex::new(Outcome::default());
    let tell = || {
        while let offset = next.fetch_add(1, Ordering::Relaxed)
            && offset < count
        {
            one(first + offset, &outcome);
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(tell)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(LOOK);
            let failed = outcome.lock().unwrap().failures.len() as u64;
            progress(done.load(Ordering::Relaxed), failed);
        }
    });
    let mut outcome = outcome.into_inner().unwrap();
    outcome.failures.sort_by_key(|failure| failure.seed);
    outcome
}

fn one(seed: u64, outcome: &Mutex<Outcome>) {
    let told = catch_unwind(AssertUnwindSafe(|| History::of_seed(seed)));
    let failure = match &told {
        Err(panic) => {
            let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            Some(Replay::new(World::draw(seed), Trace::default(), "panic", &why))
        }
        Ok(told) => told.violation.as_ref().map(|violation| {
            let Violation { invariant, detail } = violation;
            Replay::new(World::draw(seed), told.trace.clone(), invariant, detail)
        }),
    };
    let many = outcome.lock().unwrap().failures.len() >= MOST_FAILURES;
    let failure =
        failure.map(|failure| if many || told.is_err() { failure } else { shrink(failure) });
    let mut outcome = outcome.lock().unwrap();
    match told {
        Ok(told) => outcome.tally.add(&told.tally),
        Err(_) => outcome.tally.histories += 1,
    }
    outcome.failures.extend(failure);
}
