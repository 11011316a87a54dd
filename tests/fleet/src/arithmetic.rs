//! What a round computes, without the round: vectors become integers with noise and words, the
//! words are added in the ring and turned back. Masks would cancel, so nothing else is missing.

use rand_core::CryptoRng;
use sealsum_protocol::client::prepare;
use sealsum_protocol::cohort::Cohort;

/// The integers of the sum of these devices' updates.
pub fn sum_of_integers(
    cohort: &Cohort,
    updates: &[Vec<f64>],
    rng: &mut impl CryptoRng,
) -> Vec<i64> {
    let layout = &cohort.layout;
    let mut sums: Vec<_> = (0..layout.chunks()).map(|chunk| layout.zero_chunk(chunk)).collect();
    for update in updates {
        let quantized = prepare(update, None, cohort, rng).unwrap();
        for (chunk, sum) in sums.iter_mut().enumerate() {
            sum.add_assign(&quantized.words(layout, chunk));
        }
    }
    let decode = |(chunk, sum)| layout.decode_chunk(chunk, sum, updates.len()).unwrap();
    sums.iter().enumerate().flat_map(decode).collect()
}

/// The sum as its owner gets it, and the padding of the rotation, if there is one.
pub fn sum_of_updates(
    cohort: &Cohort,
    updates: &[Vec<f64>],
    rng: &mut impl CryptoRng,
) -> (Vec<f64>, Vec<f64>) {
    let integers = sum_of_integers(cohort, updates, rng);
    let mut values: Vec<f64> = integers.iter().map(|integer| *integer as f64).collect();
    if let Some(rotation) = cohort.task.rotation(&cohort.transcript.params_hash) {
        rotation.invert(&mut values);
    }
    values.iter_mut().for_each(|value| *value /= cohort.task.scale as f64);
    let padding = values.split_off(cohort.task.coordinates as usize);
    (values, padding)
}
