//! The vectors of a round, and a task that sums them without loss.

use sealsum_protocol::dp::Law;
use sealsum_protocol::task::{Deadlines, Kind, Privacy, Rotation, TaskFields};

use super::Shape;

/// Units per 1.0 of a private round: rounding adds 1 % to the sensitivity.
const PRIVATE_SCALE: u64 = 4096;

/// Values lie in [-1, 1], so that no vector is longer than the clip.
fn clip(shape: &Shape) -> f64 {
    if shape.private { 1.0 } else { (shape.coordinates as f64).sqrt().ceil() }
}

/// The finest steps with which the sum stays in the ring, whatever the vectors are.
fn scale(shape: &Shape) -> u64 {
    let longest = clip(shape) * shape.clients as f64;
    let steps = (1u64 << (shape.ring_bits - 1)) as f64 / longest;
    if shape.private { PRIVATE_SCALE } else { 1 << ((steps.log2() - 0.01) as u32) }
}

/// Changes a small task into the one of a shape.
pub(super) fn adapt(fields: &mut TaskFields, shape: &Shape) {
    fields.coordinates = shape.coordinates as u32;
    (fields.ring_bits, fields.mask_suite) = (shape.ring_bits, shape.suite);
    (fields.clip, fields.scale) = (clip(shape), scale(shape));
    fields.min_contributors = (shape.clients / 2).max(3) as u32;
    let lost = (1000 * shape.dropped).div_ceil(shape.clients);
    fields.dropout_share_permille = lost.max(100) as u32;
    fields.deadlines_s =
        Deadlines { advertise: 1_000, share: 1_000, mask: 1_000, check: 1_000, unmask: 1_000 };
    if shape.private {
        (fields.kind, fields.min_contributors) =
            (Kind::Vector(Rotation::Hadamard), (shape.clients * 2 / 3) as u32);
        fields.privacy = Privacy::Noise { law: Law::Skellam, z_permille: 1000, delta: 1e-5 };
    }
}

/// A client's integers: what its vector is in steps.
pub(super) fn steps(shape: &Shape, client: usize) -> Vec<i64> {
    // A power of two, so that making vectors costs next to nothing beside summing them.
    let span = scale(shape).min(1 << 16) as usize;
    let value = |place: usize| ((client * 31 + place * 17) & (2 * span - 1)) as i64 - span as i64;
    (0..shape.coordinates).map(value).collect()
}

/// The vector of these steps.
pub(super) fn update(shape: &Shape, steps: &[i64]) -> Vec<f64> {
    let shrink = if shape.private { (shape.coordinates as f64).sqrt() } else { 1.0 };
    let step = 1.0 / (scale(shape) as f64 * shrink);
    steps.iter().map(|steps| *steps as f64 * step).collect()
}
