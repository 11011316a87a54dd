//! What an operator sees of devices, and the one thing to do to them: revoke.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::certificate::Role;
use sealsum_attest::events::Event;
use sealsum_attest::evidence::Files;
use sealsum_attest::hex;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::policy::Firmware;
use sealsum_daemon::{Failure, codes};
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::issuance;
use crate::log;
use crate::policy::Awaiting;
use crate::store::{
    CertificateRow, DeviceRow, EkFacts, PendingRow, Revocation, RoleKind, StoreError, baselines,
    certificates, devices as rows, evidence, status,
};

/// Fewest digits of an id that a command takes.
const PREFIX_MIN: usize = 8;

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Has a valid certificate.
    Active,
    /// Has none, because its boot state awaits approval.
    Pending,
    /// Its certificate is over; it may renew or enrol.
    Expired,
    /// Shut out for good.
    Revoked,
}

/// Why a device is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Reason {
    /// A key of it is known to somebody else.
    KeyCompromise,
    /// The device is in other hands.
    Stolen,
    /// It has done its work.
    Retired,
    /// Anything else.
    Other,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::KeyCompromise => "key_compromise",
            Self::Stolen => "stolen",
            Self::Retired => "retired",
            Self::Other => "other",
        }
    }
}

/// `device list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceList {
    /// By id.
    pub devices: Vec<DeviceLine>,
}

/// One line of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceLine {
    /// Its id.
    pub device: DeviceId,
    /// The operator's name for it.
    pub name: Option<String>,
    /// Where it stands.
    pub state: State,
    /// End of its newest certificate.
    pub not_after: Option<Timestamp>,
}

/// `device show`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its id.
    pub device: DeviceId,
    /// The operator's name for it.
    pub name: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Counts its enrolments.
    pub epoch: u64,
    /// The last enrolment.
    pub enrolled_at: Timestamp,
    /// Its endorsement key.
    pub ek: EkFacts,
    /// TPM name of its attestation key.
    pub ak_name: String,
    /// TPM name of its device key.
    pub device_key_name: String,
    /// Its X25519 public key.
    pub x25519: String,
    /// Its newest certificate.
    pub certificate: Option<CertificateView>,
    /// Its last accepted quote.
    pub attestation: AttestationView,
    /// Set if it was refused since then for its boot state alone.
    pub pending: Option<Awaiting>,
    /// Set if it is shut out.
    pub revoked: Option<RevocationView>,
    /// Row of its last enrolment in the log.
    pub log_index: u64,
}

/// A certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificateView {
    /// Serial number, hex.
    pub serial: String,
    /// Start.
    pub not_before: Timestamp,
    /// End.
    pub not_after: Timestamp,
    /// URI SAN.
    pub uri: String,
}

/// A judged quote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttestationView {
    /// EAR status.
    pub status: String,
    /// When it was judged.
    pub at: Timestamp,
    /// PCR values by index.
    pub pcrs: BTreeMap<String, String>,
    /// Firmware that the TPM runs, as `min_firmware` of the policy has it.
    pub firmware: Firmware,
    /// TPM resets.
    pub reset_count: u32,
    /// TPM restarts since the last reset.
    pub restart_count: u32,
    /// SHA-256 of the policy that judged.
    pub policy_sha256: String,
}

/// A revocation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevocationView {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// All devices.
///
/// # Errors
/// A [`Failure`] from the registry.
pub fn list(authority: &Authority, now: Timestamp) -> Result<DeviceList, Failure> {
    authority.store.read(|view| {
        let lines = rows::all(view)?.into_iter().map(|row| {
            let certificate = newest_certificate(view, &row)?;
            let pending = baselines::find(view, &row.device)?;
            Ok::<_, Failure>(DeviceLine {
                device: row.device,
                state: state(&row, certificate.as_ref(), pending.is_some(), now),
                not_after: certificate.map(|c| time(c.not_after)).transpose()?,
                name: row.name,
            })
        });
        Ok(DeviceList { devices: lines.collect::<Result<_, _>>()? })
    })
}

/// One device, by a unique prefix of its id.
///
/// # Errors
/// `not_found` or `usage` for the prefix.
pub fn show(authority: &Authority, prefix: &str, now: Timestamp) -> Result<DeviceView, Failure> {
    authority.store.read(|view| {
        let row = by_prefix(view, prefix)?;
        let certificate = newest_certificate(view, &row)?;
        let pending = baselines::find(view, &row.device)?;
        view_of(authority, row, certificate, pending, now)
    })
}

