//! What rounds cost: (ξ, ρ) such that the Rényi divergence of order α is at most ξ + ρ α.
//!
//! Agarwal, Kairouz, Liu (NeurIPS 2021) for Skellam noise of central variance μ = h v in the sum of
//! h honest contributors: ρ = D2²/(2μ) (1 + 1/μ), ξ = max(0, (6 D1 - D2²)/(4 μ²)), for integer
//! orders α >= 2.
//!
//! Kairouz, Liu, Steinke (ICML 2021) for the sum of h discrete Gaussians of variance σ², which is
//! nearly one: with τ = 10 Σ_{k<h} exp(-2π²σ² k/(k+1)) and l = D/(√h σ) the divergence is at most
//! each of α/2 l2² + τ d, α/2 (l2² + 2 l1 τ + τ² d) and α/2 (l2 + √d τ)², for all orders.
//!
//! Charges add. They are integers in 2^-48, rounded up; ε is for display.

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

    /// The same for discrete Gaussian noise on `coordinates` coordinates.
    ///
    /// # Errors
    /// [`Unbounded`] if the charge is too large to count.
    pub fn discrete_gaussian(
        sensitivity: &Sensitivity,
        variance: &Variance,
        honest: usize,
        coordinates: usize,
    ) -> Result<Self, Unbounded> {
        let (h, d) = (honest as f64, coordinates as f64);
        let local = variance.numerator() as f64 / variance.denominator() as f64;
        let tau = overlap(local, honest);
        let (l2, l1) = sensitivity.norms();
        let (l2, l1) = (l2 / (h * local).sqrt(), l1 / (h * local).sqrt());
        let joint = l2 * l2 + 2.0 * l1 * tau + tau * tau * d;
        let spread = (l2 + d.sqrt() * tau).powi(2);
        let apart = Self::up(tau * d, l2 * l2 / 2.0)?;
        let together = Self::up(0.0, joint.min(spread) / 2.0)?;
        // All hold. Which is lowest depends on the order, and hardly ever matters.
        let at_typical_delta = |charge: &Self| charge.epsilon(1e-6, Orders::Real);
        let apart_is_lower = at_typical_delta(&apart) < at_typical_delta(&together);
        Ok(if apart_is_lower { apart } else { together })
    }

    /// From floating point, with room for its errors.
    fn up(xi: f64, rho: f64) -> Result<Self, Unbounded> {
        let fixed = |value: f64| {
            let scaled = (value * ERRORS * (1u64 << FRACTION) as f64).ceil();
            if scaled < u64::MAX as f64 { Ok(scaled as u64) } else { Err(Unbounded) }
        };
        Ok(Self { xi: fixed(xi)?, rho: fixed(rho)? })
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

/// More than all rounding errors of a few floating-point operations together.
const ERRORS: f64 = 1.0 + 1e-12;

/// τ: how far the sum of `honest` discrete Gaussians of this variance is from one.
fn overlap(variance: f64, honest: usize) -> f64 {
    let term = |k: usize| {
        let exponent = -2.0 * std::f64::consts::PI.powi(2) * variance;
        (exponent * k as f64 / (k + 1) as f64).exp()
    };
    10.0 * (1..honest).map(term).sum::<f64>()
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
