//! The chunks of a masked input, made by some threads while others of them are on their way.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use sealsum_daemon::Failure;

/// Makes the chunks `0..chunks` on so many threads, and hands them on in their order on the calling
/// one. In memory are at most three for each thread.
///
/// # Errors
/// The first of `put`, after which no more are made, or that there are no threads to be had.
pub fn in_order(
    chunks: usize,
    threads: NonZero<usize>,
    make: impl Fn(usize) -> Vec<u8> + Sync,
    mut put: impl FnMut(usize, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let threads = threads.get().min(chunks);
    thread::scope(|scope| {
        let start = |first| {
            let (sender, receiver) = sync_channel(1);
            let make = &make;
            let mut own = (first..chunks).step_by(threads);
            // Who no longer listens had an error.
            let work = move || own.try_for_each(|index| sender.send(make(index)).ok());
            let started = thread::Builder::new().name("mask".to_owned()).spawn_scoped(scope, work);
            started.map(|_| receiver)
        };
        let made: Vec<Receiver<Vec<u8>>> = (0..threads)
            .map(start)
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::bug(format!("masking: no thread: {error}")))?;
        (0..chunks).try_for_each(|index| {
            let chunk = made[index % threads].recv();
            put(index, &chunk.map_err(|_| Failure::bug("masking: a thread ended early"))?)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn threads(count: usize) -> NonZero<usize> {
        NonZero::new(count).unwrap()
    }

    #[test]
    fn chunks_leave_in_their_order_whoever_makes_them() {
        for (chunks, count) in [(0, 1), (1, 1), (9, 1), (9, 2), (9, 4), (2, 8)] {
            let (makers, mut left) = (Mutex::new(HashSet::new()), Vec::new());
            let make = |index: usize| {
                makers.lock().unwrap().insert(thread::current().id());
                vec![index as u8]
            };
            let put = |index: usize, chunk: &[u8]| {
                assert_eq!(chunk, [index as u8]);
                left.push(index);
                Ok(())
            };
            in_order(chunks, threads(count), make, put).unwrap();
            assert_eq!(left, Vec::from_iter(0..chunks));
            assert_eq!(makers.into_inner().unwrap().len(), count.min(chunks));
        }
    }

    #[test]
    fn after_an_error_no_more_are_made() {
        let made = AtomicUsize::new(0);
        let make = |_| {
            made.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        };
        let put = |index, _: &[u8]| match index {
            3 => Err(Failure::bug("the aggregator is gone")),
            _ => Ok(()),
        };
        let error = in_order(1000, threads(2), make, put).unwrap_err();
        assert!(error.message.contains("the aggregator is gone"), "{error}");
        // One that is handed on, one that waits, one in the making, for each thread.
        assert!(made.into_inner() <= 4 + 2 * 3);
    }
}
