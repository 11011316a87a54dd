//! The ring that no sum leaves.
//!
//! A coordinate of a sum is at most n floor(D2) from the values, and the noise exceeds T with
//! probability at most 2 exp(-T²/(2 (μ + T/3))) (Bernstein's inequality; Skellam noise is made of
//! jumps of ±1, μ = n v; a Gaussian's tail is thinner). T is chosen so that this, over all coordinates, is below 10^-9 a round.
//! Integers only, so that owner and device find the same ring.

use super::sensitivity::Sensitivity;
use super::variance::{Variance, VarianceError};
use crate::parameters::{CohortInputs, SMALLEST_COHORT};
use num_bigint::BigUint;
use thiserror::Error;

/// What the width of the ring depends on.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Coordinates of a vector.
    pub coordinates: usize,
    /// What one device can contribute.
    pub sensitivity: &'a Sensitivity,
    /// Whether vectors are rotated, which spreads each over all coordinates.
    pub rotated: bool,
    /// Noise multiplier z; `None` without noise.
    pub noise_multiplier: Option<f64>,
    /// The task's cohorts.
    pub cohort: &'a CohortInputs,
    /// Devices of one round at most.
    pub max_devices: u32,
    /// Corrupt devices assumed in the whole fleet.
    pub corrupt_fleet: u32,
}

/// No ring fits. The task is at fault.
#[derive(Debug, Error, PartialEq)]
pub enum PlanError {
    /// More than 64 bits.
    #[error("sums of {max_devices} devices need more than 64 bits; lower scale or max_devices")]
    TooWide {
        /// Devices of one round at most.
        max_devices: u32,
    },
    /// The ring named is narrower than the sums.
    #[error("ring_bits = {given} overflows; {needed} bits are needed")]
    TooNarrow {
        /// What the task names.
        given: u8,
        /// The fewest bits that hold.
        needed: u8,
    },
    /// No noise of this strength can be drawn.
    #[error(transparent)]
    Noise(#[from] VarianceError),
    /// No cohort has an honest member for sure.
    #[error("no cohort of up to {max_devices} devices is certain to have an honest contributor")]
    NobodyHonest {
        /// Devices of one round at most.
        max_devices: u32,
    },
}

/// Fewest bits of a ring.
const FEWEST_BITS: u32 = 8;
/// Chance of an overflow in a round: one in so many.
const OVERFLOW_ONE_IN: u128 = 1_000_000_000;

impl Plan<'_> {
    /// The fewest ring bits such that a sum overflows with probability below 10^-9 a round.
    ///
    /// # Errors
    /// [`PlanError`] if there are none.
    pub fn ring_bits(&self) -> Result<u8, PlanError> {
        let largest = self.value_bound() + self.noise_bound()?;
        let bits = (u128::BITS - largest.leading_zeros() + 1).max(FEWEST_BITS);
        match u8::try_from(bits) {
            Ok(bits) if bits <= 64 => Ok(bits),
            _ => Err(PlanError::TooWide { max_devices: self.max_devices }),
        }
    }

    /// Refuses a ring that is too narrow.
    ///
    /// # Errors
    /// [`PlanError`] with the bits that are needed.
    pub fn check(&self, ring_bits: u8) -> Result<(), PlanError> {
        let needed = self.ring_bits()?;
        if ring_bits < needed {
            return Err(PlanError::TooNarrow { given: ring_bits, needed });
        }
        Ok(())
    }

    /// What the values of all devices sum to at most in one coordinate. A rotated vector of norm c
    /// is at most c √(2 L / D) there except with probability 2 exp(-L) (Hoeffding), and each device
    /// rounds by less than 1.
    fn value_bound(&self) -> u128 {
        let devices = u128::from(self.max_devices);
        let always = devices * u128::from(self.sensitivity.largest_coordinate());
        if !self.rotated {
            return always;
        }
        let total = BigUint::from(self.sensitivity.l2_squared_units() + 1) * devices * devices;
        let spread: BigUint = total * 2u8 * self.log_rarity() / self.coordinates;
        let likely = u128::try_from(spread.sqrt()).map_or(always, |spread| spread + 1 + devices);
        likely.min(always)
    }

    /// L such that 2 exp(-L) over all coordinates is the chance of an overflow, or half of it where
    /// values can overflow too.
    fn log_rarity(&self) -> u128 {
        let causes = if self.rotated { 2 } else { 1 };
        log_bound(2 * causes * OVERFLOW_ONE_IN * self.coordinates as u128)
    }

    /// T: T >= L/3 + sqrt(L²/9 + 2 L μ) solves T² >= 2 L (μ + T/3).
    fn noise_bound(&self) -> Result<u128, PlanError> {
        let Some(z) = self.noise_multiplier else { return Ok(0) };
        let variance = self.largest_total(z)?;
        let l = self.log_rarity();
        let third = l.div_ceil(3);
        Ok(third + (third * third + 2 * l * variance).isqrt() + 1)
    }

    /// The largest n v over the cohorts of the task, rounded up.
    fn largest_total(&self, z: f64) -> Result<u128, PlanError> {
        let smallest = (self.cohort.min_contributors as usize).max(SMALLEST_COHORT);
        let mut largest = None;
        for n in smallest..=self.max_devices as usize {
            let corrupt = self.cohort.corrupt(n, self.corrupt_fleet);
            let a_min = self.cohort.a_min(n, corrupt);
            if a_min > n || a_min <= corrupt {
                continue;
            }
            let v = Variance::for_device(z, self.sensitivity, a_min, corrupt)?;
            let total = (v.numerator() * n as u128).div_ceil(v.denominator());
            largest = largest.max(Some(total));
        }
        largest.ok_or(PlanError::NobodyHonest { max_devices: self.max_devices })
    }
}

/// An integer of at least ln(value): the bits of the value times 0.6932.
fn log_bound(value: u128) -> u128 {
    let bits = u128::from(u128::BITS - value.leading_zeros());
    (bits * 6932).div_ceil(10_000)
}
