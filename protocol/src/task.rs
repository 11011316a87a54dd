//! What is computed, as its owner signed it once for all its rounds.

mod file;
mod kind;
mod numbers;
mod round;
mod signed;

pub use file::{TaskFile, TaskFileError, share_permille};
pub use kind::{Bins, Kind, MAX_BINS, Range, Rotation, Template};
pub use round::{Grant, RoundSpec};
pub use signed::SignedTask;

use crate::codec::{CodecError, Decode, Encode, Reader, Writer};
use crate::dp::Law;
use crate::error::{Refusal, require};
use crate::guard::Guard;
use crate::ids::Hash;
use crate::labels;
use crate::mask::Suite;
use crate::parameters::{LARGEST_COHORT, SMALLEST_COHORT};

/// Most coordinates of a vector.
pub const MAX_COORDINATES: u32 = 1 << 26;
/// Longest task name, in bytes.
pub const MAX_NAME: usize = 63;
/// Longest deadline of a step, in seconds.
pub const MAX_DEADLINE_S: u32 = 86_400;
/// Largest weight of a device.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// A task whose values lie in their ranges. Made by [`Task::new`] only.
#[derive(Debug, Clone, PartialEq)]
pub struct Task(TaskFields);

/// The values of a task, unchecked.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFields {
    /// 1 to 63 of `[a-z0-9-]`.
    pub name: String,
    /// The owner's version of this task.
    pub version: u32,
    /// Coordinates of a device's vector, without the weight.
    pub coordinates: u32,
    /// Width of a sum in the ring, 8 to 64.
    pub ring_bits: u8,
    /// L2 bound of a device's whole vector, the weight included.
    pub clip: f64,
    /// Units per 1.0, a power of two.
    pub scale: u64,
    /// Whether devices weigh their vectors.
    pub weights: Weights,
    /// The noise.
    pub privacy: Privacy,
    /// Devices present before the roster closes ahead of its deadline.
    pub start_when: u32,
    /// Fewer contributors reveal nothing.
    pub min_contributors: u32,
    /// Most devices of a roster.
    pub max_devices: u32,
    /// Share of a roster that may be corrupt, per mille.
    pub corrupt_share_permille: u32,
    /// Share of a roster that may be lost from roster to reveal, per mille.
    pub dropout_share_permille: u32,
    /// How seeds become masks.
    pub mask_suite: Suite,
    /// What a device's part holds.
    pub kind: Kind,
    /// Whether a round carries a model.
    pub model: ModelRule,
    /// Most rounds; their numbers are 1 to this.
    pub max_rounds: u64,
    /// Shortest time between two rounds of one device, in seconds.
    pub min_interval_s: u64,
    /// First moment of a round, in seconds since 1970 UTC.
    pub not_before_s: u64,
    /// Last moment of a round, in seconds since 1970 UTC.
    pub not_after_s: u64,
    /// Longest duration of each step.
    pub deadlines_s: Deadlines,
}

/// Whether devices weigh their vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Each device counts alike.
    Equal,
    /// A device weighs its vector by w, at most this. The vector is multiplied by w / max and one
    /// more coordinate, w / max, is summed with it, inside the clip.
    UpTo(u32),
}

/// The noise that each device adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Privacy {
    /// None. A device takes part only if its own policy names the task.
    None,
    /// Noise such that the sum over honest contributors has a standard deviation of at least z
    /// times the sensitivity.
    Noise {
        /// Its law.
        law: Law,
        /// z, per mille.
        z_permille: u32,
        /// The delta at which epsilon is reported.
        delta: f64,
    },
}

impl Privacy {
    /// The name of the mechanism, as in a task file.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Privacy::None => "none",
            Privacy::Noise { law, .. } => law.name(),
        }
    }
}

/// Whether a round carries a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRule {
    /// Rounds carry no model.
    None,
    /// Each round carries a model that the owner granted to it.
    Granted,
}

/// Longest duration of each step, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// Until the roster closes.
    pub advertise: u32,
    /// Until the set that shared is fixed; once for shares and once for acknowledgements.
    pub share: u32,
    /// Until the survivors are fixed.
    pub mask: u32,
    /// Until the quorum is fixed.
    pub check: u32,
    /// Until the sum is unmasked.
    pub unmask: u32,
}

impl Deadlines {
    /// The five durations in order.
    pub fn each(&self) -> [u32; 5] {
        [self.advertise, self.share, self.mask, self.check, self.unmask]
    }
}

