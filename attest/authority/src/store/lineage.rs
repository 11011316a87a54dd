//! What tells one machine from two: which certificates are in use, and which storage keys a TPM
//! left behind.

use rusqlite::{Connection, params};
use sealsum_attest::ids::DeviceId;

use super::{StoreError, signed};

/// Notes that the holder of `serial` showed it here; only the first time counts.
pub(crate) fn note_use(tx: &Connection, serial: &[u8], now: i64) -> Result<(), StoreError> {
    tx.execute("INSERT OR IGNORE INTO certificate_uses VALUES (?1, ?2)", params![serial, now])?;
    Ok(())
}

pub(crate) fn is_used(view: &Connection, serial: &[u8]) -> Result<bool, StoreError> {
    exists(view, "SELECT 1 FROM certificate_uses WHERE serial = ?1", params![serial])
}

/// Whether a certificate issued after `serial` to the same subject is in use.
pub(crate) fn successor_in_use(view: &Connection, serial: &[u8]) -> Result<bool, StoreError> {
    exists(
        view,
        "SELECT 1 FROM certificates AS shown
         JOIN certificates AS later
             ON later.role = shown.role AND later.subject = shown.subject
                AND later.rowid > shown.rowid
         JOIN certificate_uses ON certificate_uses.serial = later.serial
         WHERE shown.serial = ?1",
        params![serial],
    )
}

/// Notes that `device` was cleared and will never show this storage key again.
pub(crate) fn leave_storage_key(
    tx: &Connection,
    device: &DeviceId,
    srk_name: &str,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO left_storage_keys VALUES (?1, ?2)",
        params![device.as_bytes(), srk_name],
    )?;
    Ok(())
}

pub(crate) fn left_storage_key(
    view: &Connection,
    device: &DeviceId,
    srk_name: &str,
) -> Result<bool, StoreError> {
    exists(
        view,
        "SELECT 1 FROM left_storage_keys WHERE device = ?1 AND srk_name = ?2",
        params![device.as_bytes(), srk_name],
    )
}

/// Forgets the storage keys that `device` left: an operator said which machine it is.
pub(crate) fn forget_storage_keys(tx: &Connection, device: &DeviceId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM left_storage_keys WHERE device = ?1", [device.as_bytes()])?;
    Ok(())
}

/// Lets the certificates of `subject` from before `epoch` end at `ends_at`, unless they end sooner.
pub(crate) fn end_older(
    tx: &Connection,
    subject: &str,
    epoch: u64,
    ends_at: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO certificate_ends
         SELECT serial, ?3 FROM certificates
         WHERE role = 'device' AND subject = ?1 AND epoch < ?2
             AND revoked_at IS NULL AND not_after > ?3",
        params![subject, signed(epoch)?, ends_at],
    )?;
    Ok(())
}

/// Certificates whose end has come and that are not revoked yet: serial number and subject.
pub(crate) fn ended(view: &Connection, now: i64) -> Result<Vec<(Vec<u8>, String)>, StoreError> {
    let mut statement = view.prepare(
        "SELECT serial, subject FROM certificate_ends JOIN certificates USING (serial)
         WHERE ends_at <= ?1 AND revoked_at IS NULL AND not_after > ?1 ORDER BY serial",
    )?;
    let rows = statement.query_map([now], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Revokes one certificate.
pub(crate) fn revoke(tx: &Connection, serial: &[u8], now: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE certificates SET revoked_at = ?2 WHERE serial = ?1 AND revoked_at IS NULL",
        params![serial, now],
    )?;
    Ok(())
}

fn exists(
    view: &Connection,
    query: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<bool, StoreError> {
    let mut statement = view.prepare_cached(query)?;
    Ok(statement.exists(parameters)?)
}
