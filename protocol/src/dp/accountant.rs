//! What rounds cost: (ξ, ρ) such that the Rényi divergence of order α is at most ξ + ρ α.
//!
//! Agarwal, Kairouz, Liu (NeurIPS 2021) for Skellam noise of central variance μ = h v in the sum of
//! h honest contributors: ρ = D2²/(2μ) (1 + 1/μ), ξ = max(0, (6 D1 - D2²)/(4 μ²)), for integer
//! orders α >= 2. Charges add. They are integers in 2^-48, rounded up; ε is for display.

use super::sensitivity::Sensitivity;
use super::variance::Variance;
use num_bigint::BigUint;
use thiserror::Error;

/// Fractional bits of a charge.
pub const FRACTION: u32 = 48;

/// A charge, or the sum of charges, in 2^-48.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// ξ, the part that does not grow with the order.
    pub xi: u64,
    /// ρ, the part that grows with the order (zero-concentrated differential privacy).
    pub rho: u64,
}

/// A charge too large to count: there is hardly any noise.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the privacy charge exceeds 2^16, which protects nothing; raise noise_multiplier")]
pub struct Unbounded;

/// Which orders of the divergence the bound holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// Integers from 2 on: Skellam noise.
    Integer,
    /// All reals above 1: Gaussian noise, discrete or not.
    Real,
}

impl Charge {
    /// The cost of one round to a device whose vector is within `sensitivity`, where at least
    /// `honest` contributors add noise of `variance` each.
    ///
    /// # Errors
    /// [`Unbounded`] if the charge is too large to count.
    pub fn skellam(
        sensitivity: &Sensitivity,
        variance: &Variance,
        honest: usize,
    ) -> Result<Self, Unbounded> {
        // μ = m/q; D2² = s/2^32, D1 = o/2^32.
        let m = BigUint::from(variance.numerator()) * honest;
        let q = BigUint::from(variance.denominator());
        let (s, o) = sensitivity.fixed();
        let rho = ceil_fixed(&q * (&m + &q) * s, (&m * &m) << 1u8)?;
        let six_l1 = BigUint::from(o) * 6u8;
        let excess = six_l1.clone() - six_l1.min(BigUint::from(s));
        let xi = ceil_fixed(&q * &q * excess, (&m * &m) << 2u8)?;
        Ok(Self { xi, rho })
    }

    /// Both charges; `None` beyond what can be counted.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self { xi: self.xi.checked_add(other.xi)?, rho: self.rho.checked_add(other.rho)? })
    }

    /// The smallest ε such that (ε, δ)-differential privacy follows, for display: the conversion
    /// of Canonne, Kamath, Steinke (NeurIPS 2020), minimised over the orders.
    pub fn epsilon(self, delta: f64, orders: Orders) -> f64 {
        let unit = (1u64 << FRACTION) as f64;
        let (xi, rho) = (self.xi as f64 / unit, self.rho as f64 / unit);
        if self.xi == 0 && self.rho == 0 {
            return 0.0;
        }
        let epsilon = |alpha: f64| {
            let spread = alpha * (-1.0 / alpha).ln_1p() - (alpha - 1.0).ln() - delta.ln();
            xi + rho * alpha + spread / (alpha - 1.0)
        };
        let best = lowest(epsilon);
        match orders {
            Orders::Real => epsilon(best),
            Orders::Integer => {
                let below = best.floor().max(2.0);
                epsilon(below).min(epsilon(below + 1.0))
            }
        }
        .max(0.0)
    }
}

/// numerator / denominator with `Sensitivity::FRACTION` bits in the numerator, to 2^-48, up.
fn ceil_fixed(numerator: BigUint, denominator: BigUint) -> Result<u64, Unbounded> {
    let scaled: BigUint = numerator << (FRACTION - Sensitivity::FRACTION);
    let rounded: BigUint = (scaled + (&denominator - 1u8)) / denominator;
    rounded.try_into().map_err(|_| Unbounded)
}

/// Where a function of α with one minimum is lowest, by ternary search on log(α - 1).
fn lowest(function: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (1e-6f64.ln(), 1e12f64.ln());
    for _ in 0..200 {
        let third = (high - low) / 3.0;
        if function(1.0 + (low + third).exp()) < function(1.0 + (high - third).exp()) {
            high -= third;
        } else {
            low += third;
        }
    }
    1.0 + low.exp()
}
