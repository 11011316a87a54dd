//! Sums unmasked on several threads: the same as on one, in order, and an end to every failure.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealsum_aggregator::sum;
use sealsum_protocol::encoding::{ChunkWords, Layout};
use sealsum_protocol::server::Recovery;
use sealsum_test_fleet::{Rehearsal, task};

/// What a round leaves to unmask.
struct Left {
    recovery: Recovery,
    layout: Layout,
    chunks: Vec<Vec<Vec<u8>>>,
    expected: Vec<i64>,
}

/// A round of seven with two of them lost between sharing and their masked input.
fn round(coordinates: usize) -> Left {
    let task = task(7, |fields| {
        (fields.coordinates, fields.dropout_share_permille) = (coordinates as u32, 340);
    });
    let mut rehearsal = Rehearsal::new(7, task);
    rehearsal.run(&[vec![], vec![], vec![1, 5], vec![], vec![]]);
    let recovery = rehearsal.recovery.take().expect("a sum to unmask");
    Left {
        layout: recovery.layout().clone(),
        recovery,
        expected: rehearsal.expected(),
        chunks: rehearsal.chunks,
    }
}

impl Left {
    fn add(&self, device: usize, chunk: usize, sum: &mut ChunkWords) -> io::Result<()> {
        self.layout.add_from_wire(chunk, &self.chunks[device][chunk], sum).unwrap();
        Ok(())
    }
}

fn threads(count: usize) -> NonZero<usize> {
    NonZero::new(count).unwrap()
}

/// Chunks of 32-bit lanes.
const FULL: usize = 16_380;

#[test]
fn any_number_of_threads_gives_the_sum_in_order() {
    for coordinates in [5, FULL, 3 * FULL + 1, 20 * FULL] {
        let left = round(coordinates);
        for count in 1..=5 {
            let mut values = Vec::new();
            let add = |device, chunk, _: &mut Vec<u8>, sum: &mut _| left.add(device, chunk, sum);
            sum::unmask(&left.recovery, threads(count), add, |chunk, words| {
                assert_eq!(left.layout.chunk_coordinates(chunk).start, values.len());
                values.extend(left.recovery.decode_chunk(chunk, &words).unwrap());
                Ok(())
            })
            .unwrap();
            assert!(values == left.expected, "{coordinates} coordinates on {count} threads");
        }
    }
}

#[test]
fn a_failure_to_read_or_to_write_ends_the_sum() {
    let left = round(20 * FULL);
    for count in 1..=3 {
        let unreadable = |device, chunk, _: &mut Vec<u8>, sum: &mut _| match (device, chunk) {
            (3, 2) => Err(io::Error::other("unreadable")),
            _ => left.add(device, chunk, sum),
        };
        let mut seen = Vec::new();
        let failed = sum::unmask(&left.recovery, threads(count), unreadable, |chunk, _| {
            seen.push(chunk);
            Ok(())
        });
        assert_eq!(failed.unwrap_err().to_string(), "unreadable");
        assert!(seen.iter().copied().eq(0..seen.len()) && seen.len() <= 2, "{seen:?}");

        let readable = |device, chunk, _: &mut Vec<u8>, sum: &mut _| left.add(device, chunk, sum);
        let unwritable = |chunk, _| match chunk {
            2 => Err(io::Error::other("unwritable")),
            _ => Ok(()),
        };
        let failed = sum::unmask(&left.recovery, threads(count), readable, unwritable);
        assert_eq!(failed.unwrap_err().to_string(), "unwritable");
    }
}

#[test]
fn a_thread_that_panics_takes_the_sum_with_it() {
    let left = round(20 * FULL);
    let add = |device, chunk, _: &mut Vec<u8>, sum: &mut _| match chunk {
        0 => panic!("as a test wants"),
        _ => left.add(device, chunk, sum),
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        sum::unmask(&left.recovery, threads(2), add, |_, _| Ok(()))
    }));
    assert!(outcome.is_err());
}

#[test]
fn a_slow_chunk_is_not_left_behind() {
    let left = round(40 * FULL);
    let handed = AtomicUsize::new(0);
    let add = |device, chunk, _: &mut Vec<u8>, sum: &mut _| {
        if chunk == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(chunk - handed.load(Ordering::SeqCst).min(chunk) < left.layout.chunks() / 2);
        left.add(device, chunk, sum)
    };
    sum::unmask(&left.recovery, threads(2), add, |chunk, _| {
        handed.store(chunk, Ordering::SeqCst);
        Ok(())
    })
    .unwrap();
    assert_eq!(handed.into_inner(), left.layout.chunks() - 1);
}
