//! The privacy step of a device, timed: clip, rotate, round and check, add noise. `tests/bench`
//! includes this file, and gives it a clock that stands still while others compute.

use std::cell::Cell;
use std::hint::black_box;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::clip::{NotFinite, clip};
use sealsum_protocol::dp::hadamard::Rotation;
use sealsum_protocol::dp::noise::Sampler;
use sealsum_protocol::dp::rounding::round_stochastic;
use sealsum_protocol::dp::sensitivity::Sensitivity;
use sealsum_protocol::dp::variance::Variance;
use serde_json::{Value, json};

const COORDINATES: usize = 1 << 20;
/// Units per 1.0: rounding adds 1 % to the sensitivity of a clip of 1.
const SCALE: u64 = 4096;
/// A cohort of 100 of which 67 must be honest, z = 1.
const HONEST: usize = 67;
const RUNS: usize = 15;

/// Milliseconds, each the fastest of its runs.
pub(crate) struct Measured {
    clip: f64,
    rotate: f64,
    round: f64,
    noise: f64,
    /// The table of a variance, once for a task.
    table: f64,
    /// All of it in one go, but for the table.
    pub(crate) step: f64,
    /// One ChaCha20 mask of 32-bit lanes, expanded and added in portable code.
    pub(crate) mask: f64,
}

impl Measured {
    pub(crate) fn as_json(&self) -> Value {
        json!({
            "coordinates": COORDINATES, "clip_ms": self.clip, "rotate_ms": self.rotate,
            "round_ms": self.round, "noise_ms": self.noise, "table_ms": self.table,
            "step_ms": self.step, "mask_ms": self.mask,
            "dp_step_over_one_mask": self.step / self.mask,
        })
    }
}

/// `now` is in seconds.
pub(crate) fn measure(now: impl Fn() -> f64) -> Measured {
    let update: Vec<f64> =
        (0..COORDINATES).map(|place| (place as f64 * 0.7).sin() * 0.01).collect();
    let sensitivity = Sensitivity::new(1.0, SCALE, COORDINATES).expect("a valid task");
    let variance = Variance::for_device(1.0, &sensitivity, HONEST + 1, 1).expect("drawable");
    let rotation = Rotation::new(COORDINATES, [3; 32]);
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    let sampler = Sampler::new(Law::Skellam, &variance);
    let mut best = [f64::INFINITY; 4];
    let mut step = f64::INFINITY;
    for _ in 0..RUNS {
        let begin = now();
        let (clipped, rotated) = (Cell::new(begin), Cell::new(begin));
        let vector = || {
            let mut vector = clip(update.clone(), 1.0)?;
            clipped.set(now());
            vector.rotate(&rotation);
            rotated.set(now());
            Ok::<_, NotFinite>(vector)
        };
        let mut integers = round_stochastic(vector, SCALE, &sensitivity, &mut rng).expect("finite");
        let rounded = now();
        let (clipped, rotated) = (clipped.get(), rotated.get());
        sampler.add_to(&mut integers, &mut rng);
        let end = now();
        black_box(&integers);
        let parts = [(begin, clipped), (clipped, rotated), (rotated, rounded), (rounded, end)];
        for (best, (from, to)) in best.iter_mut().zip(parts) {
            *best = best.min(1e3 * (to - from));
        }
        step = step.min(1e3 * (end - begin));
    }
    let [clip, rotate, round, noise] = best;
    let table = fastest(&now, || drop(black_box(Sampler::new(Law::Skellam, &variance))));
    Measured { clip, rotate, round, noise, table, step, mask: mask(&now) }
}

/// Expands a stream of 4 bytes a coordinate, a cache's worth at a time, and adds it to 32-bit lanes.
fn mask(now: impl Fn() -> f64) -> f64 {
    let mut lanes = vec![0u32; COORDINATES];
    let mut buffer = [0u8; 4096];
    fastest(now, || {
        let mut stream = ChaCha20Rng::from_seed([5; 32]);
        for part in lanes.chunks_mut(buffer.len() / 4) {
            stream.fill_bytes(&mut buffer);
            for (lane, mask) in part.iter_mut().zip(buffer.as_chunks().0) {
                *lane = lane.wrapping_add(u32::from_le_bytes(*mask));
            }
        }
        black_box(&lanes);
    })
}

fn fastest(now: impl Fn() -> f64, mut work: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let begin = now();
        work();
        1e3 * (now() - begin)
    });
    times.fold(f64::INFINITY, f64::min)
}
