//! Tails of the hypergeometric distribution, the same on every machine.
//!
//! Each device derives the parameters of a round itself, so all of them must get the same numbers.
//! Platform logarithms differ in the last bit; the arithmetic here is a floating point of integers
//! (64 bits of mantissa), so a tail is off by at most a relative 2^-48 and by the same amount
//! everywhere.

use std::cmp::Ordering;

/// Hyp(population, marked, draws): how many marked items are among `draws` taken without putting
/// any back.
#[derive(Clone, Copy, Debug)]
pub struct Hypergeometric {
    /// How many items there are; at most 2^16.
    pub population: u64,
    /// How many of them are marked; at most `population`.
    pub marked: u64,
    /// How many are drawn; at most `population`.
    pub draws: u64,
}

/// A bound 2^-`bits` / `divisor` on a probability.
#[derive(Clone, Copy, Debug)]
pub struct Rarity {
    /// Security or reliability level in bits.
    pub bits: u32,
    /// Over how many events the bound is spread (a union bound).
    pub divisor: u64,
}

impl Hypergeometric {
    /// The smallest c with Pr\[X > c\] within `rarity`.
    pub fn upper_quantile(&self, rarity: Rarity) -> u64 {
        let weights = self.weights();
        let from_above = weights.iter().enumerate().rev();
        self.first_beyond(from_above, rarity.of(sum(&weights))).unwrap_or(self.least())
    }

    /// The largest s with Pr\[X < s\] within `rarity`.
    pub fn lower_quantile(&self, rarity: Rarity) -> u64 {
        let weights = self.weights();
        let from_below = weights.iter().enumerate();
        self.first_beyond(from_below, rarity.of(sum(&weights))).unwrap_or(self.most())
    }

    /// The first value at which the weights summed so far exceed `limit`.
    fn first_beyond<'a>(
        &self,
        weights: impl Iterator<Item = (usize, &'a Float)>,
        limit: Float,
    ) -> Option<u64> {
        let mut tail = Float::ZERO;
        for (index, weight) in weights {
            tail = tail.plus(*weight);
            if tail.exceeds(limit) {
                return Some(self.least() + index as u64);
            }
        }
        None
    }

    fn least(&self) -> u64 {
        self.draws.saturating_sub(self.population - self.marked)
    }

    fn most(&self) -> u64 {
        self.draws.min(self.marked)
    }

    /// Probabilities from the least to the most possible value, up to one common factor.
    fn weights(&self) -> Vec<Float> {
        let Self { population, marked, draws } = *self;
        let mut weights = vec![Float::ONE];
        let mut last = Float::ONE;
        for i in self.least()..self.most() {
            let numerator = (marked - i) * (draws - i);
            let denominator = (i + 1) * (population + i + 1 - marked - draws);
            last = last.scaled(numerator, denominator);
            weights.push(last);
        }
        weights
    }
}

impl Rarity {
    fn of(self, total: Float) -> Float {
        let mut limit = total.scaled(1, self.divisor);
        limit.exponent -= self.bits as i32;
        limit
    }
}

fn sum(weights: &[Float]) -> Float {
    weights.iter().fold(Float::ZERO, |total, weight| total.plus(*weight))
}

/// `mantissa` * 2^`exponent`, the mantissa with its top bit set, or zero.
#[derive(Clone, Copy, Debug)]
struct Float {
    mantissa: u64,
    exponent: i32,
}

impl Float {
    const ZERO: Self = Self { mantissa: 0, exponent: 0 };
    const ONE: Self = Self { mantissa: 1 << 63, exponent: -63 };

    fn normal(wide: u128, exponent: i32) -> Self {
        if wide == 0 {
            return Self::ZERO;
        }
        let shift = 64 - wide.leading_zeros() as i32;
        let mantissa = if shift >= 0 { wide >> shift } else { wide << -shift };
        Self { mantissa: mantissa as u64, exponent: exponent + shift }
    }

    /// Times numerator / denominator; both below 2^32.
    fn scaled(self, numerator: u64, denominator: u64) -> Self {
        let product = u128::from(self.mantissa) * u128::from(numerator);
        let spare = product.leading_zeros().min(32);
        Self::normal((product << spare) / u128::from(denominator), self.exponent - spare as i32)
    }

    fn plus(self, other: Self) -> Self {
        let (big, small) = if other.exceeds(self) { (other, self) } else { (self, other) };
        let gap = big.exponent - small.exponent;
        if small.mantissa == 0 || gap > 63 {
            return big;
        }
        Self::normal(u128::from(big.mantissa) + u128::from(small.mantissa >> gap), big.exponent)
    }

    fn exceeds(self, other: Self) -> bool {
        match (self.mantissa, other.mantissa) {
            (0, _) => false,
            (_, 0) => true,
            _ => {
                self.exponent.cmp(&other.exponent).then(self.mantissa.cmp(&other.mantissa))
                    == Ordering::Greater
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigUint;

    fn choose(n: u64, k: u64) -> BigUint {
        (0..k).fold(BigUint::from(1u8), |product, i| product * (n - i) / (i + 1))
    }

    /// Pr[X in range] * C(population, draws), exactly.
    fn ways(law: &Hypergeometric, values: impl Iterator<Item = u64>) -> BigUint {
        values
            .filter(|v| *v >= law.least() && *v <= law.most())
            .map(|v| choose(law.marked, v) * choose(law.population - law.marked, law.draws - v))
            .fold(BigUint::ZERO, |total, term| total + term)
    }

    fn within(law: &Hypergeometric, ways: BigUint, rarity: Rarity) -> bool {
        (ways * rarity.divisor) << rarity.bits <= choose(law.population, law.draws)
    }

    #[test]
    fn quantiles_agree_with_exact_binomials() {
        for (population, marked, draws, bits) in [
            (19, 3, 8, 5),
            (99, 10, 42, 40),
            (199, 20, 70, 104),
            (999, 900, 146, 20),
            (120, 119, 119, 20),
            (60, 0, 30, 20),
            (60, 60, 30, 20),
        ] {
            let law = Hypergeometric { population, marked, draws };
            let rarity = Rarity { bits, divisor: population + 1 };
            let high = law.upper_quantile(rarity);
            assert!(within(&law, ways(&law, high + 1..=draws), rarity), "{law:?}");
            assert!(high == 0 || !within(&law, ways(&law, high..=draws), rarity), "{law:?}");
            let low = law.lower_quantile(rarity);
            assert!(within(&law, ways(&law, 0..low), rarity), "{law:?}");
            assert!(low == law.most() || !within(&law, ways(&law, 0..low + 1), rarity), "{law:?}");
        }
    }
}
