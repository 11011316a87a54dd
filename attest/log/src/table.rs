//! Entries and hashes in SQLite. [`append`] runs inside the transaction of the action itself, so
//! that there is no action without its entry and no entry without its action.

use rusqlite::{Connection, OptionalExtension as _, params};
use sealsum_attest::events::{Event, canonical};
use sealsum_attest::tlog::merkle::{self, HashStore, Subtree};
use sealsum_attest::tlog::tiles::ENTRY_MAX;
use sealsum_attest::tlog::{Hash, TreeHead};

use crate::LogError;

/// The hashes of the log in this database.
pub struct Stored<'a>(pub &'a Connection);

impl HashStore for Stored<'_> {
    type Error = LogError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let hash = self
            .0
            .prepare_cached("SELECT hash FROM log_hashes WHERE level = ?1 AND number = ?2")?
            .query_row(params![level, signed(index)], |row| row.get(0))
            .optional()?;
        // Asked only for subtrees of entries that are there.
        hash.map(Hash).ok_or(LogError::Altered { position: index << level })
    }
}

/// Appends `event`, which happened at `now` (Unix seconds), and returns its index.
///
/// # Errors
/// [`LogError`].
pub fn append(tx: &Connection, now: i64, event: &Event) -> Result<u64, LogError> {
    let position = size(tx)?;
    let entry = canonical(position, now, event);
    if entry.len() > ENTRY_MAX {
        return Err(LogError::TooLong(entry.len()));
    }
    let grown = merkle::appended(&Stored(tx), position, Hash::of_leaf(&entry))?;
    tx.prepare_cached("INSERT INTO log VALUES (?1, ?2)")?
        .execute(params![signed(position), entry])?;
    let mut insert = tx.prepare_cached("INSERT INTO log_hashes VALUES (?1, ?2, ?3)")?;
    for Subtree { level, index, hash } in grown {
        insert.execute(params![level, signed(index), hash.0])?;
    }
    Ok(position)
}

/// Number of entries.
///
/// # Errors
/// [`LogError`] from SQLite.
pub fn size(view: &Connection) -> Result<u64, LogError> {
    let mut newest = view.prepare_cached("SELECT ifnull(max(position), -1) + 1 FROM log")?;
    Ok(unsigned(newest.query_row([], |row| row.get(0))?))
}

/// Number of entries and root over all of them.
///
/// # Errors
/// [`LogError`] from SQLite.
pub fn head(view: &Connection) -> Result<TreeHead, LogError> {
    let size = size(view)?;
    Ok(TreeHead { size, root: merkle::root(&Stored(view), size)? })
}

/// One entry.
///
/// # Errors
/// [`LogError::OutOfRange`].
pub fn entry(view: &Connection, index: u64) -> Result<Vec<u8>, LogError> {
    let found = entries(view, index, 1)?.pop();
    found.ok_or(LogError::OutOfRange { asked: index, size: size(view)? })
}

/// Up to `count` entries from `first` on.
///
/// # Errors
/// [`LogError`] from SQLite.
pub fn entries(view: &Connection, first: u64, count: u16) -> Result<Vec<Vec<u8>>, LogError> {
    let mut statement = view.prepare_cached(
        "SELECT entry FROM log WHERE position >= ?1 AND position < ?2 ORDER BY position",
    )?;
    let end = first.saturating_add(count.into());
    let rows = statement.query_map(params![signed(first), signed(end)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// SQLite counts with 63 bits, and so do the trees; nothing larger is ever found.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The schema has no negative positions.
pub(crate) fn unsigned(value: i64) -> u64 {
    value.unsigned_abs()
}
