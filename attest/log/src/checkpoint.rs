//! The head that the log's key signed last: persisted before anybody sees it, and never followed
//! by one that does not extend it.

use rusqlite::{Connection, OptionalExtension as _, params};
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle;
use sealsum_attest::tlog::note::NoteKey;

use crate::LogError;
use crate::key::LogKey;
use crate::table::{self, Stored, signed};

/// The signed head of the whole log, for which this signs and stores a new one if there are
/// entries that the last one does not cover. Part of a transaction that may write; give the head
/// to nobody before that is committed.
///
/// # Errors
/// [`LogError::NotSigned`] if the log is no extension of the head that was signed before.
pub fn current(tx: &Connection, key: &LogKey) -> Result<SignedCheckpoint, LogError> {
    let last = last(tx, key.verifier())?;
    if let Some(last) = &last {
        demand_beginning(tx, last)?;
    }
    let size = table::size(tx)?;
    if let Some(last) = last.filter(|last| last.head().size == size) {
        return Ok(last);
    }
    let next = key.sign(table::head(tx)?)?;
    store(tx, &next)?;
    Ok(next)
}

/// The head that was signed last, if there is one.
///
/// # Errors
/// [`LogError::Head`] if it is not by `key`.
pub fn last(view: &Connection, key: &NoteKey) -> Result<Option<SignedCheckpoint>, LogError> {
    let note: Option<String> = view
        .prepare_cached("SELECT note FROM log_checkpoint")?
        .query_row([], |row| row.get(0))
        .optional()?;
    note.map(|note| SignedCheckpoint::verify(note.as_bytes(), key))
        .transpose()
        .map_err(|error| LogError::Head(error.to_string()))
}

fn store(tx: &Connection, next: &SignedCheckpoint) -> Result<(), LogError> {
    let (size, note) = (signed(next.head().size), next.to_string());
    let changed =
        tx.execute("UPDATE log_checkpoint SET size = ?1, note = ?2", params![size, note])?;
    if changed == 0 {
        tx.execute("INSERT INTO log_checkpoint VALUES (1, ?1, ?2)", params![size, note])?;
    }
    Ok(())
}

/// Demands that the log begins with what was signed.
fn demand_beginning(view: &Connection, last: &SignedCheckpoint) -> Result<(), LogError> {
    let head = last.head();
    let fits =
        head.size <= table::size(view)? && merkle::root(&Stored(view), head.size)? == head.root;
    if fits { Ok(()) } else { Err(LogError::NotSigned { signed: head.size }) }
}
