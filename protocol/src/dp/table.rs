//! Draws from a symmetric law on the integers, from a table of integer thresholds.
//!
//! The table holds floor(2^127 P(|Z| <= k)); a draw takes 64 random bits, one for the sign and 63 to
//! compare, and 64 more only when those tie with a threshold. No floating point is involved; each
//! probability is off by at most 2^-127.
//!
//! A short table, of noise of deviation 16 or so at most, is compared as a whole for each draw: no
//! branch and no address depends on what comes out, but for ties, which come once in 2^55 draws. A
//! long one is entered through a guide.

use num_bigint::BigUint;
use rand_core::Rng;

/// Values less likely than 2^-140 of the mode are left out of a table.
pub(super) const CUT_BITS: u64 = 140;

/// Tables of up to so many entries are compared as a whole.
const MOST_SCANNED: usize = 256;

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

    /// The draw that a random word makes; `rng` gives another one where it ties.
    pub(super) fn sample(&self, word: u64, rng: &mut impl Rng) -> i64 {
        let (draw, negative) = (word >> 1, (word & 1) as i64);
        let below = if self.high.len() <= MOST_SCANNED { self.scan(draw) } else { self.find(draw) };
        let magnitude = match below {
            Place::Between(magnitude) => magnitude,
            Place::Tied(first) => self.settle(first, draw, rng.next_u64()),
        };
        (magnitude as i64 ^ -negative) + negative
    }

    /// The place of a draw, in the same time wherever it is.
    #[inline]
    fn scan(&self, draw: u64) -> Place {
        let (mut below, mut ties) = (0, 0);
        // All words but the last are of 63 bits, and the last is above any draw.
        for high in &self.high[..self.high.len() - 1] {
            below += high.wrapping_sub(draw) >> 63;
            ties += (high ^ draw).wrapping_sub(1) >> 63;
        }
        if ties == 0 { Place::Between(below as usize) } else { Place::Tied(below as usize) }
    }

    /// The same from where the guide points to.
    #[inline]
    fn find(&self, draw: u64) -> Place {
        let mut magnitude = self.guide[(draw >> (63 - self.guide_bits)) as usize] as usize;
        while self.high[magnitude] < draw {
            magnitude += 1;
        }
        if self.high[magnitude] == draw {
            Place::Tied(magnitude)
        } else {
            Place::Between(magnitude)
        }
    }

    /// Decides a tie, from the first threshold that is tied, by 64 more bits.
    fn settle(&self, first: usize, draw: u64, rest: u64) -> usize {
        let is_passed = |place: &usize| self.high[*place] == draw && self.low[*place] <= rest;
        (first..).find(|place| !is_passed(place)).unwrap_or(first)
    }

    /// floor(2^127 P(|Z| <= k)) for each k but the last.
    pub(super) fn thresholds(&self) -> impl Iterator<Item = u128> + '_ {
        let words = self.high.iter().zip(&self.low).take(self.high.len() - 1);
        words.map(|(high, low)| u128::from(*high) << 64 | u128::from(*low))
    }
}

/// Where a draw is among the upper words of the thresholds.
#[derive(Debug, PartialEq)]
enum Place {
    /// Above so many of them, and equal to none.
    Between(usize),
    /// Equal to the one of this index, the first of its kind.
    Tied(usize),
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
    fn a_scan_and_a_guided_search_find_the_same() {
        let variances = [(1, 100), (1, 4), (64, 1), (256, 1)];
        for (p, q) in variances {
            for weights in
                [super::super::skellam::weights(p, q), super::super::gaussian::weights(p, q)]
            {
                let table = Table::new(&weights);
                assert!(table.high.len() <= MOST_SCANNED, "{p}/{q}: {}", table.high.len());
                let edges =
                    table.high.iter().flat_map(|high| [high - 1, *high, high.wrapping_add(1)]);
                let spread = (0..10_000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                for draw in edges.chain(spread).map(|draw| draw & (u64::MAX >> 1)) {
                    assert_eq!(table.scan(draw), table.find(draw), "{p}/{q}: {draw:x}");
                }
            }
        }
    }

    #[test]
    fn a_tie_is_decided_by_the_lower_bits() {
        let table = Table::new(&super::super::skellam::weights(64, 1));
        let (high, low) = (table.high[3], table.low[3]);
        let draw = |words: &[u64; 2]| table.sample(words[0], &mut Fixed(vec![words[1]]));
        assert_eq!(draw(&[(high - 1) << 1, u64::MAX]), 3);
        assert_eq!(draw(&[high << 1, low - 1]), 3);
        assert_eq!(draw(&[high << 1, low]), 4);
        assert_eq!(draw(&[high << 1 | 1, low]), -4);
        assert_eq!(draw(&[u64::MAX, u64::MAX]), -(table.high.len() as i64 - 1));
    }
}
