//! The heads of devices' privacy ledgers, kept for them from renewal to renewal.

use rusqlite::{Connection, OptionalExtension as _, params};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{Bytes, RenewAnswer};

use super::StoreError;

/// Keeps the head that a renewal brings; gives the last one back if it brings none.
pub(crate) fn exchange(
    tx: &Connection,
    device: &DeviceId,
    answer: &RenewAnswer,
) -> Result<Option<Bytes>, StoreError> {
    let Some(head) = &answer.ledger_head else { return find(tx, device) };
    tx.execute(
        "INSERT INTO ledger_heads VALUES (?1, ?2) ON CONFLICT (device) DO UPDATE SET head = ?2",
        params![device.as_bytes(), head.0],
    )?;
    Ok(None)
}

fn find(view: &Connection, device: &DeviceId) -> Result<Option<Bytes>, StoreError> {
    let head = view
        .query_row("SELECT head FROM ledger_heads WHERE device = ?1", [device.as_bytes()], |row| {
            row.get(0).map(Bytes)
        })
        .optional()?;
    Ok(head)
}
