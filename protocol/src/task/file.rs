//! The task as its owner writes it, before it is checked and signed.
//!
//! The file is TOML; this crate only says its fields, through serde, and turns them into a
//! [`Task`]. Shares become integers in per mille and the noise multiplier in thousandths, exactly
//! or not at all.

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::{
    Bins, Deadlines, Kind, ModelRule, Privacy, Range, Rotation, Task, TaskFields, Weights,
};
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

const EXPECTED_KIND: &str =
    "expected \"vector\", \"count\", \"mean\", \"histogram\" or \"quantiles\"";

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

impl TaskFile {
    fn kind(&self) -> Result<Kind, TaskFileError> {
        let rotation = match self.rotation.as_str() {
            "none" => Rotation::None,
            "hadamard" => Rotation::Hadamard,
            _ => return Err(wrong("rotation", "expected \"none\" or \"hadamard\"")),
        };
        let kind = match self.kind.as_str() {
            "vector" => Kind::Vector(rotation),
            "count" => Kind::Count,
            "mean" => Kind::Mean(self.range()?),
            "histogram" => Kind::Histogram(self.bins()?),
            "quantiles" => Kind::Quantiles(self.bins()?),
            _ => return Err(wrong("kind", EXPECTED_KIND)),
        };
        self.no_more_than(&kind, rotation)?;
        Ok(kind)
    }

    fn range(&self) -> Result<Range, TaskFileError> {
        match (self.low, self.high) {
            (Some(low), Some(high)) => Ok(Range { low, high }),
            _ => Err(wrong("low", format!("kind = {:?} needs low and high", self.kind))),
        }
    }

    fn bins(&self) -> Result<Bins, TaskFileError> {
        let needed = || wrong("bins", format!("kind = {:?} needs bins", self.kind));
        Ok(Bins { range: self.range()?, count: self.bins.ok_or_else(needed)? })
    }

    /// What another kind would have is a mistake.
    fn no_more_than(&self, kind: &Kind, rotation: Rotation) -> Result<(), TaskFileError> {
        let surplus = |field, there: bool| {
            let why = || wrong(field, format!("kind = {:?} has none", kind.name()));
            if there { Err(why()) } else { Ok(()) }
        };
        let ranged = !matches!(kind, Kind::Vector(_) | Kind::Count);
        surplus("low", !ranged && self.low.is_some())?;
        surplus("high", !ranged && self.high.is_some())?;
        surplus("bins", kind.bins().is_none() && self.bins.is_some())?;
        surplus("rotation", kind.template().is_some() && rotation != Rotation::None)
    }

    /// Coordinates, clip and scale: of the file for vectors, of the kind for queries.
    fn size(&self, kind: &Kind) -> Result<(u32, f64, u64), TaskFileError> {
        if let Some(template) = kind.template() {
            let why = || format!("follows from kind = {:?}: leave it out", kind.name());
            return match (self.coordinates, self.clip, self.scale) {
                (None, None, None) => Ok((template.coordinates, template.clip, template.scale)),
                (Some(_), _, _) => Err(wrong("coordinates", why())),
                (_, Some(_), _) => Err(wrong("clip", why())),
                (_, _, Some(_)) => Err(wrong("scale", why())),
            };
        }
        let missing = |field| move || wrong(field, "a task of vectors needs it");
        Ok((
            self.coordinates.ok_or_else(missing("coordinates"))?,
            self.clip.ok_or_else(missing("clip"))?,
            self.scale.ok_or_else(missing("scale"))?,
        ))
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

#[derive(Debug, Clone, Copy, Default)]
enum RingBits {
    #[default]
    Auto,
    Fixed(u8),
}

impl<'de> Deserialize<'de> for RingBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bits;

        impl Visitor<'_> for Bits {
            type Value = RingBits;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"auto\" or 8 to 64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RingBits, E> {
                match text {
                    "auto" => Ok(RingBits::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, bits: i64) -> Result<RingBits, E> {
                let unexpected = E::invalid_value(de::Unexpected::Signed(bits), &self);
                u8::try_from(bits).map(RingBits::Fixed).map_err(|_| unexpected)
            }

            fn visit_u64<E: de::Error>(self, bits: u64) -> Result<RingBits, E> {
                let unexpected = E::invalid_value(de::Unexpected::Unsigned(bits), &self);
                u8::try_from(bits).map(RingBits::Fixed).map_err(|_| unexpected)
            }
        }

        deserializer.deserialize_any(Bits)
    }
}

#[derive(Debug, Clone, Copy)]
struct WeightsField(Weights);

impl Default for WeightsField {
    fn default() -> Self {
        Self(Weights::Equal)
    }
}

impl<'de> Deserialize<'de> for WeightsField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;

        impl<'de> Visitor<'de> for Rule {
            type Value = WeightsField;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"equal\" or { max = WEIGHT }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<WeightsField, E> {
                match text {
                    "equal" => Ok(WeightsField(Weights::Equal)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightsField, A::Error> {
                let entry: Option<(String, u32)> = map.next_entry()?;
                match entry {
                    Some((key, max)) if key == "max" => Ok(WeightsField(Weights::UpTo(max))),
                    _ => Err(de::Error::missing_field("max")),
                }
            }
        }

        deserializer.deserialize_any(Rule)
    }
}

/// Seconds since 1970 UTC, written as an RFC 3339 time in UTC.
#[derive(Debug, Clone, Copy)]
struct Moment(u64);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Time;

        impl<'de> Visitor<'de> for Time {
            type Value = Moment;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time in UTC such as 2026-01-31T00:00:00Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                unix_seconds(text)
                    .map(Moment)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            /// TOML's own times reach serde as a map of one entry whose value is the text.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Moment, A::Error> {
                match map.next_entry::<String, String>()? {
                    Some((_, text)) => self.visit_str(&text),
                    None => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
                }
            }
        }

        deserializer.deserialize_any(Time)
    }
}

/// Of `YYYY-MM-DDTHH:MM:SSZ`, from 1970 on.
fn unix_seconds(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(byte, expected)| match expected {
            b'd' => byte.is_ascii_digit(),
            _ => byte == expected,
        });
    if !fits {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let exists = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    exists.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    years + months + day - 1
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
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
    fn times_are_seconds_since_1970() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_seconds("2024-02-29T12:30:01Z"), Some(1_709_209_801));
        for bad in ["2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01", "+024-01-01T"] {
            assert_eq!(unix_seconds(bad), None, "{bad}");
        }
    }

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