impl Task {
    /// Checks the values.
    ///
    /// # Errors
    /// [`Guard::TaskInvalid`], naming the first value out of its range. The owner is at fault.
    pub fn new(fields: TaskFields) -> Result<Self, Refusal> {
        check_vector(&fields)?;
        check_cohort(&fields)?;
        check_privacy(&fields.privacy)?;
        check_times(&fields)?;
        Ok(Self(fields))
    }

    /// The hash that names the task and keys what devices remember about it.
    pub fn hash(&self) -> Hash {
        labels::TASK.hash(&[&self.encoded()])
    }
}

impl TaskFields {
    /// Coordinates before the rotation: the vector's, and the weight if there is one.
    pub fn weighed_coordinates(&self) -> usize {
        self.coordinates as usize + usize::from(self.weights != Weights::Equal)
    }

    /// Coordinates that are summed: with the padding of a rotation.
    pub fn summed_coordinates(&self) -> usize {
        self.kind.summed(self.weighed_coordinates())
    }
}

impl std::ops::Deref for Task {
    type Target = TaskFields;

    fn deref(&self) -> &TaskFields {
        &self.0
    }
}

fn check(holds: bool, what: &str) -> Result<(), Refusal> {
    require(holds, Guard::TaskInvalid, || what.to_owned())
}

fn check_vector(task: &TaskFields) -> Result<(), Refusal> {
    task.kind.check()?;
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let named = (1..=MAX_NAME).contains(&task.name.len()) && task.name.bytes().all(in_name);
    check(named, "name must be 1 to 63 of [a-z0-9-]")?;
    let sized = (1..=MAX_COORDINATES).contains(&task.coordinates);
    check(sized, "coordinates must be 1 to 67108864")?;
    let weighty = task.summed_coordinates() <= MAX_COORDINATES as usize;
    check(weighty, "coordinates, weight and padding must be at most 67108864")?;
    check((8..=64).contains(&task.ring_bits), "ring_bits must be 8 to 64")?;
    let weighed = match task.weights {
        Weights::Equal => true,
        Weights::UpTo(max) => (1..=MAX_WEIGHT).contains(&max),
    };
    check(weighed, "weights.max must be 1 to 1000000")?;
    check_template(task)?;
    task.sensitivity()
        .map(drop)
        .map_err(|error| Refusal::new(Guard::TaskInvalid, error.to_string()))
}

/// A query's numbers are those of its template: nobody writes a sensitivity by hand.
fn check_template(task: &TaskFields) -> Result<(), Refusal> {
    let Some(template) = task.kind.template() else { return Ok(()) };
    let fixed = (task.coordinates, task.clip, task.scale)
        == (template.coordinates, template.clip, template.scale);
    check(fixed, "coordinates, clip and scale of a query are those of its kind")?;
    check(task.weights == Weights::Equal, "in a query all devices count alike")?;
    check(task.model == ModelRule::None, "a query has no model")
}

fn check_cohort(task: &TaskFields) -> Result<(), Refusal> {
    let (fewest, most) = (task.min_contributors as usize, task.max_devices as usize);
    let ordered = SMALLEST_COHORT <= fewest && fewest <= most && most <= LARGEST_COHORT;
    check(ordered, "3 <= min_contributors <= max_devices <= 10000 must hold")?;
    let starts = task.min_contributors <= task.start_when && task.start_when <= task.max_devices;
    check(starts, "start_when must be from min_contributors to max_devices")?;
    check(task.corrupt_share_permille < 1000, "corrupt_share must be below 1")?;
    check(task.dropout_share_permille < 1000, "dropout_share must be below 1")
}

fn check_privacy(privacy: &Privacy) -> Result<(), Refusal> {
    let Privacy::Noise { z_permille, delta, .. } = *privacy else { return Ok(()) };
    check(z_permille > 0, "noise_multiplier must be above zero; mechanism = \"none\" is no noise")?;
    check(delta > 0.0 && delta < 1.0, "delta must lie between 0 and 1")
}

fn check_times(task: &TaskFields) -> Result<(), Refusal> {
    let timed = task.deadlines_s.each().iter().all(|s| (1..=MAX_DEADLINE_S).contains(s));
    check(timed, "each deadline must be 1 to 86400 seconds")?;
    check(task.max_rounds > 0, "max_rounds must be above zero")?;
    check(task.not_before_s < task.not_after_s, "not_before must come before not_after")
}

