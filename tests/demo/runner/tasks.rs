//! The tasks of the demo, as their owner writes, signs and publishes them.

use std::path::PathBuf;

use sealsum_demo::words;

use crate::fleet::Fleet;
use crate::report::Finding;

/// What differs between the demo's tasks; the rest is the same for all.
pub(crate) struct TaskFile {
    pub(crate) name: &'static str,
    pub(crate) coordinates: usize,
    pub(crate) clip: f64,
    pub(crate) min_contributors: u32,
    pub(crate) granted_model: bool,
    pub(crate) max_rounds: u32,
    /// Noise multiplier of the Skellam mechanism; `None` for a task without noise.
    pub(crate) noise: Option<f64>,
    /// Seconds a round waits for devices to come.
    pub(crate) advertise_s: u32,
    /// Seconds it waits for each later step of a device that does not answer.
    pub(crate) step_s: u32,
}

/// Units per 1.0 in every task of the demo.
pub(crate) const SCALE: f64 = 65536.0;
/// Bits of a coordinate; wide enough for every task of the demo.
pub(crate) const RING_BITS: u8 = 32;
/// Devices whose presence starts a round before its deadline.
pub(crate) const COHORT: usize = 12;
/// What the devices' own policies ask of every task.
pub(crate) const FLOOR_CONTRIBUTORS: u32 = 6;

/// Sums whose exactness is checked; without noise, which the devices' policies allow by name.
pub(crate) const EXACT: TaskFile = TaskFile {
    name: "exact",
    coordinates: 5000,
    clip: 256.0,
    min_contributors: FLOOR_CONTRIBUTORS,
    granted_model: false,
    max_rounds: 1,
    noise: None,
    advertise_s: 60,
    step_s: 20,
};
/// A round that loses devices on the way.
pub(crate) const DROPOUTS: TaskFile = TaskFile { name: "dropouts", step_s: 8, ..EXACT };
/// A round after a device was revoked.
pub(crate) const REVOCATION: TaskFile = TaskFile { name: "revocation", advertise_s: 6, ..EXACT };
/// A round that too few devices come to.
pub(crate) const TOO_FEW: TaskFile = TaskFile { name: "too-few", advertise_s: 3, ..EXACT };
/// A task that asks for fewer contributors than the devices' policies do.
pub(crate) const BELOW_FLOOR: TaskFile = TaskFile {
    name: "below-floor",
    min_contributors: FLOOR_CONTRIBUTORS - 1,
    advertise_s: 3,
    ..EXACT
};
/// Training with differential privacy.
pub(crate) const PENGUINS: TaskFile = TaskFile {
    name: "penguins",
    coordinates: 15,
    clip: 0.5,
    granted_model: true,
    max_rounds: 10,
    noise: Some(2.2),
    ..EXACT
};

/// The tasks that the devices' policies allow without noise.
pub(crate) const WITHOUT_NOISE: [&str; 5] =
    [EXACT.name, DROPOUTS.name, REVOCATION.name, TOO_FEW.name, BELOW_FLOOR.name];

impl TaskFile {
    fn text(&self) -> String {
        let Self {
            name, coordinates, clip, min_contributors, max_rounds, advertise_s, step_s, ..
        } = self;
        let model = if self.granted_model { "granted" } else { "none" };
        let privacy = match self.noise {
            Some(multiplier) => {
                format!("mechanism = \"skellam\"\nnoise_multiplier = {multiplier:?}\ndelta = 1e-5")
            }
            None => "mechanism = \"none\"".to_owned(),
        };
        format!(
            "name = \"{name}\"\n\
             coordinates = {coordinates}\n\
             clip = {clip:?}\n\
             scale = {SCALE}\n\
             ring_bits = {RING_BITS}\n\
             weights = \"equal\"\n\
             start_when = {COHORT}\n\
             min_contributors = {min_contributors}\n\
             max_devices = 100\n\
             corrupt_share = 0.1\n\
             dropout_share = 0.35\n\
             mask_suite = \"chacha20\"\n\
             rotation = \"none\"\n\
             model = \"{model}\"\n\
             max_rounds = {max_rounds}\n\
             min_interval = \"0s\"\n\
             not_before = 2026-01-01T00:00:00Z\n\
             not_after = 2046-01-31T00:00:00Z\n\
             [privacy]\n{privacy}\n\
             [deadlines_s]\n\
             advertise = {advertise_s}\n\
             share = {step_s}\n\
             mask = {step_s}\n\
             check = {step_s}\n\
             unmask = {step_s}\n"
        )
    }

    /// Writes the task, has its owner sign it, and publishes it on the aggregator.
    pub(crate) fn publish(&self, fleet: &Fleet) -> Finding {
        let file: PathBuf = fleet.work(&format!("{}.toml", self.name));
        let signed = fleet.work(&format!("{}.signed", self.name));
        std::fs::write(&file, self.text())?;
        let key = fleet.owner_key();
        fleet.aggregator(&words!["task", "sign", &file, "--owner-key", &key, "--out", &signed])?;
        fleet.aggregator(&words!["task", "create", &signed])?;
        Ok(format!("{} published", self.name))
    }
}
