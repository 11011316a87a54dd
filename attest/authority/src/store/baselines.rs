//! Boot states of devices that wait for an operator's approval.

use rusqlite::{Connection, OptionalExtension as _, params};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::PcrValues;

use super::devices::id_of;
use super::{StoreError, unsigned};

/// A device that the policy refused for its boot state alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// Which.
    pub device: DeviceId,
    /// What it quoted.
    pub pcrs: PcrValues,
    /// Unix seconds of the first quote of this state.
    pub since: i64,
    /// Unix seconds of the last one.
    pub last_at: i64,
    /// How many there were.
    pub refusals: u64,
}

/// Notes a refusal; another state than before begins anew.
pub(crate) fn note(
    tx: &Connection,
    device: &DeviceId,
    pcrs: &PcrValues,
    now: i64,
) -> Result<(), StoreError> {
    let text = serde_json::to_string(pcrs).map_err(|_| StoreError::Corrupt("PCR values"))?;
    tx.execute(
        "INSERT INTO pending_baselines VALUES (?1, ?2, ?3, ?3, 1)
         ON CONFLICT (device) DO UPDATE SET
             since = CASE WHEN pcrs = ?2 THEN since ELSE ?3 END,
             refusals = CASE WHEN pcrs = ?2 THEN refusals + 1 ELSE 1 END,
             last_at = ?3, pcrs = ?2",
        params![device.as_bytes(), text, now],
    )?;
    Ok(())
}

/// The device is admitted, or shut out for good.
pub(crate) fn forget(tx: &Connection, device: &DeviceId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM pending_baselines WHERE device = ?1", [device.as_bytes()])?;
    Ok(())
}

const SELECT: &str = "SELECT device, pcrs, since, last_at, refusals FROM pending_baselines";

type RawRow = (Vec<u8>, String, i64, i64, i64);

pub(crate) fn find(view: &Connection, device: &DeviceId) -> Result<Option<PendingRow>, StoreError> {
    let row = view
        .query_row(&format!("{SELECT} WHERE device = ?1"), [device.as_bytes()], raw_row)
        .optional()?;
    row.map(parsed).transpose()
}

/// All of them, the longest waiting first.
pub(crate) fn all(view: &Connection) -> Result<Vec<PendingRow>, StoreError> {
    let mut statement = view.prepare(&format!("{SELECT} ORDER BY since, device"))?;
    let rows = statement.query_map([], raw_row)?;
    rows.map(|row| parsed(row?)).collect()
}

fn raw_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn parsed((device, pcrs, since, last_at, refusals): RawRow) -> Result<PendingRow, StoreError> {
    Ok(PendingRow {
        device: id_of(device)?,
        pcrs: serde_json::from_str(&pcrs).map_err(|_| StoreError::Corrupt("PCR values"))?,
        since,
        last_at,
        refusals: unsigned(refusals)?,
    })
}
