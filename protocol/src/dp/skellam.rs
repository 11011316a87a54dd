//! Skellam noise from a table of integer thresholds.
//!
//! P(|Z| = k) is proportional to the Bessel functions I_k(v), which Miller's downward recurrence
//! I_{k-1} = I_{k+1} + (2k/v) I_k gives in big integers. The table holds floor(2^127 P(|Z| <= k));
//! a draw takes 64 random bits, one for the sign and 63 to compare, and 64 more only when those tie
//! with a threshold. No floating point is involved; each probability is off by at most 2^-127.

use super::variance::Variance;
use num_bigint::BigUint;
use rand_core::Rng;

/// Variance of one table at most, squared units; above, a draw is the sum of equal parts.
const MOST_TABLE_VARIANCE: u128 = 4096 * 4096;
/// Values less likely than 2^-140 of the mode are left out.
const CUT_BITS: u64 = 140;
/// Guard bits of the recurrence.
const START_BITS: u64 = 256;

/// Draws Skellam variables of mean 0 and one variance.
pub struct Sampler {
    parts: u32,
    table: Table,
}

impl Sampler {
    /// A sampler of variance `variance`; builds the table, which takes up to some 20 ms.
    pub fn new(variance: &Variance) -> Self {
        let whole = variance.numerator().div_ceil(variance.denominator());
        let parts = whole.div_ceil(MOST_TABLE_VARIANCE);
        let weights = weights(variance.numerator(), variance.denominator() * parts);
        Self { parts: parts as u32, table: Table::new(&weights) }
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

/// P(|Z| = k) from k = 0 on up to a common factor, where Z has variance p/q; both signs share one
/// weight.
fn weights(p: u128, q: u128) -> Vec<BigUint> {
    let deviation = p.div_ceil(q).isqrt() as usize + 1;
    let start = 16 * deviation + 80 + 560 / deviation;
    let mut above = BigUint::ZERO;
    let mut current = BigUint::from(1u8) << START_BITS;
    let mut downward = vec![current.clone()];
    for k in (1..=start).rev() {
        let below = &above + &current * (q * 2 * k as u128) / p;
        above = std::mem::replace(&mut current, below.clone());
        downward.push(below);
    }
    let mode = current;
    downward.into_iter().rev().take_while(|weight| weight << CUT_BITS >= mode).collect()
}

/// Cumulative thresholds on 127 bits, and where to start looking.
struct Table {
    /// Upper 63 bits.
    high: Vec<u64>,
    /// Lower 64 bits.
    low: Vec<u64>,
    /// First candidate for each value of the upper `guide_bits` of a draw.
    guide: Vec<u32>,
    guide_bits: u32,
}

impl Table {
    fn new(weights: &[BigUint]) -> Self {
        let (high, low) = thresholds(weights);
        let guide_bits = (usize::BITS - weights.len().leading_zeros() + 2).max(8);
        let guide = guide(&high, guide_bits);
        Self { high, low, guide, guide_bits }
    }

    fn sample(&self, rng: &mut impl Rng) -> i64 {
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
fn thresholds(weights: &[BigUint]) -> (Vec<u64>, Vec<u64>) {
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

    /// floor(2^127 P(|Z| <= k)) for variance p/q, from mpmath's `besseli` at 120 digits.
    const REFERENCE: [(u128, u128, usize, u128); 7] = [
        (1, 4, 0, 0x6540_0ce4_fb7f_5abf_aa59_2fe7_69b1_7817),
        (1, 4, 1, 0x7e5d_f5a8_8fec_523c_f183_82c1_02ad_d308),
        (1, 4, 5, 0x7fff_ffed_ea8f_7db8_cba3_6343_448e_51c2),
        (64, 1, 0, 0x0665_49a2_97fd_37d0_afa8_914b_9467_3d0e),
        (64, 1, 1, 0x1316_2dc3_2d37_da4d_5d19_b8c9_92fc_a7bb),
        (64, 1, 5, 0x412e_8d2c_e6b5_3834_ecc3_8941_257d_0311),
        (64, 1, 20, 0x7ea7_4995_aab2_f222_cb7a_ddbc_bf36_3bee),
    ];

    #[test]
    fn thresholds_are_exact_to_the_last_bit() {
        for (p, q, k, expected) in REFERENCE {
            let (high, low) = thresholds(&weights(p, q));
            let threshold = u128::from(high[k]) << 64 | u128::from(low[k]);
            assert_eq!(threshold, expected, "variance {p}/{q}, k = {k}");
        }
    }

    #[test]
    fn a_large_variance_is_drawn_in_parts() {
        let parts = |variance| Sampler::new(&Variance::new(variance, 1).expect("valid")).parts;
        assert_eq!(parts(1), 1);
        assert_eq!(parts(MOST_TABLE_VARIANCE), 1);
        assert_eq!(parts(MOST_TABLE_VARIANCE + 1), 2);
    }

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
        let table = Table::new(&weights(64, 1));
        let (high, low) = (table.high[3], table.low[3]);
        let draw = |words: &[u64]| table.sample(&mut Fixed(words.to_vec()));
        assert_eq!(draw(&[(high - 1) << 1, u64::MAX]), 3);
        assert_eq!(draw(&[high << 1, low - 1]), 3);
        assert_eq!(draw(&[high << 1, low]), 4);
        assert_eq!(draw(&[high << 1 | 1, low]), -4);
        assert_eq!(draw(&[u64::MAX, u64::MAX]), -(table.high.len() as i64 - 1));
    }
}
