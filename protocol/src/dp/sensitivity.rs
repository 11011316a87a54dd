//! How far one device can move a sum, in integer units.
//!
//! Kairouz, Liu, Steinke (ICML 2021), theorem 1 with β = e^-1/2: a vector of L2 norm at most
//! c s, rounded stochastically and kept only if it passes the check, has squared norm at most
//! D2² = min{ (c s + √d)², (c s)² + d/4 + c s + √d/2 }. Integers that are not rounded at all have
//! D2 = c s. Bounds are fixed point with 32 fractional bits, rounded up, so that every device
//! computes the same.

use num_bigint::BigUint;
use thiserror::Error;

/// Largest clip in units, clip times scale.
pub const MOST_UNITS: f64 = (1u64 << 40) as f64;

/// The bounds D2² and D1 that the integer check enforces on every device's vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensitivity {
    l2_squared: u128,
    l1: u128,
}

/// A clip, scale or length without a bound. The task is at fault.
#[derive(Debug, Error, PartialEq)]
pub enum SensitivityError {
    /// Not a positive finite number.
    #[error("clip = {0} must be a positive finite number")]
    Clip(f64),
    /// Not a power of two.
    #[error("scale = {0} must be a power of two")]
    Scale(u64),
    /// clip times scale is too large.
    #[error("clip times scale is {0}, more than 2^40 units; lower scale")]
    Units(f64),
    /// clip times scale is below one unit: everything would round to noise.
    #[error("clip times scale is {0}, less than one unit; raise scale")]
    TooCoarse(f64),
    /// No coordinates, or more than a vector may have.
    #[error("{0} coordinates are outside 1 to 2^26")]
    Coordinates(usize),
}

const FRACTION: u32 = 32;
const HALF_FRACTION: u32 = FRACTION / 2;

impl Sensitivity {
    /// The bounds for vectors of `coordinates` values of L2 norm at most `clip`, in units of
    /// 1/`scale`.
    ///
    /// # Errors
    /// [`SensitivityError`] if the task's numbers are out of bounds.
    pub fn new(clip: f64, scale: u64, coordinates: usize) -> Result<Self, SensitivityError> {
        let units = check(clip, scale, coordinates)?;
        Ok(Self::rounded(units, coordinates as u128))
    }

    /// The bounds for vectors that are integers already, of this squared L2 norm at most:
    /// histograms and counts, which nothing needs to round.
    ///
    /// # Errors
    /// [`SensitivityError`] if there are no coordinates, too many, or the norm is 0.
    pub fn of_integers(squared_norm: u32, coordinates: usize) -> Result<Self, SensitivityError> {
        check(f64::from(squared_norm).sqrt(), 1, coordinates)?;
        let l2_squared = u128::from(squared_norm) << FRACTION;
        Ok(Self { l2_squared, l1: l1(l2_squared, coordinates as u128) })
    }

    fn rounded(units: f64, d: u128) -> Self {
        let radius = fixed(units);
        let root = ceil_sqrt(d << FRACTION);
        let always = (radius + root).pow(2);
        let likely = radius.pow(2)
            + (d << (FRACTION - 2))
            + (radius << HALF_FRACTION)
            + (root << (HALF_FRACTION - 1));
        let l2_squared = always.min(likely);
        Self { l2_squared, l1: l1(l2_squared, d) }
    }

    /// floor(D2²): what the sum of the squares of a device's integers may not exceed.
    pub fn l2_squared_units(&self) -> u128 {
        self.l2_squared >> FRACTION
    }

    /// floor(D2): the largest integer in any one coordinate.
    pub fn largest_coordinate(&self) -> u64 {
        self.l2_squared_units().isqrt() as u64
    }

    /// D2² and D1 times 2^32.
    pub(crate) fn fixed(&self) -> (u128, u128) {
        (self.l2_squared, self.l1)
    }

    /// D2 and D1, for display and for bounds in floating point.
    pub fn norms(&self) -> (f64, f64) {
        let unit = f64::from(FRACTION).exp2();
        ((self.l2_squared as f64 / unit).sqrt(), self.l1 as f64 / unit)
    }

    /// Fractional bits of [`Self::fixed`].
    pub(crate) const FRACTION: u32 = FRACTION;
}

/// clip times scale, if both and the length are in bounds.
fn check(clip: f64, scale: u64, coordinates: usize) -> Result<f64, SensitivityError> {
    if !(clip.is_finite() && clip > 0.0) {
        return Err(SensitivityError::Clip(clip));
    }
    if !scale.is_power_of_two() {
        return Err(SensitivityError::Scale(scale));
    }
    if !(1..=crate::encoding::MOST_COORDINATES).contains(&coordinates) {
        return Err(SensitivityError::Coordinates(coordinates));
    }
    let units = clip * scale as f64;
    if units > MOST_UNITS {
        return Err(SensitivityError::Units(units));
    }
    if units < 1.0 {
        return Err(SensitivityError::TooCoarse(units));
    }
    Ok(units)
}

/// Units with 16 fractional bits, rounded up.
fn fixed(units: f64) -> u128 {
    (units * f64::from(1 << HALF_FRACTION)).ceil() as u128
}

/// D1 = min(√d D2, D2²), the second because integers satisfy |q| <= q².
fn l1(l2_squared: u128, d: u128) -> u128 {
    let product = (BigUint::from(l2_squared) * d) << FRACTION;
    let root = product.sqrt() + 1u8;
    root.min(BigUint::from(l2_squared)).try_into().unwrap_or(l2_squared)
}

fn ceil_sqrt(value: u128) -> u128 {
    let root = value.isqrt();
    root + u128::from(root * root < value)
}
