//! Which revocations the CA behind the authority has heard of.

use rusqlite::Connection;

use super::StoreError;

/// Serials of revoked certificates that have not expired at `now` and were not passed on.
pub(crate) fn pending(view: &Connection, now: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut statement = view.prepare(
        "SELECT serial FROM certificates WHERE revoked_at IS NOT NULL AND not_after > ?1
         AND serial NOT IN (SELECT serial FROM withdrawn) ORDER BY revoked_at, serial",
    )?;
    let rows = statement.query_map([now], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The CA has revoked this one.
pub(crate) fn done(tx: &Connection, serial: &[u8]) -> Result<(), StoreError> {
    tx.execute("INSERT OR IGNORE INTO withdrawn VALUES (?1)", [serial])?;
    Ok(())
}
