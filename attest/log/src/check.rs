//! Everything stored, recomputed from the entries: what triggers keep honest programs from doing
//! to the log, somebody with the file may have done all the same.

use rusqlite::Connection;
use sealsum_attest::events::Entry;
use sealsum_attest::tlog::Hash;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle::{self, HashStore as _, Subtree};

use crate::LogError;
use crate::checkpoint;
use crate::key::LogKey;
use crate::table::{Stored, unsigned};

/// Demands that every entry is canonical and at its place, that the stored hashes are those of the
/// entries and no others, and that the head signed last is a beginning of it all. Then signs what
/// a crash may have left unsigned, and returns the head. Part of a transaction that may write.
///
/// # Errors
/// [`LogError::Altered`], [`LogError::NotSigned`], [`LogError::Head`].
pub fn at_start(tx: &Connection, key: &LogKey) -> Result<SignedCheckpoint, LogError> {
    demand_hashes(tx)?;
    checkpoint::current(tx, key)
}

/// Walks the entries; each must make exactly the hashes that are stored for it.
fn demand_hashes(view: &Connection) -> Result<(), LogError> {
    let mut entries = view.prepare("SELECT position, entry FROM log ORDER BY position")?;
    let mut rows = entries.query([])?;
    let stored = Stored(view);
    let (mut size, mut hashes) = (0, 0);
    while let Some(row) = rows.next()? {
        let (position, entry): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let altered = LogError::Altered { position: size };
        let in_place = Entry::parse(&entry).is_some_and(|entry| entry.seq == size);
        if unsigned(position) != size || !in_place {
            return Err(altered);
        }
        for Subtree { level, index, hash } in
            merkle::appended(&stored, size, Hash::of_leaf(&entry))?
        {
            let kept = stored.subtree(level, index);
            if kept.map_err(|error| missing_at(error, size))? != hash {
                return Err(altered);
            }
            hashes += 1;
        }
        size += 1;
    }
    let kept: i64 = view.query_row("SELECT count(*) FROM log_hashes", [], |row| row.get(0))?;
    if unsigned(kept) == hashes { Ok(()) } else { Err(LogError::Altered { position: size }) }
}

/// A hash that is missing belongs to the entry that made it, not to the first one below it.
fn missing_at(error: LogError, position: u64) -> LogError {
    match error {
        LogError::Altered { .. } => LogError::Altered { position },
        other => other,
    }
}
