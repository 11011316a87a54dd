//! What a round costs its contributors, by the same accountant that the devices charge with.

use sealsum_protocol::dp::accountant::{Charge, Orders};
use sealsum_protocol::dp::variance::Variance;
use sealsum_protocol::error::Refusal;
use sealsum_protocol::parameters::Parameters;
use sealsum_protocol::task::{Privacy, Task, Weights};

use crate::record::PrivacyRecord;

/// The noise of one cohort of a task, and its price.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Of each device, per coordinate, in units squared.
    pub variance: Variance,
    charge: Charge,
    alone: Option<Charge>,
    delta: f64,
}

impl Noise {
    /// The noise that each device of a cohort adds; none if the task asks for none.
    ///
    /// # Errors
    /// A sentence, when the task's numbers allow no such noise.
    pub fn of(task: &Task, cohort: &Parameters) -> Result<Option<Self>, String> {
        let Privacy::Noise { delta, .. } = task.privacy else { return Ok(None) };
        let text = |error: Refusal| error.detail;
        let (Some((_, variance)), Some(charge)) =
            (task.noise(cohort).map_err(text)?, task.charge(cohort).map_err(text)?)
        else {
            return Ok(None);
        };
        let alone = task.charge_among(cohort, 1).ok().flatten();
        Ok(Some(Self { variance, charge, alone, delta }))
    }

    /// The (xi, rho) charge of one round.
    pub fn charge(&self) -> Charge {
        self.charge
    }

    /// Epsilon of one round.
    pub fn epsilon(&self) -> f64 {
        self.charge.epsilon(self.delta, Orders::Integer)
    }

    /// Epsilon of this round after rounds that cost `before`; none beyond what can be counted.
    pub fn epsilon_with(&self, before: Charge) -> Option<f64> {
        Some(self.charge.checked_add(before)?.epsilon(self.delta, Orders::Integer))
    }

    /// Epsilon of `rounds` rounds like this one; none beyond what can be counted.
    pub fn epsilon_of(&self, rounds: u64) -> Option<f64> {
        let Charge { xi, rho } = self.charge;
        let total = Charge { xi: xi.checked_mul(rounds)?, rho: rho.checked_mul(rounds)? };
        Some(total.epsilon(self.delta, Orders::Integer))
    }

    /// Epsilon of one round for a device whose noise alone is honest; none beyond what can be
    /// counted.
    pub fn epsilon_if_alone(&self) -> Option<f64> {
        self.alone.map(|alone| alone.epsilon(self.delta, Orders::Integer))
    }

    /// Standard deviation of the noise in one coordinate of a sum over `contributors`, in the
    /// task's own units (not integer units).
    pub fn deviation(&self, task: &Task, contributors: usize) -> f64 {
        let largest_weight = match task.weights {
            Weights::Equal => 1.0,
            Weights::UpTo(max) => f64::from(max),
        };
        let unit = largest_weight / task.scale as f64;
        (self.variance_in_units() * contributors as f64).sqrt() * unit
    }

    /// Of each device, per coordinate, in units squared, as a float.
    pub fn variance_in_units(&self) -> f64 {
        self.variance.numerator() as f64 / self.variance.denominator() as f64
    }

    /// What `round show` says, after earlier rounds of the task that cost `before`.
    pub fn record(&self, before: Charge) -> PrivacyRecord {
        PrivacyRecord {
            rho: Some(from_fixed(self.charge.rho)),
            xi: Some(from_fixed(self.charge.xi)),
            epsilon_round: Some(self.epsilon()),
            epsilon_task: self.epsilon_with(before),
            delta: Some(self.delta),
            epsilon_if_alone: self.epsilon_if_alone(),
        }
    }
}

/// The charge that a record names. Records hold exact multiples of 2^-48 below 2^5; larger ones
/// are rounded to the nearest float.
pub fn recorded_charge(record: &PrivacyRecord) -> Charge {
    Charge { xi: to_fixed(record.xi), rho: to_fixed(record.rho) }
}

fn unit() -> f64 {
    (1u64 << sealsum_protocol::dp::accountant::FRACTION) as f64
}

fn from_fixed(value: u64) -> f64 {
    value as f64 / unit()
}

fn to_fixed(value: Option<f64>) -> u64 {
    (value.unwrap_or(0.0) * unit()).ceil() as u64
}
