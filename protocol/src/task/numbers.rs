//! What follows from a task alone: sensitivity, layout, noise, charge, and whether a ring is wide
//! enough.

use super::{Privacy, Task, TaskFields};
use crate::dp::accountant::Charge;
use crate::dp::planner::{Plan, PlanError};
use crate::dp::sensitivity::{Sensitivity, SensitivityError};
use crate::dp::variance::Variance;
use crate::dp::{Law, hadamard};
use crate::encoding::Layout;
use crate::error::Refusal;
use crate::guard::Guard;
use crate::ids::Hash;
use crate::parameters::{CohortInputs, Parameters};
use crate::transcript;

impl TaskFields {
    /// What the parameters of a round follow from.
    pub fn cohort_inputs(&self) -> CohortInputs {
        CohortInputs {
            min_contributors: self.min_contributors,
            corrupt_share_permille: self.corrupt_share_permille,
            dropout_share_permille: self.dropout_share_permille,
        }
    }

    /// The bounds on one device's integers.
    ///
    /// # Errors
    /// [`SensitivityError`] if clip, scale or coordinates are out of bounds; never for a [`Task`].
    pub fn sensitivity(&self) -> Result<Sensitivity, SensitivityError> {
        match self.kind.template().and_then(|template| template.squared_norm) {
            Some(squared) => Sensitivity::of_integers(squared, self.summed_coordinates()),
            None => Sensitivity::new(self.clip, self.scale, self.summed_coordinates()),
        }
    }

    /// z, or `None` without noise.
    pub fn noise_multiplier(&self) -> Option<f64> {
        match self.privacy {
            Privacy::None => None,
            Privacy::Noise { z_permille, .. } => Some(f64::from(z_permille) / 1000.0),
        }
    }

    /// The fewest ring bits that hold every sum.
    ///
    /// # Errors
    /// [`PlanError`] if there are none.
    pub(super) fn fewest_ring_bits(
        &self,
        sensitivity: &Sensitivity,
        corrupt_fleet: u32,
    ) -> Result<u8, PlanError> {
        self.plan(sensitivity, &self.cohort_inputs(), corrupt_fleet).ring_bits()
    }

    /// The same as a plan, for whoever wants to show the numbers.
    pub fn plan<'a>(
        &self,
        sensitivity: &'a Sensitivity,
        cohort: &'a CohortInputs,
        corrupt_fleet: u32,
    ) -> Plan<'a> {
        Plan {
            coordinates: self.summed_coordinates(),
            sensitivity,
            rotated: self.kind.rotated(),
            noise_multiplier: self.noise_multiplier(),
            cohort,
            max_devices: self.max_devices,
            corrupt_fleet,
        }
    }
}

impl Task {
    /// How vectors become words.
    ///
    /// # Errors
    /// None for a [`Task`], whose values were checked; reported, not unwrapped.
    pub fn layout(&self) -> Result<Layout, Refusal> {
        Layout::new(self.summed_coordinates(), self.ring_bits)
            .map_err(|error| Refusal::new(Guard::TaskInvalid, error.to_string()))
    }

    /// The rotation of a round's vectors, if the task has one.
    pub fn rotation(&self, params_hash: &Hash) -> Option<hadamard::Rotation> {
        let seed = transcript::rotation_seed(params_hash);
        self.kind.rotated().then(|| hadamard::Rotation::new(self.weighed_coordinates(), seed))
    }

    /// Refuses a ring in which a sum with its noise overflows with probability 1e-9 or more.
    ///
    /// # Errors
    /// [`Guard::Width`]; the owner is at fault.
    pub fn check_width(&self, corrupt_fleet: u32) -> Result<(), Refusal> {
        let width = |error: PlanError| Refusal::new(Guard::Width, error.to_string());
        let sensitivity = self.checked_sensitivity()?;
        self.plan(&sensitivity, &self.cohort_inputs(), corrupt_fleet)
            .check(self.ring_bits)
            .map_err(width)
    }

    /// The law and the variance of the noise that each device of a round adds, in squared units;
    /// `None` without noise.
    ///
    /// # Errors
    /// [`Guard::Parameters`] if no variance keeps the promise, or none that can be drawn.
    pub fn noise(&self, parameters: &Parameters) -> Result<Option<(Law, Variance)>, Refusal> {
        let refused = |why: String| Refusal::new(Guard::Parameters, why);
        let Privacy::Noise { law, z_permille, .. } = self.privacy else { return Ok(None) };
        let sensitivity = self.checked_sensitivity()?;
        let z = f64::from(z_permille) / 1000.0;
        let variance = Variance::for_device(z, &sensitivity, parameters.a_min, parameters.corrupt)
            .map_err(|error| refused(error.to_string()))?;
        if law.draws(&variance) {
            return Ok(Some((law, variance)));
        }
        Err(refused(format!("{} noise of variance {variance} cannot be drawn", law.name())))
    }

    /// What a round costs a device that takes part, at the fewest honest contributors; `None`
    /// without noise, which no budget can pay for.
    ///
    /// # Errors
    /// [`Guard::Parameters`] if there is too little noise to count.
    pub fn charge(&self, parameters: &Parameters) -> Result<Option<Charge>, Refusal> {
        self.charge_among(parameters, parameters.honest_floor())
    }

    /// The same if `honest` contributors are honest.
    ///
    /// # Errors
    /// As [`Task::charge`].
    pub fn charge_among(
        &self,
        parameters: &Parameters,
        honest: usize,
    ) -> Result<Option<Charge>, Refusal> {
        let Some((law, variance)) = self.noise(parameters)? else { return Ok(None) };
        let sensitivity = self.checked_sensitivity()?;
        law.charge(&sensitivity, &variance, honest, self.summed_coordinates())
            .map(Some)
            .map_err(|error| Refusal::new(Guard::Parameters, error.to_string()))
    }

    pub(crate) fn checked_sensitivity(&self) -> Result<Sensitivity, Refusal> {
        self.sensitivity().map_err(|error| Refusal::new(Guard::TaskInvalid, error.to_string()))
    }
}
