//! The values of a device, drawn again whenever they are needed: those of a thousand devices at once
//! are gigabytes.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::task::SCALE;

/// A vector by the seed that it follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector {
    seed: [u8; 32],
    coordinates: u32,
}

impl Vector {
    /// One of so many coordinates.
    pub fn draw(rng: &mut ChaCha20Rng, coordinates: u32) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self { seed, coordinates }
    }

    /// How many coordinates it has.
    pub fn coordinates(&self) -> usize {
        self.coordinates as usize
    }

    /// Values from -2 to 2 that the ring holds exactly, so that sums are exact.
    pub fn values(&self) -> Vec<f64> {
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        let value = |random: u8| f64::from(i16::from(random) - 128) / f64::from(SCALE);
        let mut bytes = vec![0; self.coordinates()];
        rng.fill_bytes(&mut bytes);
        bytes.into_iter().map(value).collect()
    }
}
