//! Draws from a symmetric law on the integers, from a table of integer thresholds.
//!
//! The table holds floor(2^127 P(|Z| <= k)); a draw takes 64 random bits, one for the sign and 63 to
//! compare, and 64 more only when those tie with a threshold. No floating point is involved; each
//! probability is off by at most 2^-127.

use num_bigint::BigUint;
use rand_core::Rng;

/// Values less likely than 2^-140 of the mode are left out of a table.
pub(super) const CUT_BITS: u64 = 140;

/// Cumulative thresholds on 127 bits, and where to start looking.
pub(super) struct Table {
    /// Upper 63 bits.
    high: Vec<u64>,
    /// Lower 64 bits.
    low: Vec<u64>,
    /// First candidate for each value of the upper `guide_bits` of a draw.
    guide: Vec<u32>,
    guide_bits: u32,
}

impl Table {
    /// `weights` are P(|Z| = k) from k = 0 on up to a common factor, where both signs share one.
    pub(super) fn new(weights: &[BigUint]) -> Self {
        let (high, low) = thresholds(weights);
        let guide_bits = (usize::BITS - weights.len().leading_zeros() + 2).max(8);
        let guide = guide(&high, guide_bits);
        Self { high, low, guide, guide_bits }
    }

    /// One draw.
    pub(super) fn sample(&self, rng: &mut impl Rng) -> i64 {
        let draw = rng.next_u64();
        let (draw, negative) = (draw >> 1, draw & 1 == 1);
        let mut magnitude = self.guide[(draw >> (63 - self.guide_bits)) as usize] as usize;
        while self.high[magnitude] < draw {
            magnitude += 1;
        }
        if self.high[magnitude] == draw {
            let rest = rng.next_u64();
            while self.high[magnitude] == draw && self.low[magnitude] <= rest {
                magnitude += 1;
            }
        }
        if negative { -(magnitude as i64) } else { magnitude as i64 }
    }
}

/// floor(2^127 P(|Z| <= k)) for each k, the last replaced by more than any draw.
pub(super) fn thresholds(weights: &[BigUint]) -> (Vec<u64>, Vec<u64>) {
    let both_signs =
        |(k, weight): (usize, &BigUint)| if k == 0 { weight.clone() } else { weight << 1 };
    let total: BigUint = weights.iter().enumerate().map(both_signs).sum();
    let mut cumulative = BigUint::ZERO;
    let mut split: Vec<(u64, u64)> = weights
        .iter()
        .enumerate()
        .map(|entry| {
            cumulative += both_signs(entry);
            let threshold = (&cumulative << 127u8) / &total;
            let mut digits = threshold.iter_u64_digits();
            let low = digits.next().unwrap_or(0);
            (digits.next().unwrap_or(0), low)
        })
        .collect();
    if let Some(last) = split.last_mut() {
        *last = (u64::MAX, u64::MAX);
    }
    split.into_iter().unzip()
}

fn guide(high: &[u64], guide_bits: u32) -> Vec<u32> {
    let mut candidate = 0;
    (0..1u64 << guide_bits)
        .map(|prefix| {
            while high[candidate] < prefix << (63 - guide_bits) {
                candidate += 1;
            }
            candidate as u32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the same words again and again.
    struct Fixed(Vec<u64>);

    impl rand_core::TryRng for Fixed {
        type Error = core::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.try_next_u64().map(|word| word as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            self.0.rotate_left(1);
            Ok(self.0[self.0.len() - 1])
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(0);
            Ok(())
        }
    }

    #[test]
    fn a_tie_is_decided_by_the_lower_bits() {
        let table = Table::new(&super::super::skellam::weights(64, 1));
        let (high, low) = (table.high[3], table.low[3]);
        let draw = |words: &[u64]| table.sample(&mut Fixed(words.to_vec()));
        assert_eq!(draw(&[(high - 1) << 1, u64::MAX]), 3);
        assert_eq!(draw(&[high << 1, low - 1]), 3);
        assert_eq!(draw(&[high << 1, low]), 4);
        assert_eq!(draw(&[high << 1 | 1, low]), -4);
        assert_eq!(draw(&[u64::MAX, u64::MAX]), -(table.high.len() as i64 - 1));
    }
}
