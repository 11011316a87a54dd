//! The noise of one device: which law, how large, and how it is drawn.

use super::table::Table;
use super::variance::Variance;
use super::{Law, gaussian, skellam};
use rand_core::Rng;
use zeroize::Zeroizing;

/// Variance of one table at most, squared units; above, a Skellam draw is the sum of equal parts.
pub const MOST_TABLE_VARIANCE: u128 = 4096 * 4096;

/// Random words drawn at once.
const DRAWN: usize = 512;

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
        (0..self.parts).map(|_| self.table.sample(rng.next_u64(), rng)).sum()
    }

    /// Adds a fresh draw to each value. Nothing is clamped: that would not be linear.
    pub fn add_to(&self, values: &mut [i64], rng: &mut impl Rng) {
        let parts = self.parts as usize;
        let at_once = (DRAWN / parts).max(1);
        let mut bytes = Zeroizing::new(vec![0; 8 * parts * at_once]);
        for some in values.chunks_mut(at_once) {
            let bytes = &mut bytes[..8 * parts * some.len()];
            rng.fill_bytes(bytes);
            for (value, words) in some.iter_mut().zip(bytes.chunks_exact(8 * parts)) {
                for word in words.as_chunks().0 {
                    *value += self.table.sample(u64::from_le_bytes(*word), rng);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([6; 32])
    }

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

    #[test]
    fn many_draws_at_once_are_those_one_by_one() {
        for variance in [3, 10_000, 2 * MOST_TABLE_VARIANCE, 700 * MOST_TABLE_VARIANCE] {
            let sampler = Sampler::new(Law::Skellam, &Variance::new(variance, 1).expect("valid"));
            let (mut one, mut many) = (rng(), rng());
            let mut found = vec![0; 1200];
            sampler.add_to(&mut found, &mut many);
            let expected: Vec<i64> = (0..1200).map(|_| sampler.sample(&mut one)).collect();
            assert_eq!(found, expected, "{variance}");
            assert_eq!(one.next_u64(), many.next_u64());
        }
    }
}
