//! How much noise was really added, from coordinates that hold nothing else.
//!
//! After a rotation is turned back its padding is zero in every device's part, so what a sum holds
//! there is noise (and what rounding added). Its mean square over the promised variance is near 1;
//! with P coordinates it strays by about √(2/P).

use serde::{Deserialize, Serialize};

/// The padding of one sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Padding {
    coordinates: usize,
    mean_square: f64,
}

/// How much noise a sum holds, beside what its devices promised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseAudit {
    /// Measured variance over the promised one.
    pub ratio: f64,
    /// Standard deviation of that ratio where all is well.
    pub deviation: f64,
}

/// A sum with less than this much of its noise is not published.
const LEAST_RATIO: f64 = 0.8;
/// Deviations that chance reaches once in a million sums.
const CHANCE: f64 = 4.75;

impl Padding {
    /// Measures it, in integer units; nothing if there is none.
    pub fn of(padding: &[f64]) -> Option<Self> {
        let squares: f64 = padding.iter().map(|value| value * value).sum();
        let coordinates = padding.len();
        (coordinates > 0).then(|| Self { coordinates, mean_square: squares / coordinates as f64 })
    }

    /// Against the variance, squared integer units, that the contributors together promised.
    pub fn audit(&self, promised: f64) -> NoiseAudit {
        NoiseAudit {
            ratio: self.mean_square / promised,
            deviation: (2.0 / self.coordinates as f64).sqrt(),
        }
    }
}

impl NoiseAudit {
    /// Whether noise is missing, beyond what chance explains.
    pub fn is_too_quiet(&self) -> bool {
        self.ratio < LEAST_RATIO && self.strays()
    }

    /// Whether the ratio is not explained by chance.
    pub fn strays(&self) -> bool {
        (self.ratio - 1.0).abs() > CHANCE * self.deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(coordinates: usize, each: f64) -> NoiseAudit {
        Padding::of(&vec![each; coordinates]).unwrap().audit(100.0)
    }

    #[test]
    fn half_the_noise_is_too_little_and_chance_is_not() {
        assert!(audit(400, 50.0f64.sqrt()).is_too_quiet());
        assert!(!audit(400, 90.0f64.sqrt()).is_too_quiet());
        assert!(!audit(20, 50.0f64.sqrt()).is_too_quiet(), "20 coordinates prove nothing");
        assert!(!audit(100_000, 90.0f64.sqrt()).is_too_quiet());
        assert!(audit(100_000, 90.0f64.sqrt()).strays(), "but it is worth a look");
        assert!(audit(100_000, 110.0f64.sqrt()).strays());
    }

    #[test]
    fn no_padding_says_nothing() {
        assert_eq!(Padding::of(&[]), None);
    }
}