impl Encode for Task {
    fn encode(&self, writer: &mut Writer) {
        writer.bytes(self.name.as_bytes());
        writer.u32(self.version);
        writer.u32(self.coordinates);
        writer.u8(self.ring_bits);
        writer.u64(self.clip.to_bits());
        writer.u64(self.scale);
        writer.u32(match self.weights {
            Weights::Equal => 0,
            Weights::UpTo(max) => max,
        });
        encode_privacy(&self.privacy, writer);
        writer.u32(self.start_when);
        writer.u32(self.min_contributors);
        writer.u32(self.max_devices);
        writer.u32(self.corrupt_share_permille);
        writer.u32(self.dropout_share_permille);
        writer.u8(suite_code(self.mask_suite));
        self.kind.encode(writer);
        writer.u8(u8::from(self.model == ModelRule::Granted));
        writer.u64(self.max_rounds);
        writer.u64(self.min_interval_s);
        writer.u64(self.not_before_s);
        writer.u64(self.not_after_s);
        self.deadlines_s.each().iter().for_each(|seconds| writer.u32(*seconds));
    }
}

impl Decode for Task {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let fields = TaskFields {
            name: decode_name(reader)?,
            version: reader.u32()?,
            coordinates: reader.u32()?,
            ring_bits: reader.u8()?,
            clip: f64::from_bits(reader.u64()?),
            scale: reader.u64()?,
            weights: match reader.u32()? {
                0 => Weights::Equal,
                max => Weights::UpTo(max),
            },
            privacy: decode_privacy(reader)?,
            start_when: reader.u32()?,
            min_contributors: reader.u32()?,
            max_devices: reader.u32()?,
            corrupt_share_permille: reader.u32()?,
            dropout_share_permille: reader.u32()?,
            mask_suite: match reader.u8()? {
                0 => Suite::ChaCha20,
                1 => Suite::Aes256Ctr,
                _ => return Err(CodecError::NotCanonical("mask suite")),
            },
            kind: Kind::decode(reader)?,
            model: match reader.u8()? {
                0 => ModelRule::None,
                1 => ModelRule::Granted,
                _ => return Err(CodecError::NotCanonical("model")),
            },
            max_rounds: reader.u64()?,
            min_interval_s: reader.u64()?,
            not_before_s: reader.u64()?,
            not_after_s: reader.u64()?,
            deadlines_s: Deadlines {
                advertise: reader.u32()?,
                share: reader.u32()?,
                mask: reader.u32()?,
                check: reader.u32()?,
                unmask: reader.u32()?,
            },
        };
        Task::new(fields).map_err(|_| CodecError::NotCanonical("a task value out of its range"))
    }
}

fn decode_name(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    let bytes = reader.bytes(MAX_NAME)?.to_vec();
    String::from_utf8(bytes).map_err(|_| CodecError::NotCanonical("task name"))
}

/// The byte of a mask suite, in the task's encoding and in the derivation of seeds.
pub(crate) fn suite_code(suite: Suite) -> u8 {
    match suite {
        Suite::ChaCha20 => 0,
        Suite::Aes256Ctr => 1,
    }
}

fn encode_privacy(privacy: &Privacy, writer: &mut Writer) {
    let (mechanism, z_permille, delta) = match *privacy {
        Privacy::None => (0, 0, 0.0),
        Privacy::Noise { law: Law::Skellam, z_permille, delta } => (1, z_permille, delta),
        Privacy::Noise { law: Law::DiscreteGaussian, z_permille, delta } => (2, z_permille, delta),
    };
    writer.u8(mechanism);
    writer.u32(z_permille);
    writer.u64(f64::to_bits(delta));
}

fn decode_privacy(reader: &mut Reader<'_>) -> Result<Privacy, CodecError> {
    let (mechanism, z_permille, delta) = (reader.u8()?, reader.u32()?, reader.u64()?);
    match (mechanism, z_permille, delta) {
        (0, 0, 0) => Ok(Privacy::None),
        (1 | 2, _, _) => {
            let law = if mechanism == 1 { Law::Skellam } else { Law::DiscreteGaussian };
            Ok(Privacy::Noise { law, z_permille, delta: f64::from_bits(delta) })
        }
        _ => Err(CodecError::NotCanonical("mechanism")),
    }
}
