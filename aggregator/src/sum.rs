//! The sum of masked inputs, unmasked on all cores.
//!
//! The work is cut by chunks, and where a vector has few of them by contributors and masks too. In
//! memory are a few chunks for each thread, however long the vector is and however many devices sent
//! one.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

use sealsum_protocol::encoding::ChunkWords;
use sealsum_protocol::server::Recovery;

/// Units of work for each thread, at least: those that end early find something to do.
const UNITS: usize = 4;
/// Chunks for each thread that are summed before those in front of them are.
const AHEAD: usize = 2;
/// Masks that a thread derives at a time.
const DERIVED: usize = 16;

/// One thread for each core.
pub fn threads() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// Sums what `add` adds of each contributor, by roster index, and takes the masks off: of a chunk, to
/// a sum of it, by way of bytes that are a thread's own. `each` gets the chunks in their order, on
/// the calling thread.
///
/// # Errors
/// The first of `add` or `each`, or that there are no threads to be had.
pub fn unmask<E: Send + From<io::Error>>(
    recovery: &Recovery,
    threads: NonZero<usize>,
    add: impl Fn(usize, usize, &mut Vec<u8>, &mut ChunkWords) -> Result<(), E> + Sync,
    each: impl FnMut(usize, ChunkWords) -> Result<(), E>,
) -> Result<(), E> {
    derive(recovery, threads)?;
    let work = Work { recovery, plan: Plan::new(recovery, threads), add, queue: Queue::new() };
    thread::scope(|scope| {
        let (done, results) = mpsc::channel();
        for _ in 0..threads.get() {
            let (work, done) = (&work, done.clone());
            start(scope, move || work.run(&done)).inspect_err(|_| work.queue.stop())?;
        }
        drop(done);
        in_order(results.iter(), &work.queue, each).inspect_err(|_| work.queue.stop())
    })
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    thread::Builder::new().name("unmask".to_owned()).spawn_scoped(scope, work).map(|_| ())
}

/// The key agreements with the lost, which all chunks need.
fn derive(recovery: &Recovery, threads: NonZero<usize>) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let derive = || {
        loop {
            let first = next.fetch_add(DERIVED, Ordering::Relaxed);
            let some = first..(first + DERIVED).min(recovery.masks());
            if some.is_empty() {
                return;
            }
            some.for_each(|mask| recovery.derive(mask));
        }
    };
    thread::scope(|scope| (0..threads.get()).try_for_each(|_| start(scope, derive)))
}

/// Hands chunks on in their order.
fn in_order<E>(
    results: impl Iterator<Item = Result<(usize, ChunkWords), E>>,
    queue: &Queue,
    mut each: impl FnMut(usize, ChunkWords) -> Result<(), E>,
) -> Result<(), E> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for result in results {
        let (chunk, sum) = result?;
        early.insert(chunk, sum);
        while let Some(sum) = early.remove(&next) {
            each(next, sum)?;
            next += 1;
            queue.advance(next);
        }
    }
    Ok(())
}

/// How the work is cut.
struct Plan {
    chunks: usize,
    /// Of each chunk.
    parts: usize,
    /// Chunks that may be begun after the last that was handed on.
    ahead: usize,
}

impl Plan {
    fn new(recovery: &Recovery, threads: NonZero<usize>) -> Self {
        let (chunks, threads) = (recovery.layout().chunks(), threads.get());
        let parts = if threads == 1 { 1 } else { (UNITS * threads).div_ceil(chunks) };
        Self { chunks, parts: parts.clamp(1, recovery.masks().max(1)), ahead: AHEAD * threads }
    }

    /// A part's share of so many things.
    fn share(&self, part: usize, things: usize) -> Range<usize> {
        part * things / self.parts..(part + 1) * things / self.parts
    }
}

struct Work<'a, Add> {
    recovery: &'a Recovery,
    plan: Plan,
    add: Add,
    queue: Queue,
}

impl<Add> Work<'_, Add> {
    fn run<E>(&self, done: &Sender<Result<(usize, ChunkWords), E>>)
    where
        Add: Fn(usize, usize, &mut Vec<u8>, &mut ChunkWords) -> Result<(), E>,
    {
        let _stop = StopOnPanic(&self.queue);
        let mut bytes = Vec::new();
        while let Some((chunk, part)) = self.queue.take(&self.plan) {
            let sum = match self.part(chunk, part, &mut bytes) {
                Ok(sum) => self.queue.put(&self.plan, chunk, sum).map(Ok),
                Err(error) => Some(Err(error)),
            };
            // Who no longer listens has stopped the queue.
            let _ = sum.map(|sum| done.send(sum.map(|sum| (chunk, sum))));
        }
    }

    /// The sum of some contributors, less some masks.
    fn part<E>(&self, chunk: usize, part: usize, bytes: &mut Vec<u8>) -> Result<ChunkWords, E>
    where
        Add: Fn(usize, usize, &mut Vec<u8>, &mut ChunkWords) -> Result<(), E>,
    {
        let Self { recovery, plan, .. } = self;
        let contributors = recovery.contributors();
        let mut sum = recovery.layout().zero_chunk(chunk);
        for device in &contributors[plan.share(part, contributors.len())] {
            (self.add)(*device, chunk, bytes, &mut sum)?;
        }
        recovery.unmask_part(chunk, plan.share(part, recovery.masks()), &mut sum);
        Ok(sum)
    }
}

/// What is to do, and the chunks that are done in part.
struct Queue {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// Units taken, chunk by chunk.
    taken: usize,
    /// Chunks handed on.
    handed: usize,
    stopped: bool,
    /// By chunk, the sum of the parts that are done, and how many they are.
    partial: BTreeMap<usize, (ChunkWords, usize)>,
}

impl Queue {
    fn new() -> Self {
        Self { state: Mutex::default(), moved: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next chunk and part, once the first chunks of those taken were handed on.
    fn take(&self, plan: &Plan) -> Option<(usize, usize)> {
        let mut state = self.lock();
        loop {
            let (chunk, part) = (state.taken / plan.parts, state.taken % plan.parts);
            if state.stopped || chunk == plan.chunks {
                return None;
            }
            if chunk < state.handed + plan.ahead {
                state.taken += 1;
                return Some((chunk, part));
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a part; gives the chunk back if that was the last of it.
    fn put(&self, plan: &Plan, chunk: usize, part: ChunkWords) -> Option<ChunkWords> {
        let mut state = self.lock();
        let (sum, parts) = match state.partial.remove(&chunk) {
            Some((mut sum, parts)) => {
                sum.add_assign(&part);
                (sum, parts + 1)
            }
            None => (part, 1),
        };
        if parts == plan.parts {
            return Some(sum);
        }
        state.partial.insert(chunk, (sum, parts));
        None
    }

    /// So many chunks are handed on.
    fn advance(&self, handed: usize) {
        self.lock().handed = handed;
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }
}

/// A thread that panics leaves a chunk that never comes; the others must not wait for it.
struct StopOnPanic<'a>(&'a Queue);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}
