//! The number of the status list and what it lists.

use rusqlite::Connection;
use sealsum_attest::ids::DeviceId;

use super::devices::id_of;
use super::{StoreError, unsigned};

/// The current number. Grows with every revocation, never shrinks.
pub(crate) fn number(view: &Connection) -> Result<u64, StoreError> {
    unsigned(view.query_row("SELECT number FROM status_number", [], |row| row.get(0))?)
}

/// Raises the number; part of the transaction that revokes.
pub(crate) fn raise_number(tx: &Connection) -> Result<(), StoreError> {
    tx.execute("UPDATE status_number SET number = number + 1", [])?;
    Ok(())
}

/// Ids of all revoked devices, ascending.
pub(crate) fn revoked_devices(view: &Connection) -> Result<Vec<DeviceId>, StoreError> {
    let mut statement =
        view.prepare("SELECT device FROM devices WHERE revoked_at IS NOT NULL ORDER BY device")?;
    let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    rows.map(|bytes| id_of(bytes?)).collect()
}

/// Serials of revoked certificates that have not expired at `now`, ascending.
pub(crate) fn revoked_serials(view: &Connection, now: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut statement = view.prepare(
        "SELECT serial FROM certificates WHERE revoked_at IS NOT NULL AND not_after > ?1
         ORDER BY serial",
    )?;
    let rows = statement.query_map([now], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
