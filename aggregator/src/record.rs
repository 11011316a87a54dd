//! The record of a round, as `round show` prints it and the store keeps it.
//!
//! The keys are a promise to scripts: each is always there, null where nothing is known (yet).

use jiff::Timestamp;
use sealsum_daemon::Failure;
use sealsum_daemon::codes::{self, Code};
use sealsum_protocol::ids::{DeviceId, Hash, RoundId};
use serde::{Deserialize, Serialize};

use crate::audit::NoiseAudit;

/// Everything about one round that may be told. No secret, no masked word, no share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// SHA-256(label, task hash, number).
    pub round: RoundId,
    /// The task's name.
    pub task: String,
    /// Counts the rounds of the task, from 1.
    pub number: u64,
    /// Where it stands.
    pub state: State,
    /// What a running round waits for.
    pub step: Option<StepName>,
    /// Why it ended without a result.
    pub abort: Option<AbortRecord>,
    /// When devices could first see it.
    pub started_at: Timestamp,
    /// When it was finished or aborted.
    pub ended_at: Option<Timestamp>,
    /// What was agreed.
    pub parameters: ParametersRecord,
    /// Who did what.
    pub devices: DevicesRecord,
    /// What came out.
    pub result: Option<ResultRecord>,
    /// What it cost each contributor.
    pub privacy: PrivacyRecord,
    /// What the devices agreed on, for an auditor.
    pub proof: ProofRecord,
    /// Most bytes that one device sent in this round, chunks included.
    pub bytes_up_max: u64,
    /// Most bytes that one device received in this round.
    pub bytes_down_max: u64,
    /// How long each step took.
    pub seconds: SecondsRecord,
}

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Devices are at it.
    Running,
    /// It has a result.
    Finished,
    /// It ended without one.
    Aborted,
}

/// The five steps of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// Devices join.
    Advertise,
    /// They exchange shares and acknowledge them.
    Share,
    /// They send masked vectors.
    Mask,
    /// They sign who survived.
    Check,
    /// They reveal shares; the masks are taken off.
    Unmask,
}

/// Why a round ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortRecord {
    /// The stable code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Devices whose own wrong messages made the round fail.
    pub culprits: Vec<DeviceId>,
    /// What to do next.
    pub hint: String,
}

/// What was agreed: the task's terms, and what follows from them and the roster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParametersRecord {
    /// Hash of the signed task.
    pub task_sha256: Hash,
    /// Hash of the model that the devices start from.
    pub model_sha256: Option<Hash>,
    /// Length of the vector.
    pub coordinates: u64,
    /// Width of a coordinate in the sum, in bits.
    pub ring_bits: u32,
    /// L2 bound of one device's vector.
    pub clip: f64,
    /// Units per 1.0.
    pub scale: u64,
    /// `skellam`, `discrete_gaussian` or `none`.
    pub mechanism: String,
    /// Variance of each device's noise per coordinate, in units squared, as a fraction.
    pub noise_variance: Option<String>,
    /// Fewer contributors: nothing is revealed.
    pub min_contributors: u32,
    /// Share of corrupt devices that is withstood.
    pub corrupt_share: f64,
    /// Share of devices that may be lost from roster to reveal.
    pub dropout_share: f64,
    /// The generator of the masks.
    pub mask_suite: String,
    /// c: corrupt devices assumed in this roster.
    pub corrupt_assumed: Option<u32>,
    /// Neighbours of each device.
    pub k: Option<u32>,
    /// Shares that rebuild a secret.
    pub t: Option<u32>,
    /// Survivors needed in each window of the ring; 0 in a complete graph.
    pub w_min: Option<u32>,
    /// Q: signatures needed on one set of survivors.
    pub quorum: Option<u32>,
    /// Fewest survivors that devices agree to unmask.
    pub a_min: Option<u32>,
}

