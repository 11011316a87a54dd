//! The noise variance of one device, in squared units, as a rational.

use super::sensitivity::Sensitivity;
use num_bigint::BigUint;
use std::fmt;
use thiserror::Error;

/// A positive rational, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variance {
    numerator: u128,
    denominator: u128,
}

/// No variance keeps the promise.
#[derive(Debug, Error, PartialEq)]
pub enum VarianceError {
    /// Not a positive finite number, or absurdly large.
    #[error("noise_multiplier = {0} is outside 2^-10 to 2^20")]
    Multiplier(f64),
    /// Every contributor may be corrupt and know its own noise.
    #[error("of {a_min} contributors {corrupt} may be corrupt: nobody's noise is certain")]
    NobodyHonest {
        /// Fewest contributors.
        a_min: usize,
        /// Corrupt devices assumed.
        corrupt: usize,
    },
    /// Out of bounds for a sampler.
    #[error("a noise variance of {0} squared units or more cannot be drawn; lower scale")]
    TooLarge(u128),
    /// Not a positive rational.
    #[error("a noise variance must be a positive rational")]
    NotPositive,
}

/// Variances are multiples of 2^-20 squared units.
const FRACTION: u32 = 20;
/// Largest variance, squared units: a sampler draws it in 2^16 parts.
pub const MOST_VARIANCE: u128 = 1 << 40;

impl Variance {
    /// numerator / denominator.
    ///
    /// # Errors
    /// [`VarianceError::NotPositive`] if either is zero, [`VarianceError::TooLarge`] above 2^40.
    pub fn new(numerator: u128, denominator: u128) -> Result<Self, VarianceError> {
        if numerator == 0 || denominator == 0 {
            return Err(VarianceError::NotPositive);
        }
        if numerator / denominator >= MOST_VARIANCE {
            return Err(VarianceError::TooLarge(MOST_VARIANCE));
        }
        let divisor = gcd(numerator, denominator);
        Ok(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// v = z² D2² / (A_min - c), rounded up: what each device adds so that the honest ones among
    /// the fewest contributors together add standard deviation z D2.
    ///
    /// # Errors
    /// [`VarianceError`] if no such noise exists or it is too large to draw.
    pub fn for_device(
        z: f64,
        sensitivity: &Sensitivity,
        a_min: usize,
        corrupt: usize,
    ) -> Result<Self, VarianceError> {
        let honest = a_min.saturating_sub(corrupt);
        if honest == 0 {
            return Err(VarianceError::NobodyHonest { a_min, corrupt });
        }
        let total = total(z, sensitivity)?;
        let numerator = (total + (honest - 1)) / honest;
        let numerator = numerator.try_into().map_err(|_| VarianceError::TooLarge(MOST_VARIANCE))?;
        Self::new(numerator, 1 << FRACTION)
    }

    /// Numerator, lowest terms.
    pub fn numerator(&self) -> u128 {
        self.numerator
    }

    /// Denominator, lowest terms.
    pub fn denominator(&self) -> u128 {
        self.denominator
    }
}

impl fmt::Display for Variance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.numerator, self.denominator)
    }
}

/// z² D2² times 2^20, rounded up. z is taken to 2^-20 upward, exactly the same on each machine.
fn total(z: f64, sensitivity: &Sensitivity) -> Result<BigUint, VarianceError> {
    let in_bounds = z >= 1.0 / 1024.0 && z <= f64::from(1 << 20);
    if !in_bounds {
        return Err(VarianceError::Multiplier(z));
    }
    let z = BigUint::from((z * f64::from(1 << FRACTION)).ceil() as u64);
    let (l2_squared, _) = sensitivity.fixed();
    let surplus = 2 * FRACTION + Sensitivity::FRACTION - FRACTION;
    let exact = &z * &z * l2_squared;
    Ok((exact + ((BigUint::from(1u8) << surplus) - 1u8)) >> surplus)
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
