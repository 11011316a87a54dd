//! The randomized Hadamard rotation.
//!
//! A vector is padded with zeros to a power of two D, its signs are flipped by public random bits,
//! and the Walsh-Hadamard transform divided by √D is applied. It is orthonormal, so the clip holds,
//! and it spreads any vector over all coordinates, so that sums need fewer bits (Kairouz, Liu,
//! Steinke, ICML 2021, section 3). The bits are public and only utility depends on them.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

/// The rotation of one round.
pub struct Rotation {
    coordinates: usize,
    seed: [u8; 32],
}

/// How many coordinates a vector of `coordinates` has after the rotation.
pub fn padded(coordinates: usize) -> usize {
    coordinates.next_power_of_two()
}

impl Rotation {
    /// The rotation of vectors of `coordinates` values that this public seed picks.
    pub fn new(coordinates: usize, seed: [u8; 32]) -> Self {
        Self { coordinates, seed }
    }

    /// How many coordinates a vector has before the rotation.
    pub fn coordinates(&self) -> usize {
        self.coordinates
    }

    /// The vector rotated, with [`padded`] coordinates; in place if there is nothing to pad.
    pub fn apply(&self, mut vector: Zeroizing<Vec<f64>>) -> Zeroizing<Vec<f64>> {
        let padded = padded(self.coordinates);
        if vector.len() != padded {
            // Not resized: what moves would leave a copy behind that nobody wipes.
            let mut larger = Zeroizing::new(vec![0.0; padded]);
            larger[..vector.len()].copy_from_slice(&vector);
            vector = larger;
        }
        self.flip_and_scale(&mut vector);
        transform(&mut vector);
        vector
    }

    /// Rotates back, in place, padding included: its coordinates hold nothing but noise.
    pub fn invert(&self, vector: &mut [f64]) {
        transform(vector);
        self.flip_and_scale(vector);
    }

    /// Random signs, and the factor that makes the transform orthonormal.
    fn flip_and_scale(&self, vector: &mut [f64]) {
        let scale = 1.0 / (vector.len() as f64).sqrt();
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        for chunk in vector.chunks_mut(64) {
            let bits = rng.next_u64();
            for (place, value) in chunk.iter_mut().enumerate() {
                let sign = bits << (63 - place) & SIGN;
                *value = f64::from_bits((*value * scale).to_bits() ^ sign);
            }
        }
    }
}

/// The sign of an f64.
const SIGN: u64 = 1 << 63;
/// Values that the first-level cache holds.
const CACHED: usize = 2048;

/// The Walsh-Hadamard transform, √n times the orthonormal one. The length is a power of two. Two
/// levels are one pass, and what fits the cache is finished before anything else is touched.
fn transform(vector: &mut [f64]) {
    let quarter = vector.len() / 4;
    if vector.len() > CACHED {
        vector.chunks_exact_mut(quarter).for_each(transform);
        return two_levels(vector);
    }
    vector.as_chunks_mut().0.iter_mut().for_each(four);
    let mut done = 4;
    while 4 * done <= vector.len() {
        vector.chunks_exact_mut(4 * done).for_each(two_levels);
        done *= 4;
    }
    // One level is left, or the vector is shorter than four.
    let half = vector.len() / 2;
    if done == half || vector.len() == 2 {
        let (low, high) = vector.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(a, b)| (*a, *b) = (*a + *b, *a - *b));
    }
}

fn four([a, b, c, d]: &mut [f64; 4]) {
    let (ab, cd) = ((*a + *b, *a - *b), (*c + *d, *c - *d));
    (*a, *b, *c, *d) = (ab.0 + cd.0, ab.1 + cd.1, ab.0 - cd.0, ab.1 - cd.1);
}

/// The two highest levels of a block whose quarters are transformed.
fn two_levels(block: &mut [f64]) {
    let (low, high) = block.split_at_mut(block.len() / 2);
    let ((a, b), (c, d)) = (low.split_at_mut(low.len() / 2), high.split_at_mut(high.len() / 2));
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (ab, cd) = ((*a + *b, *a - *b), (*c + *d, *c - *d));
        (*a, *b, *c, *d) = (ab.0 + cd.0, ab.1 + cd.1, ab.0 - cd.0, ab.1 - cd.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm(vector: &[f64]) -> f64 {
        vector.iter().map(|value| value * value).sum::<f64>().sqrt()
    }

    #[test]
    fn a_rotation_keeps_the_norm_and_turns_back() {
        for coordinates in [1, 2, 3, 7, 64, 65, 650, 1000, 5000, 20_000] {
            let rotation = Rotation::new(coordinates, [coordinates as u8; 32]);
            let original: Vec<f64> = (0..coordinates).map(|i| (i as f64 * 0.7).sin()).collect();
            let mut vector = rotation.apply(Zeroizing::new(original.clone()));
            assert_eq!(vector.len(), padded(coordinates));
            assert!((norm(&vector) - norm(&original)).abs() < 1e-9);
            rotation.invert(&mut vector);
            let (back, padding) = vector.split_at(coordinates);
            assert!(back.iter().zip(&original).all(|(a, b)| (a - b).abs() < 1e-12));
            assert!(padding.iter().all(|value| value.abs() < 1e-12));
        }
    }

    /// H[i][j] = (-1)^(bits that i and j share).
    #[test]
    fn the_transform_is_that_of_the_definition() {
        for length in [1usize, 2, 4, 8, 256, 4096, 8192] {
            let vector: Vec<f64> = (0..length).map(|i| (i * 37 % 101) as f64).collect();
            let mut found = vector.clone();
            transform(&mut found);
            for row in [0, 1 % length, length / 3, length / 2, length - 1] {
                let sign = |place: usize| {
                    if (row & place).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
                };
                let expected: f64 = vector.iter().enumerate().map(|(j, x)| sign(j) * x).sum();
                assert_eq!(found[row], expected, "row {row} of {length}");
            }
        }
    }

    #[test]
    fn one_large_value_is_spread_over_all() {
        let mut vector = vec![0.0; 1024];
        vector[17] = 32.0;
        let vector = Rotation::new(1024, [1; 32]).apply(Zeroizing::new(vector));
        assert!(vector.iter().all(|value| value.abs() == 1.0));
        assert!(vector.iter().any(|value| *value > 0.0) && vector.iter().any(|v| *v < 0.0));
    }

    #[test]
    fn the_signs_are_those_of_the_seed() {
        let rotated = |seed| Rotation::new(128, [seed; 32]).apply(Zeroizing::new(vec![1.0; 128]));
        assert_eq!(rotated(1), rotated(1));
        assert_ne!(rotated(1), rotated(2));
    }
}