/// Shuts a device out for good: its certificates, its id, its next enrolment. A second revocation
/// changes nothing; the first reason stands, unless it was that a copy was found.
///
/// # Errors
/// `not_found` or `usage` for the prefix.
pub fn revoke(
    authority: &Authority,
    prefix: &str,
    reason: Reason,
    actor: u32,
    now: Timestamp,
) -> Result<DeviceView, Failure> {
    let device = authority.store.write("revoke_device", |tx| {
        let row = by_prefix(tx, prefix)?;
        if row.revoked.as_ref().is_none_or(Revocation::is_clone) {
            revoke_row(tx, row.device, reason, actor, now)?;
        }
        Ok::<_, Failure>(row.device)
    })?;
    tracing::warn!(%device, reason = reason.as_str(), "device revoked");
    show(authority, &device.to_string(), now)
}

fn revoke_row(
    tx: &Connection,
    device: DeviceId,
    reason: Reason,
    actor: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    let second = now.as_second();
    rows::revoke(tx, &device, &Revocation { at: second, reason: reason.as_str().into() })?;
    status::raise_number(tx)?;
    let event =
        Event::DeviceRevoked { device: device.to_string(), reason: reason.as_str().into(), actor };
    log::append(tx, second, &event)?;
    baselines::forget(tx, &device)?;
    issuance::revoke_certificates(tx, &Role::Device(device), now)
}

/// The evidence of a device's last enrolment.
///
/// # Errors
/// `not_found` or `usage` for the prefix.
pub fn evidence_of(authority: &Authority, prefix: &str) -> Result<Files, Failure> {
    authority.store.read(|view| {
        let row = by_prefix(view, prefix)?;
        Ok(evidence::last_enrolment(view, &row.device)?)
    })
}

fn by_prefix(view: &Connection, prefix: &str) -> Result<DeviceRow, Failure> {
    let is_hex = prefix.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || !(PREFIX_MIN..=64).contains(&prefix.len()) {
        return Err(Failure::new(
            codes::USAGE,
            format!("device {prefix:?}: not {PREFIX_MIN} to 64 lower-case hex digits"),
            "sealsum-authority device list",
        ));
    }
    let mut found = rows::find_by_prefix(view, prefix)?;
    match (found.pop(), found.pop()) {
        (Some(row), None) => Ok(row),
        (None, _) => Err(Failure::new(
            codes::NOT_FOUND,
            format!("device {prefix}: is not enrolled here"),
            "sealsum-authority device list",
        )),
        _ => Err(Failure::new(
            codes::USAGE,
            format!("device {prefix}: more than one device begins like this"),
            "more digits",
        )),
    }
}

fn newest_certificate(
    view: &Connection,
    row: &DeviceRow,
) -> Result<Option<CertificateRow>, StoreError> {
    certificates::latest(view, RoleKind::Device, &row.device.to_string())
}

fn state(
    row: &DeviceRow,
    certificate: Option<&CertificateRow>,
    pending: bool,
    now: Timestamp,
) -> State {
    let valid = |c: &CertificateRow| c.revoked_at.is_none() && c.not_after > now.as_second();
    match (&row.revoked, certificate) {
        (Some(_), _) => State::Revoked,
        (None, Some(certificate)) if valid(certificate) => State::Active,
        (None, _) if pending => State::Pending,
        (None, _) => State::Expired,
    }
}

fn view_of(
    authority: &Authority,
    row: DeviceRow,
    certificate: Option<CertificateRow>,
    pending: Option<PendingRow>,
    now: Timestamp,
) -> Result<DeviceView, Failure> {
    let state = state(&row, certificate.as_ref(), pending.is_some(), now);
    let certificate = certificate.map(|certificate| {
        Ok::<_, StoreError>(CertificateView {
            serial: hex::encode(&certificate.serial),
            not_before: time(certificate.not_before)?,
            not_after: time(certificate.not_after)?,
            uri: Role::Device(row.device).uri(&authority.config.fleet),
        })
    });
    let attestation = row.record.attestation;
    Ok(DeviceView {
        device: row.device,
        name: row.name,
        state,
        epoch: row.epoch,
        enrolled_at: time(row.enrolled_at)?,
        ek: row.record.ek,
        ak_name: row.record.keys.ak_name,
        device_key_name: row.record.keys.dk_name,
        x25519: row.record.keys.x25519,
        certificate: certificate.transpose()?,
        attestation: AttestationView {
            status: attestation.status,
            at: time(attestation.at)?,
            pcrs: attestation.pcrs,
            firmware: Firmware(attestation.firmware_version),
            reset_count: attestation.reset_count,
            restart_count: attestation.restart_count,
            policy_sha256: attestation.policy_sha256,
        },
        pending: pending.map(Awaiting::try_from).transpose()?,
        revoked: row
            .revoked
            .map(|r| Ok::<_, StoreError>(RevocationView { at: time(r.at)?, reason: r.reason }))
            .transpose()?,
        log_index: row.log_index,
    })
}

fn time(second: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_second(second).map_err(|_| StoreError::Corrupt("time"))
}
