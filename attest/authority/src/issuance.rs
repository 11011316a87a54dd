//! Every certificate is on record, in the registry and in the log, before it leaves.

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::certificate::Role;
use sealsum_attest::events::Event;
use sealsum_attest::hex;
use sealsum_attest::inclusion::Place;

use crate::authority::Authority;
use crate::ca::Issued;
use crate::log;
use crate::store::{CertificateRow, StoreError, certificates, lineage, status};

/// Records an issued certificate; returns its index in the log.
pub(crate) fn record(
    tx: &Connection,
    role: &Role,
    epoch: u64,
    issued: &Issued,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let event =
        Event::certificate_issued(&issued.der).map_err(|_| StoreError::Corrupt("certificate"))?;
    let index = log::append(tx, now.as_second(), &event)?;
    let row = CertificateRow {
        serial: issued.serial.clone(),
        role: role.kind(),
        subject: role.subject(),
        epoch,
        not_before: issued.not_before.as_second(),
        not_after: issued.not_after.as_second(),
        der: issued.der.clone(),
        logged: Place { index, ts: now.as_second() },
        revoked_at: None,
    };
    certificates::insert(tx, &row)?;
    Ok(index)
}

/// Revokes every valid certificate of `role`; raises the status number if there was one.
pub(crate) fn revoke_certificates(
    tx: &Connection,
    role: &Role,
    now: Timestamp,
) -> Result<(), StoreError> {
    let subject = role.subject();
    let serials = certificates::revoke_all(tx, role.kind(), &subject, now.as_second())?;
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

/// Revokes the certificates of replaced keys whose time has come.
pub(crate) fn end_replaced(authority: &Authority, now: Timestamp) -> Result<(), StoreError> {
    let second = now.as_second();
    if authority.store.read(|view| lineage::ended(view, second))?.is_empty() {
        return Ok(());
    }
    authority.store.write("end_replaced", |tx| {
        for (serial, subject) in lineage::ended(tx, second)? {
            lineage::revoke(tx, &serial, second)?;
            let event = Event::CertificateRevoked { serial: hex::encode(&serial), subject };
            log::append(tx, second, &event)?;
        }
        status::raise_number(tx)
    })
}
