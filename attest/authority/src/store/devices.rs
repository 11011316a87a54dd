//! Rows of enrolled devices.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use sealsum_attest::ids::DeviceId;
use serde::{Deserialize, Serialize};

use super::{StoreError, signed, unsigned};

/// What the last judgement found about a device. Stored as JSON beside the row's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRecord {
    /// The endorsement key.
    pub ek: EkFacts,
    /// Its keys.
    pub keys: KeyRecord,
    /// The last judged quote.
    pub attestation: Attestation,
}

/// What is known of an endorsement key and its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EkFacts {
    /// `rsa2048`, `p256` or `p384`.
    pub algorithm: String,
    /// SHA-256 of the DER certificate, hex.
    pub certificate_sha256: String,
    /// TCG vendor id as the certificate states it.
    pub manufacturer: Option<String>,
    /// Firmware version as the quote states it, hex.
    pub firmware: Option<String>,
    /// Subject of the installed root that the chain ends in.
    pub anchor: String,
    /// A software TPM, by its vendor id.
    pub software: bool,
}

/// The keys of a device as it enrolled them, hex: what renewal judges the next quote by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// TPMT_PUBLIC of the endorsement key.
    pub ek_public: String,
    /// TPMT_PUBLIC of the attestation key.
    pub ak_public: String,
    /// TPM name of the attestation key.
    pub ak_name: String,
    /// TPMT_PUBLIC of the device key.
    pub dk_public: String,
    /// TPM name of the device key.
    pub dk_name: String,
    /// TPM name of the storage root key.
    pub srk_name: String,
    /// X25519 public key.
    pub x25519: String,
}

/// The last judged quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// `affirming`, `warning` or `contraindicated` (EAR draft-04 status).
    pub status: String,
    /// Unix seconds.
    pub at: i64,
    /// SHA-256 PCR values, hex, by index.
    pub pcrs: BTreeMap<String, String>,
    /// TPM resets since its manufacture.
    pub reset_count: u32,
    /// TPM restarts since the last reset.
    pub restart_count: u32,
    /// The TPM's clock, in milliseconds.
    pub clock_ms: u64,
    /// As the TPM reports it.
    pub firmware_version: u64,
    /// SHA-256 of the policy that judged, hex.
    pub policy_sha256: String,
}

/// Why a device is shut out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Unix seconds.
    pub at: i64,
    /// As given by the operator.
    pub reason: String,
}

/// The reason of a device that is shut out because two machines act as it.
pub(crate) const CLONED: &str = "cloned";

impl Revocation {
    /// Whether a copy of the device was found, as opposed to an operator's decision.
    pub(crate) fn is_clone(&self) -> bool {
        self.reason == CLONED
    }
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// SHA-256 of the endorsement key's TPMT_PUBLIC.
    pub device: DeviceId,
    /// The operator's name for it.
    pub name: Option<String>,
    /// Counts its enrolments, from 1.
    pub epoch: u64,
    /// Unix seconds of the last enrolment.
    pub enrolled_at: i64,
    /// What the last judgement found.
    pub record: DeviceRecord,
    /// Row of the last enrolment in the log.
    pub log_index: u64,
    /// Set once; only `cloned` can be lifted, by an operator's token for this very device.
    pub revoked: Option<Revocation>,
}

/// Writes a device's row, replacing what was known of it before. Revocation is not touched.
pub(crate) fn put(tx: &Connection, row: &DeviceRow) -> Result<(), StoreError> {
    let record = encoded(&row.record)?;
    tx.execute(
        "INSERT INTO devices (device, name, epoch, enrolled_at, record, log_index)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (device) DO UPDATE SET name = ?2, epoch = ?3, enrolled_at = ?4,
             record = ?5, log_index = ?6",
        params![
            row.device.as_bytes(),
            row.name,
            signed(row.epoch)?,
            row.enrolled_at,
            record,
            signed(row.log_index)?
        ],
    )?;
    Ok(())
}

/// Replaces what the last judgement found; for renewals.
pub(crate) fn put_record(
    tx: &Connection,
    device: &DeviceId,
    record: &DeviceRecord,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE devices SET record = ?2 WHERE device = ?1",
        params![device.as_bytes(), encoded(record)?],
    )?;
    Ok(())
}

pub(crate) fn revoke(
    tx: &Connection,
    device: &DeviceId,
    revocation: &Revocation,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE devices SET revoked_at = ?2, revoked_reason = ?3 WHERE device = ?1",
        params![device.as_bytes(), revocation.at, revocation.reason],
    )?;
    Ok(())
}

/// Lets a device in again whose copy was found; the caller has an operator's word for it.
pub(crate) fn readmit(tx: &Connection, device: &DeviceId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE devices SET revoked_at = NULL, revoked_reason = NULL
         WHERE device = ?1 AND revoked_reason = ?2",
        params![device.as_bytes(), CLONED],
    )?;
    Ok(())
}