/// Who did what. While a step is in progress, the set that it will fix holds those that have
/// completed it so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesRecord {
    /// All that joined, in the order of the roster.
    pub roster: Vec<DeviceId>,
    /// U2: those whose shares are held.
    pub shared: Vec<DeviceId>,
    /// A: exactly those whose vectors are in the sum.
    pub contributors: Vec<DeviceId>,
    /// Those lost on the way.
    pub dropped: Vec<DroppedRecord>,
    /// Those that signed the set of survivors.
    pub signers: Vec<DeviceId>,
    /// Those that revealed shares.
    pub revealers: Vec<DeviceId>,
    /// Those that sent something wrong.
    pub blamed: Vec<BlamedRecord>,
}

/// A device that was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedRecord {
    /// Which.
    pub device: DeviceId,
    /// The step that it did not complete.
    pub step: StepName,
}

/// A device that sent something wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlamedRecord {
    /// Which.
    pub device: DeviceId,
    /// What it did, as a stable code.
    pub code: String,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// SHA-256 of the `.npy` file.
    pub file_sha256: Hash,
    /// Length of the vector.
    pub coordinates: u64,
    /// Always `f64`.
    pub dtype: String,
    /// Always `sum`.
    pub kind: String,
    /// Sum of the weights, where the task has weights.
    pub weight_sum: Option<f64>,
    /// L2 norm of the sum.
    pub norm: f64,
    /// The norm over that of the task's last result before this one.
    pub norm_ratio: Option<f64>,
    /// Standard deviation of the noise in each coordinate, in the task's own units.
    #[serde(default)]
    pub noise_deviation: Option<f64>,
    /// How much noise there really is, where the sum shows it.
    #[serde(default)]
    pub noise_audit: Option<NoiseAudit>,
    /// Whether every canary word equals the number of contributors. A result exists only then.
    pub canary_ok: bool,
}

/// What the round cost each contributor, as a bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PrivacyRecord {
    /// Gaussian part of the (xi, rho) charge.
    pub rho: Option<f64>,
    /// Offset part of the charge.
    pub xi: Option<f64>,
    /// Epsilon of this round alone.
    pub epsilon_round: Option<f64>,
    /// Epsilon of all rounds of the task so far, for a device that was in each.
    pub epsilon_task: Option<f64>,
    /// The delta that both are for.
    pub delta: Option<f64>,
    /// Epsilon of one device's vector against somebody who knows all others' noise.
    pub epsilon_if_alone: Option<f64>,
}

/// What the devices agreed on, for an auditor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofRecord {
    /// Hash of the roster, as every device computed it.
    pub roster_root: Option<Hash>,
    /// Hash of (A, D).
    pub survivors_sha256: Option<Hash>,
    /// How many devices signed it.
    pub signatures: u32,
}

/// How long each step took; null for a step not completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondsRecord {
    /// Until the roster closed.
    pub advertise: Option<f64>,
    /// Until the set that shared was fixed.
    pub share: Option<f64>,
    /// Until the survivors were fixed.
    pub mask: Option<f64>,
    /// Until the quorum was there.
    pub check: Option<f64>,
    /// Until the result was written.
    pub unmask: Option<f64>,
}

impl RoundRecord {
    /// Refuses a round without a result, as whoever wanted one is told.
    ///
    /// # Errors
    /// `not_finished`, or the abort code.
    pub fn demand_result(&self) -> Result<(), Failure> {
        match (self.state, &self.abort) {
            (State::Finished, _) => Ok(()),
            (_, Some(abort)) => Err(abort.failure(self.round)),
            (_, None) => Err(Failure::new(
                codes::NOT_FINISHED,
                format!("round {}: is still running", self.round),
                format!("sealsum-aggregator round wait {}", self.round),
            )),
        }
    }
}

impl AbortRecord {
    /// The error that this end of `round` is. A code that is not in the table of all programs
    /// exits with 1.
    pub fn failure(&self, round: RoundId) -> Failure {
        const CONFLICT: u16 = 409;
        let code = Code::remote(&self.code, CONFLICT);
        Failure::new(code, format!("round {round}: {}", self.message), self.hint.clone())
    }
}

