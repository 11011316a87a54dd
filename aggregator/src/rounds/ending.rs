//! What is left of a round when it has ended, and what late callers are told.

use std::path::PathBuf;

use axum::http::StatusCode;
use sealsum_daemon::http::Problem;
use sealsum_daemon::{Failure, time};
use sealsum_protocol::error::Refusal;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::RoundId;

use super::{Parts, report};
use crate::admin::ProgressBody;
use crate::config::KeepMasked;
use crate::record::{AbortRecord, RoundRecord, State};
use crate::refused::Refused;

/// The directory of a round.
pub(super) fn round_dir(parts: &Parts, round: RoundId) -> PathBuf {
    parts.dir.join(round.to_string())
}

/// The file with its sum.
pub(super) fn result_file(parts: &Parts, round: RoundId) -> PathBuf {
    round_dir(parts, round).join("result.npy")
}

/// Deletes what a round that never got a result left behind.
pub(super) fn clean_up(parts: &Parts, round: RoundId) {
    if parts.keep == KeepMasked::Round {
        return;
    }
    match std::fs::remove_dir_all(round_dir(parts, round)) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::error!(%round, %error, "what it left could not be deleted"),
    }
}

/// The answer to a device that asks about a round that has ended.
pub(super) fn gone(record: &RoundRecord) -> Refused {
    match &record.abort {
        Some(abort) => {
            Problem::from(abort.failure(record.round)).with_status(StatusCode::GONE).into()
        }
        None => report::refused(&Refusal::new(Guard::Late, "the round is over")).into(),
    }
}

/// A round that this program, not the protocol, ends without a result.
pub(super) fn aborted(record: RoundRecord, failure: Failure) -> RoundRecord {
    let abort = AbortRecord {
        code: failure.code.name().to_owned(),
        message: failure.message,
        culprits: Vec::new(),
        hint: failure.hint,
    };
    RoundRecord {
        state: State::Aborted,
        step: None,
        result: None,
        abort: Some(abort),
        ended_at: Some(time::now()),
        ..record
    }
}

/// The progress of a round that is no longer in memory.
pub(super) fn final_progress(record: &RoundRecord) -> ProgressBody {
    ProgressBody {
        version: 0,
        state: record.state,
        step: None,
        devices: record.devices.contributors.len() as u64,
        of: record.devices.roster.len() as u64,
        chunks: None,
    }
}
