//! The task as its owner writes it, before it is checked and signed.
//!
//! The file is TOML; this crate only says its fields, through serde, and turns them into a
//! [`Task`]. Shares become integers in per mille and the noise multiplier in thousandths, exactly
//! or not at all.

mod kind;
mod values;

use self::values::{Moment, RingBits, WeightsField};
use super::{Deadlines, ModelRule, Privacy, Task, TaskFields};
use crate::dp::Law;
use crate::error::Refusal;
use crate::guard::Guard;
use crate::mask::Suite;

/// The fields of a task file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFile {
    name: String,
    #[serde(default = "first_version")]
    version: u32,
    #[serde(default = "vector")]
    kind: String,
    coordinates: Option<u32>,
    clip: Option<f64>,
    scale: Option<u64>,
    low: Option<f64>,
    high: Option<f64>,
    bins: Option<u32>,
    #[serde(default)]
    ring_bits: RingBits,
    #[serde(default)]
    weights: WeightsField,
    start_when: u32,
    min_contributors: u32,
    max_devices: u32,
    #[serde(default = "default_corrupt_share")]
    corrupt_share: f64,
    #[serde(default = "default_dropout_share")]
    dropout_share: f64,
    #[serde(default = "default_suite")]
    mask_suite: String,
    #[serde(default = "none")]
    rotation: String,
    #[serde(default = "none")]
    model: String,
    max_rounds: u64,
    #[serde(default = "no_time")]
    min_interval: String,
    not_before: Moment,
    not_after: Moment,
    privacy: PrivacyFields,
    deadlines_s: Deadlines,
}

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivacyFields {
    mechanism: String,
    noise_multiplier: Option<f64>,
    delta: Option<f64>,
}

/// Why a task file is no task: the field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct TaskFileError {
    /// The field.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

fn wrong(field: &'static str, problem: impl Into<String>) -> TaskFileError {
    TaskFileError { field, problem: problem.into() }
}

impl TaskFile {
    /// The task. `ring_bits = "auto"` becomes the fewest bits that hold every sum, for the corrupt
    /// share of the task; a device that assumes more corrupt devices may ask for more.
    ///
    /// # Errors
    /// [`TaskFileError`] with the first field that is wrong; the owner is at fault.
    pub fn into_task(self) -> Result<Task, TaskFileError> {
        let ring_bits = self.ring_bits;
        let mut fields = self.fields()?;
        if let RingBits::Fixed(bits) = ring_bits {
            fields.ring_bits = bits;
        } else {
            fields.ring_bits = planned_ring_bits(&fields)?;
        }
        let task = Task::new(fields).map_err(|refusal| wrong("task", refusal.detail))?;
        task.check_width(0).map_err(|refusal| wrong("ring_bits", refusal.detail))?;
        Ok(task)
    }

    fn fields(self) -> Result<TaskFields, TaskFileError> {
        let kind = self.kind()?;
        let (coordinates, clip, scale) = self.size(&kind)?;
        Ok(TaskFields {
            privacy: self.privacy.into_privacy()?,
            weights: self.weights.0,
            ring_bits: 64,
            corrupt_share_permille: thousandths("corrupt_share", self.corrupt_share)?,
            dropout_share_permille: thousandths("dropout_share", self.dropout_share)?,
            mask_suite: Suite::from_name(&self.mask_suite)
                .ok_or_else(|| wrong("mask_suite", "expected \"chacha20\" or \"aes256ctr\""))?,
            kind,
            model: match self.model.as_str() {
                "none" => ModelRule::None,
                "granted" => ModelRule::Granted,
                _ => return Err(wrong("model", "expected \"none\" or \"granted\"")),
            },
            min_interval_s: seconds(&self.min_interval)
                .ok_or_else(|| wrong("min_interval", "expected a duration such as \"30m\""))?,
            not_before_s: self.not_before.0,
            not_after_s: self.not_after.0,
            name: self.name,
            version: self.version,
            coordinates,
            clip,
            scale,
            start_when: self.start_when,
            min_contributors: self.min_contributors,
            max_devices: self.max_devices,
            max_rounds: self.max_rounds,
            deadlines_s: self.deadlines_s,
        })
    }
}

/// Of values that [`Task::new`] may still refuse; those it refuses here too, by another name.
fn planned_ring_bits(fields: &TaskFields) -> Result<u8, TaskFileError> {
    Task::new(fields.clone()).map_err(|refusal| wrong("task", refusal.detail))?;
    let sensitivity = fields.sensitivity().map_err(|error| wrong("clip", error.to_string()))?;
    fields.fewest_ring_bits(&sensitivity, 0).map_err(|error| wrong("ring_bits", error.to_string()))
}

impl PrivacyFields {
    fn into_privacy(self) -> Result<Privacy, TaskFileError> {
        if self.mechanism == "none" {
            let empty = self.noise_multiplier.is_none() && self.delta.is_none();
            let why = "mechanism = \"none\" has no noise_multiplier and no delta";
            return if empty { Ok(Privacy::None) } else { Err(wrong("privacy", why)) };
        }
        let expected = "expected \"skellam\", \"discrete_gaussian\" or \"none\"";
        let law = Law::from_name(&self.mechanism);
        let law = law.ok_or_else(|| wrong("privacy.mechanism", expected))?;
        let (Some(z), Some(delta)) = (self.noise_multiplier, self.delta) else {
            let why = format!("mechanism = {:?} needs noise_multiplier and delta", self.mechanism);
            return Err(wrong("privacy", why));
        };
        let z_permille = thousandths("privacy.noise_multiplier", z)?;
        Ok(Privacy::Noise { law, z_permille, delta })
    }
}

/// A number as an integer of thousandths, if it is one.
fn thousandths(field: &'static str, value: f64) -> Result<u32, TaskFileError> {
    let scaled = (value * 1000.0).round();
    let exact = value.is_finite() && (value * 1000.0 - scaled).abs() < 1e-6;
    if exact && (0.0..=f64::from(u32::MAX)).contains(&scaled) {
        Ok(scaled as u32)
    } else {
        Err(wrong(field, format!("{value} is not a positive number with up to three decimals")))
    }
}

/// A share of devices, 0 to 1, as an integer in per mille; for configuration files.
///
/// # Errors
/// [`TaskFileError`] if the share has more than three decimals or is negative.
pub fn share_permille(field: &'static str, share: f64) -> Result<u32, TaskFileError> {
    thousandths(field, share)
}

/// A whole number and one of s, m, h, d.
fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(factor)
}

fn first_version() -> u32 {
    1
}

fn default_corrupt_share() -> f64 {
    0.1
}

fn default_dropout_share() -> f64 {
    0.2
}

fn default_suite() -> String {
    Suite::ChaCha20.name().to_owned()
}

fn vector() -> String {
    "vector".to_owned()
}

fn none() -> String {
    "none".to_owned()
}

fn no_time() -> String {
    "0s".to_owned()
}

impl From<TaskFileError> for Refusal {
    fn from(error: TaskFileError) -> Self {
        Refusal::new(Guard::TaskInvalid, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("2d"), Some(172_800));
        for bad in ["", "5", "h", "-1s", "1.5h", "99999999999999999999d"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn thousandths_are_exact_or_refused() {
        assert_eq!(thousandths("z", 0.35), Ok(350));
        assert_eq!(thousandths("z", 3.0), Ok(3000));
        for bad in [0.0005, -1.0, f64::NAN, f64::INFINITY] {
            assert!(thousandths("z", bad).is_err(), "{bad}");
        }
    }
}
