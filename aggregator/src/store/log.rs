//! What goes into this aggregator's own log about a round.

use sealsum_attest::events::Event;
use sealsum_log::LogError;
use sealsum_log::routes::Work;
use sealsum_log::table::append;

use super::{Store, StoreError};
use crate::record::RoundRecord;

impl Store {
    /// Runs what reads or signs the log, in one transaction.
    ///
    /// # Errors
    /// Those of `work` and of the database.
    pub fn log_transaction(&self, work: Work<'_>) -> Result<(), StoreError> {
        self.write(|tx| Ok(work(tx)?))
    }
}

/// A round begins.
pub(super) fn opened(tx: &rusqlite::Connection, record: &RoundRecord) -> Result<(), LogError> {
    let event = Event::RoundOpened {
        round: record.round.to_string(),
        task_sha256: record.parameters.task_sha256.to_string(),
        number: record.number,
    };
    append(tx, record.started_at.as_second(), &event).map(|_| ())
}

/// Its roster is fixed.
pub(super) fn roster(
    tx: &rusqlite::Connection,
    record: &RoundRecord,
    now: i64,
) -> Result<(), LogError> {
    let event = Event::RoundRoster {
        round: record.round.to_string(),
        roster_root: record.proof.roster_root.map(|root| root.to_string()).unwrap_or_default(),
        devices: record.devices.roster.len() as u64,
    };
    append(tx, now, &event).map(|_| ())
}

/// It ended, with a result or without.
pub(super) fn ended(
    tx: &rusqlite::Connection,
    record: &RoundRecord,
    now: i64,
) -> Result<(), LogError> {
    let round = record.round.to_string();
    let event = match &record.result {
        Some(result) => Event::RoundFinished {
            round,
            survivors_sha256: record
                .proof
                .survivors_sha256
                .map(|hash| hash.to_string())
                .unwrap_or_default(),
            contributors: record.devices.contributors.len() as u64,
            result_sha256: result.file_sha256.to_string(),
            epsilon: record.privacy.epsilon_round.map(|epsilon| epsilon.to_string()),
        },
        None => Event::RoundAborted {
            round,
            code: record.abort.as_ref().map(|abort| abort.code.clone()).unwrap_or_default(),
        },
    };
    append(tx, now, &event).map(|_| ())
}
