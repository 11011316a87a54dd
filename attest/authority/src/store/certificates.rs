//! Rows of issued certificates.

use rusqlite::{Connection, OptionalExtension as _, params};
use sealsum_attest::certificate::RoleKind;
use sealsum_attest::inclusion::Place;
use sha2::{Digest as _, Sha256};

use super::{StoreError, signed, unsigned};

/// One issued certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Serial number, big-endian as in the certificate.
    pub serial: Vec<u8>,
    /// Whom it speaks for.
    pub role: RoleKind,
    /// Device id in hex, or the server's name.
    pub subject: String,
    /// Enrolment of the device that it belongs to; 0 for servers.
    pub epoch: u64,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// The certificate.
    pub der: Vec<u8>,
    /// Where and when it was logged.
    pub logged: Place,
    /// Unix seconds of its revocation.
    pub revoked_at: Option<i64>,
}

pub(crate) fn insert(tx: &Connection, row: &CertificateRow) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO certificates VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            row.serial,
            row.role.as_str(),
            row.subject,
            signed(row.epoch)?,
            row.not_before,
            row.not_after,
            row.der,
            <[u8; 32]>::from(Sha256::digest(&row.der)),
            signed(row.logged.index)?,
            row.logged.ts,
            row.revoked_at
        ],
    )?;
    Ok(())
}

const COLUMNS: &str = "serial, role, subject, epoch, not_before, not_after, der, log_index,
                       logged_at, revoked_at";

/// The certificate with this serial number.
pub(crate) fn find(view: &Connection, serial: &[u8]) -> Result<Option<CertificateRow>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM certificates WHERE serial = ?1");
    let row = view.query_row(&query, [serial], raw_row).optional()?;
    row.map(parsed).transpose()
}

/// Where and when the certificate with this SHA-256 was logged.
pub(crate) fn place(view: &Connection, sha256: &[u8; 32]) -> Result<Option<Place>, StoreError> {
    let row: Option<(i64, i64)> = view
        .prepare_cached("SELECT log_index, logged_at FROM certificates WHERE sha256 = ?1")?
        .query_row([sha256], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    row.map(|(index, ts)| Ok(Place { index: unsigned(index)?, ts })).transpose()
}

/// The newest certificate of `subject`, revoked or not.
pub(crate) fn latest(
    view: &Connection,
    role: RoleKind,
    subject: &str,
) -> Result<Option<CertificateRow>, StoreError> {
    let query = format!(
        "SELECT {COLUMNS} FROM certificates WHERE role = ?1 AND subject = ?2
         ORDER BY not_after DESC, rowid DESC LIMIT 1"
    );
    let row = view.query_row(&query, [role.as_str(), subject], raw_row).optional()?;
    row.map(parsed).transpose()
}

/// Revokes every certificate of `subject` that is still valid; returns their serials.
pub(crate) fn revoke_all(
    tx: &Connection,
    role: RoleKind,
    subject: &str,
    now: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut statement = tx.prepare(
        "UPDATE certificates SET revoked_at = ?3
         WHERE role = ?1 AND subject = ?2 AND revoked_at IS NULL AND not_after > ?3
         RETURNING serial",
    )?;
    let serials = statement.query_map(params![role.as_str(), subject, now], |row| row.get(0))?;
    Ok(serials.collect::<Result<_, _>>()?)
}

type RawRow = (Vec<u8>, String, String, i64, i64, i64, Vec<u8>, i64, i64, Option<i64>);

fn raw_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawRow> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
        row.get(9)?,
    ))
}

fn parsed(raw: RawRow) -> Result<CertificateRow, StoreError> {
    let (serial, role, subject, epoch, not_before, not_after, der, index, ts, revoked_at) = raw;
    let role = RoleKind::parse(&role).ok_or(StoreError::Corrupt("role"))?;
    Ok(CertificateRow {
        serial,
        role,
        subject,
        epoch: unsigned(epoch)?,
        not_before,
        not_after,
        der,
        logged: Place { index: unsigned(index)?, ts },
        revoked_at,
    })
}