pub(crate) fn find(view: &Connection, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
    let row = view
        .query_row(&format!("{SELECT} WHERE device = ?1"), [device.as_bytes()], raw_row)
        .optional()?;
    row.map(parsed).transpose()
}

/// All devices, by id.
pub(crate) fn all(view: &Connection) -> Result<Vec<DeviceRow>, StoreError> {
    let mut statement = view.prepare(&format!("{SELECT} ORDER BY device"))?;
    let rows = statement.query_map([], raw_row)?;
    rows.map(|row| parsed(row?)).collect()
}

/// The devices whose id begins with these hex digits; no more than two are looked for.
pub(crate) fn find_by_prefix(
    view: &Connection,
    prefix: &str,
) -> Result<Vec<DeviceRow>, StoreError> {
    let mut statement = view.prepare(&format!(
        "{SELECT} WHERE substr(lower(hex(device)), 1, length(?1)) = ?1 LIMIT 2"
    ))?;
    let rows = statement.query_map([prefix], raw_row)?;
    rows.map(|row| parsed(row?)).collect()
}

/// How many devices are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// With a valid certificate.
    pub active: u64,
    /// Without one.
    pub expired: u64,
    /// Shut out by an operator.
    pub revoked: u64,
    /// Shut out because two machines act as it.
    pub cloned: u64,
}

/// Counts the devices by their state at `now`.
pub(crate) fn count(view: &Connection, now: i64) -> Result<Counts, StoreError> {
    let (all, revoked, cloned, active) = view.query_row(
        "SELECT count(*), count(revoked_at),
             count(CASE WHEN revoked_reason = ?2 THEN 1 END), count(CASE WHEN revoked_at IS NULL AND EXISTS (
             SELECT 1 FROM certificates WHERE role = 'device'
             AND subject = lower(hex(device)) AND not_after > ?1 AND certificates.revoked_at IS NULL
         ) THEN 1 END) FROM devices",
        params![now, CLONED],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let (out, cloned, active) = (unsigned(revoked)?, unsigned(cloned)?, unsigned(active)?);
    Ok(Counts { active, expired: unsigned(all)? - out - active, revoked: out - cloned, cloned })
}

/// The device that holds `name`.
pub(crate) fn holder_of_name(
    view: &Connection,
    name: &str,
) -> Result<Option<DeviceId>, StoreError> {
    let id: Option<Vec<u8>> = view
        .query_row("SELECT device FROM devices WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    id.map(id_of).transpose()
}

/// The device that an X25519 key was ever bound to.
pub(crate) fn holder_of_x25519(
    view: &Connection,
    public_key: &[u8; 32],
) -> Result<Option<DeviceId>, StoreError> {
    let id: Option<Vec<u8>> = view
        .query_row("SELECT device FROM x25519_keys WHERE public_key = ?1", [public_key], |row| {
            row.get(0)
        })
        .optional()?;
    id.map(id_of).transpose()
}

/// Binds an X25519 key to a device, for good. The caller has checked [`holder_of_x25519`] in the
/// same transaction; the primary key makes a forgotten check an error instead of a theft.
pub(crate) fn bind_x25519(
    tx: &Connection,
    device: &DeviceId,
    public_key: &[u8; 32],
) -> Result<(), StoreError> {
    if holder_of_x25519(tx, public_key)?.as_ref() != Some(device) {
        tx.execute(
            "INSERT INTO x25519_keys VALUES (?1, ?2)",
            params![public_key, device.as_bytes()],
        )?;
    }
    Ok(())
}

pub(super) fn id_of(bytes: Vec<u8>) -> Result<DeviceId, StoreError> {
    bytes.try_into().map(DeviceId::from_bytes).map_err(|_| StoreError::Corrupt("32-byte id"))
}

fn encoded(record: &DeviceRecord) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|_| StoreError::Corrupt("device record"))
}

const SELECT: &str = "SELECT device, name, epoch, enrolled_at, record, log_index, revoked_at, \
     revoked_reason FROM devices";

type RawRow = (Vec<u8>, Option<String>, i64, i64, String, i64, Option<i64>, Option<String>);

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
    ))
}

fn parsed(raw: RawRow) -> Result<DeviceRow, StoreError> {
    let (device, name, epoch, enrolled_at, record, log_index, revoked_at, reason) = raw;
    let revoked = revoked_at
        .map(|at| match reason {
            Some(reason) => Ok(Revocation { at, reason }),
            None => Err(StoreError::Corrupt("revocation")),
        })
        .transpose()?;
    Ok(DeviceRow {
        device: id_of(device)?,
        name,
        epoch: unsigned(epoch)?,
        enrolled_at,
        record: serde_json::from_str(&record).map_err(|_| StoreError::Corrupt("device record"))?,
        log_index: unsigned(log_index)?,
        revoked,
    })
}
