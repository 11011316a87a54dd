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

    /// The vector rotated, with [`padded`] coordinates.
    pub fn apply(&self, vector: &[f64]) -> Zeroizing<Vec<f64>> {
        let mut rotated = Zeroizing::new(vec![0.0; padded(self.coordinates)]);
        rotated[..vector.len()].copy_from_slice(vector);
        self.flip_signs(&mut rotated);
        transform(&mut rotated);
        rotated
    }

    /// Rotates back, in place, padding included: its coordinates hold nothing but noise.
    pub fn invert(&self, vector: &mut [f64]) {
        transform(vector);
        self.flip_signs(vector);
    }

    fn flip_signs(&self, vector: &mut [f64]) {
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        for chunk in vector.chunks_mut(64) {
            let bits = rng.next_u64();
            for (place, value) in chunk.iter_mut().enumerate() {
                if bits >> place & 1 == 1 {
                    *value = -*value;
                }
            }
        }
    }
}

/// The orthonormal Walsh-Hadamard transform, its own inverse. The length is a power of two.
fn transform(vector: &mut [f64]) {
    let mut half = 1;
    while half < vector.len() {
        for block in vector.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (vector.len() as f64).sqrt();
    vector.iter_mut().for_each(|value| *value *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm(vector: &[f64]) -> f64 {
        vector.iter().map(|value| value * value).sum::<f64>().sqrt()
    }

    #[test]
    fn a_rotation_keeps_the_norm_and_turns_back() {
        for coordinates in [1, 2, 3, 64, 65, 650, 1000] {
            let rotation = Rotation::new(coordinates, [coordinates as u8; 32]);
            let original: Vec<f64> = (0..coordinates).map(|i| (i as f64 * 0.7).sin()).collect();
            let mut vector = rotation.apply(&original);
            assert_eq!(vector.len(), padded(coordinates));
            assert!((norm(&vector) - norm(&original)).abs() < 1e-9);
            rotation.invert(&mut vector);
            let (back, padding) = vector.split_at(coordinates);
            assert!(back.iter().zip(&original).all(|(a, b)| (a - b).abs() < 1e-12));
            assert!(padding.iter().all(|value| value.abs() < 1e-12));
        }
    }

    #[test]
    fn one_large_value_is_spread_over_all() {
        let mut vector = vec![0.0; 1024];
        vector[17] = 32.0;
        let vector = Rotation::new(1024, [1; 32]).apply(&vector);
        assert!(vector.iter().all(|value| value.abs() == 1.0));
        assert!(vector.iter().any(|value| *value > 0.0) && vector.iter().any(|v| *v < 0.0));
    }

    #[test]
    fn the_signs_are_those_of_the_seed() {
        let rotated = |seed| Rotation::new(128, [seed; 32]).apply(&[1.0; 128]);
        assert_eq!(rotated(1), rotated(1));
        assert_ne!(rotated(1), rotated(2));
    }
}