impl SecondsRecord {
    /// Notes how long `step` took.
    pub fn set(&mut self, step: StepName, seconds: f64) {
        let slot = match step {
            StepName::Advertise => &mut self.advertise,
            StepName::Share => &mut self.share,
            StepName::Mask => &mut self.mask,
            StepName::Check => &mut self.check,
            StepName::Unmask => &mut self.unmask,
        };
        *slot = Some(seconds);
    }
}

impl StepName {
    /// The word in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            StepName::Advertise => "advertise",
            StepName::Share => "share",
            StepName::Mask => "mask",
            StepName::Check => "check",
            StepName::Unmask => "unmask",
        }
    }
}

impl State {
    /// The word in JSON, metrics and the store.
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Finished => "finished",
            State::Aborted => "aborted",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A round that has just begun.
    pub(crate) fn running_record(number: u64) -> RoundRecord {
        RoundRecord {
            round: RoundId([number as u8; 32]),
            task: "penguins".into(),
            number,
            state: State::Running,
            step: Some(StepName::Advertise),
            abort: None,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
            parameters: ParametersRecord {
                task_sha256: Hash([1; 32]),
                model_sha256: None,
                coordinates: 15,
                ring_bits: 32,
                clip: 1.0,
                scale: 65536,
                mechanism: "skellam".into(),
                noise_variance: None,
                min_contributors: 6,
                corrupt_share: 0.1,
                dropout_share: 0.35,
                mask_suite: "chacha20".into(),
                corrupt_assumed: None,
                k: None,
                t: None,
                w_min: None,
                quorum: None,
                a_min: None,
            },
            devices: DevicesRecord::default(),
            result: None,
            privacy: PrivacyRecord::default(),
            proof: ProofRecord::default(),
            bytes_up_max: 0,
            bytes_down_max: 0,
            seconds: SecondsRecord::default(),
        }
    }

    /// What a round without noise gives.
    pub(crate) fn result() -> ResultRecord {
        ResultRecord {
            file_sha256: Hash([2; 32]),
            coordinates: 15,
            dtype: "f64".into(),
            kind: "sum".into(),
            weight_sum: None,
            norm: 1.0,
            norm_ratio: None,
            noise_deviation: None,
            noise_audit: None,
            canary_ok: true,
        }
    }

    /// The keys of an object, one `a.b` per line.
    fn keys(value: &serde_json::Value, prefix: &str, found: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            found.push(format!("{prefix}{key}"));
            keys(value, &format!("{prefix}{key}."), found);
        }
    }

    #[test]
    fn every_promised_key_is_there_from_the_beginning() {
        let mut found = Vec::new();
        keys(&serde_json::to_value(running_record(1)).unwrap(), "", &mut found);
        let promised = "round task number state step abort started_at ended_at parameters \
            parameters.task_sha256 parameters.model_sha256 parameters.coordinates \
            parameters.ring_bits parameters.clip parameters.scale parameters.mechanism \
            parameters.noise_variance parameters.min_contributors parameters.corrupt_share \
            parameters.dropout_share parameters.mask_suite parameters.corrupt_assumed \
            parameters.k parameters.t parameters.w_min parameters.quorum parameters.a_min devices \
            devices.roster devices.shared devices.contributors devices.dropped devices.signers \
            devices.revealers devices.blamed result privacy privacy.rho privacy.xi \
            privacy.epsilon_round privacy.epsilon_task privacy.delta privacy.epsilon_if_alone \
            proof proof.roster_root proof.survivors_sha256 proof.signatures bytes_up_max \
            bytes_down_max seconds seconds.advertise seconds.share seconds.mask seconds.check \
            seconds.unmask";
        for key in promised.split_whitespace() {
            assert!(found.iter().any(|k| k == key), "{key} is missing");
        }
        assert_eq!(found.len(), promised.split_whitespace().count());
    }
}
