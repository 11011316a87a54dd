//! The noise of one device: which law, how large, and how it is drawn.

use super::table::Table;
use super::variance::Variance;
use super::{Law, gaussian, skellam};
use rand_core::Rng;

/// Variance of one table at most, squared units; above, a Skellam draw is the sum of equal parts.
pub const MOST_TABLE_VARIANCE: u128 = 4096 * 4096;

/// Draws noise of mean 0 and one variance.
pub struct Sampler {
    parts: u32,
    table: Table,
}

impl Sampler {
    /// A sampler of this law and variance; builds the table, which takes up to some 30 ms. Skellam
    /// noise of any variance is the sum of parts small enough for a table. A sum of discrete
    /// Gaussians is none, so their table may grow with the deviation.
    pub fn new(law: Law, variance: &Variance) -> Self {
        let (numerator, denominator) = (variance.numerator(), variance.denominator());
        let (parts, weights) = match law {
            Law::Skellam => {
                let whole = numerator.div_ceil(denominator);
                let parts = whole.div_ceil(MOST_TABLE_VARIANCE);
                (parts, skellam::weights(numerator, denominator * parts))
            }
            Law::DiscreteGaussian => (1, gaussian::weights(numerator, denominator)),
        };
        Self { parts: parts as u32, table: Table::new(&weights) }
    }

    /// floor(2^127 P(|Z| <= k)) for k = 0, 1, … of one part, and the number of parts: what draws
    /// are compared with, for whoever wants to check.
    pub fn thresholds(&self) -> (u32, impl Iterator<Item = u128> + '_) {
        (self.parts, self.table.thresholds())
    }

    /// One draw.
    pub fn sample(&self, rng: &mut impl Rng) -> i64 {
        (0..self.parts).map(|_| self.table.sample(rng)).sum()
    }

    /// Adds a fresh draw to each value. Nothing is clamped: that would not be linear.
    pub fn add_to(&self, values: &mut [i64], rng: &mut impl Rng) {
        values.iter_mut().for_each(|value| *value += self.sample(rng));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_variance_is_drawn_in_parts() {
        let parts = |variance| {
            let variance = Variance::new(variance, 1).expect("valid");
            Sampler::new(Law::Skellam, &variance).parts
        };
        assert_eq!(parts(1), 1);
        assert_eq!(parts(MOST_TABLE_VARIANCE), 1);
        assert_eq!(parts(MOST_TABLE_VARIANCE + 1), 2);
    }
}
