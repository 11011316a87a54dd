//! Every certificate is on record, in the registry and in the log, before it leaves.

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::certificate::Role;
use sealsum_attest::hex;
use sha2::{Digest as _, Sha256};

use crate::ca::Issued;
use crate::log::{self, Event};
use crate::store::{CertificateRow, RoleKind, StoreError, certificates, status};

/// Records an issued certificate; returns its position in the log.
pub(crate) fn record(
    tx: &Connection,
    role: &Role,
    epoch: u64,
    issued: &Issued,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (kind, subject) = subject_of(role);
    certificates::insert(
        tx,
        &CertificateRow {
            serial: issued.serial.clone(),
            role: kind,
            subject: subject.clone(),
            epoch,
            not_before: issued.not_before.as_second(),
            not_after: issued.not_after.as_second(),
            der: issued.der.clone(),
            revoked_at: None,
        },
    )?;
    let event = Event::CertificateIssued {
        serial: hex::encode(&issued.serial),
        role: kind,
        subject,
        certificate_sha256: hex::encode(&Sha256::digest(&issued.der)),
        spki_sha256: hex::encode(&issued.spki_sha256),
        not_after: issued.not_after.as_second(),
    };
    log::append(tx, now.as_second(), &event)
}

/// Revokes every valid certificate of `role`; raises the status number if there was one.
pub(crate) fn revoke_certificates(
    tx: &Connection,
    role: &Role,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (kind, subject) = subject_of(role);
    let serials = certificates::revoke_all(tx, kind, &subject, now.as_second())?;
    if !serials.is_empty() {
        status::raise_number(tx)?;
    }
    for serial in serials {
        let event =
            Event::CertificateRevoked { serial: hex::encode(&serial), subject: subject.clone() };
        log::append(tx, now.as_second(), &event)?;
    }
    Ok(())
}

/// As certificates are filed: the kind of role, and the device id or the server's name.
pub(crate) fn subject_of(role: &Role) -> (RoleKind, String) {
    match role {
        Role::Device(id) => (RoleKind::Device, id.to_string()),
        Role::Aggregator(name) => (RoleKind::Aggregator, name.to_string()),
        Role::Authority => (RoleKind::Authority, "authority".into()),
    }
}
