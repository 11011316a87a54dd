//! Between the protocol's words and those of the record, the store and the error codes.

use std::io;

use sealsum_daemon::Failure;
use sealsum_daemon::codes::{Code, Exit};
use sealsum_protocol::codec::Encode;
use sealsum_protocol::error::{Abort, Refusal};
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::parameters::Parameters;
use sealsum_protocol::server::{Incoming, Record, Report, Step};

use crate::codes;
use crate::record::{
    AbortRecord, BlamedRecord, DroppedRecord, ParametersRecord, ProofRecord, RoundRecord,
    SecondsRecord, StepName,
};
use crate::store::{Fact, disk_full};
use crate::uploads::UploadError;

/// The error for a device whose message the protocol refused.
pub(super) fn refused(refusal: &Refusal) -> Failure {
    let guard = refusal.guard;
    let exit = match guard {
        Guard::Late | Guard::DifferentResend => Exit::Incomplete,
        Guard::Encoding => Exit::Usage,
        _ => Exit::Refused,
    };
    let message = format!("{}: {}", guard.name(), refusal.detail);
    Failure::new(Code::new(guard.name(), exit), message, guard.explanation())
}

/// The error for a device whose chunk, or whole vector, was not taken.
pub(super) fn upload_failure(error: UploadError) -> Failure {
    let refuse = |guard: Guard| refused(&Refusal::new(guard, error.to_string()));
    match &error {
        UploadError::Root => refuse(Guard::MaskedRoot),
        UploadError::Over => refuse(Guard::Late),
        UploadError::Different(_) => refuse(Guard::DifferentResend),
        UploadError::NoSuchChunk { .. } | UploadError::Shape(_) => {
            Failure::new(codes::CHUNK_INVALID, format!("masked input: {error}"), LAYOUT_HINT)
        }
        UploadError::Missing(_) => Failure::new(
            codes::CHUNK_MISSING,
            format!("masked input: {error}"),
            "send each chunk before the message that completes them",
        ),
        UploadError::DiskFull => disk_full("masked input"),
        UploadError::Io(_) => Failure::new(
            codes::STORAGE,
            format!("masked input: {error}"),
            "again; the log of the aggregator says more",
        ),
    }
}

/// Why a round cannot go on that cannot keep what devices deal.
pub(super) fn deal_failure(error: io::Error) -> Failure {
    match UploadError::from(error) {
        UploadError::DiskFull => disk_full("dealt shares"),
        error => Failure::new(
            codes::STORAGE,
            format!("dealt shares: {error}"),
            "the next round; check the disk of the aggregator's state directory",
        ),
    }
}

const LAYOUT_HINT: &str = "cut the vector as the task's layout says";

/// Whether a device may send its vector at this step.
pub(super) fn vector_is_due(step: Step, shared: bool, device: DeviceId) -> Result<(), Failure> {
    let refuse = |guard, detail: &str| Err(refused(&Refusal::of(guard, device, detail)));
    match step {
        Step::Advertise | Step::Share | Step::Acknowledge => {
            refuse(Guard::NotInRoster, "the step has not begun")
        }
        Step::Mask if shared => Ok(()),
        Step::Mask => refuse(Guard::NotInRoster, "it is not in the set that shared"),
        _ => refuse(Guard::Late, "the step is over"),
    }
}

/// Which step a message completes.
pub(super) fn step_of(message: &Incoming) -> StepName {
    match message {
        Incoming::Advertise(_) => StepName::Advertise,
        Incoming::Shares(_) | Incoming::Ack(_) => StepName::Share,
        Incoming::Masked { .. } => StepName::Mask,
        Incoming::Consistency(_) => StepName::Check,
        Incoming::Reveal(_) => StepName::Unmask,
    }
}

/// What to keep of a record that the protocol asks to persist.
pub(super) fn fact(record: &Record) -> (Fact, Vec<u8>) {
    match record {
        Record::Roster(bytes) => (Fact::Roster, bytes.to_vec()),
        Record::Sharers(bytes) => (Fact::Sharers, bytes.to_vec()),
        Record::Survivors { survivors, lost } => {
            (Fact::Survivors, [survivors.encoded(), lost.encoded()].concat())
        }
    }
}

/// Why a round ended: the protocol's reason, or this program's.
pub(super) fn abort(abort: Abort, cause: Option<Failure>) -> AbortRecord {
    match cause {
        Some(failure) => AbortRecord {
            code: failure.code.name().to_owned(),
            message: failure.message,
            culprits: abort.culprits,
            hint: failure.hint,
        },
        None => AbortRecord {
            code: abort.code.as_str().to_owned(),
            message: abort.message,
            culprits: abort.culprits,
            hint: abort.code.hint().to_owned(),
        },
    }
}

/// Brings a record up to what the protocol reports.
pub(super) fn fill(record: &mut RoundRecord, report: Report) {
    let step = match report.state {
        sealsum_protocol::server::State::Running(step) => step,
        _ => Step::Over,
    };
    record.step = name_of(step);
    record.seconds = seconds(&report.took_ms);
    record.proof = ProofRecord {
        roster_root: report.roster_root,
        survivors_sha256: report.survivors_sha256,
        signatures: u32::try_from(report.signers.len()).unwrap_or(u32::MAX),
    };
    let devices = &mut record.devices;
    devices.roster = report.roster;
    devices.shared = report.shared;
    devices.contributors = report.contributors;
    devices.signers = report.signers;
    devices.revealers = report.revealers;
    devices.dropped = report
        .dropped
        .into_iter()
        .filter_map(|lost| Some(DroppedRecord { device: lost.device, step: name_of(lost.step)? }))
        .collect();
    devices.blamed = report
        .blamed
        .into_iter()
        .map(|(device, guard)| BlamedRecord { device, code: guard.name().to_owned() })
        .collect();
}

/// The name that operators know a step by.
pub(super) fn name_of(step: Step) -> Option<StepName> {
    match step {
        Step::Advertise => Some(StepName::Advertise),
        Step::Share | Step::Acknowledge => Some(StepName::Share),
        Step::Mask => Some(StepName::Mask),
        Step::Check => Some(StepName::Check),
        Step::Unmask | Step::Recover => Some(StepName::Unmask),
        Step::Over => None,
    }
}

fn seconds(took_ms: &[(Step, u64)]) -> SecondsRecord {
    let mut seconds = SecondsRecord::default();
    let part = |name| {
        let parts = took_ms.iter().filter(|(step, _)| name_of(*step) == Some(name));
        parts.map(|(_, took)| *took).reduce(|a, b| a + b)
    };
    use StepName::{Advertise, Check, Mask, Share, Unmask};
    for name in [Advertise, Share, Mask, Check, Unmask] {
        if let Some(took) = part(name) {
            seconds.set(name, took as f64 / 1000.0);
        }
    }
    seconds
}

impl ParametersRecord {
    /// What follows from the roster.
    pub(super) fn set_cohort(&mut self, parameters: &Parameters) {
        let number = |value: usize| u32::try_from(value).ok();
        self.corrupt_assumed = number(parameters.corrupt);
        self.k = number(parameters.k);
        self.t = number(parameters.t);
        self.w_min = number(parameters.w_min);
        self.quorum = number(parameters.quorum);
        self.a_min = number(parameters.a_min);
    }
}
