//! One device is one machine: copies of a TPM's state are found by what two of them cannot help
//! showing, and then neither is let in.
//!
//! | sign | why one machine never shows it |
//! |---|---|
//! | `counters` | resets, restarts and, within a restart, the clock of one TPM only grow; only clearing it starts them anew, and that also changes its storage key |
//! | `storage_key` | a storage key that clearing replaced never comes back |
//! | `two_holders` | who has used a newer certificate has no use for an older one |
//!
//! A device that lost the answer to its last request, was cleared, changed its boot, or lost its
//! sealed keys shows none of them: the certificate it never received is never used.

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::certificate::Role;
use sealsum_attest::events::Event;
use sealsum_attest::hex;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::RenewAnswer;
use sealsum_attest::quote;
use sealsum_attest::refusals::{self, Refusal};
use sealsum_attest::verify::Verified;
use sealsum_daemon::Failure;

use crate::authority::Authority;
use crate::client::Client;
use crate::failures::{cloned, evidence_refused};
use crate::issuance;
use crate::log;
use crate::record;
use crate::store::{
    CLONED, DeviceRow, Revocation, StoreError, TokenRow, baselines, devices, lineage as rows,
    status,
};

/// What gave a copy away, as logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Counters,
    StorageKey,
    TwoHolders,
}

impl Sign {
    const fn word(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::StorageKey => "storage_key",
            Self::TwoHolders => "two_holders",
        }
    }
}

/// Notes that the certificate is in use; one row for each certificate, ever.
pub(crate) fn note_use(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
) -> Result<(), Failure> {
    let serial = &client.identity.serial;
    if authority.store.read(|view| rows::is_used(view, serial))? {
        return Ok(());
    }
    let issued = authority.store.read(|view| client.row(view))?;
    if issued.revoked_at.is_some() {
        return Ok(());
    }
    Ok(authority.store.write("note_use", |tx| rows::note_use(tx, serial, now.as_second()))?)
}

/// Demands that nobody has moved on from the certificate that the client shows.
///
/// # Errors
/// `revoked` with check 44 if somebody has; the device is shut out by then.
pub(crate) fn check_holder(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
    device: &DeviceId,
) -> Result<(), Failure> {
    let serial = &client.identity.serial;
    if !authority.store.read(|view| rows::successor_in_use(view, serial))? {
        return Ok(());
    }
    let row = authority.store.read(|view| devices::find(view, device))?;
    match row {
        Some(row) if row.revoked.is_none() => Err(shut_out(authority, now, &row, Sign::TwoHolders)),
        _ => Ok(()),
    }
}

/// Demands that the TPM of an enrolment is where its last quote left it. An operator's token for
/// this very device settles the question.
///
/// # Errors
/// `revoked` with check 44; the device is shut out by then.
pub(crate) fn check_enrolment(
    authority: &Authority,
    now: Timestamp,
    verified: &Verified,
    token: Option<&TokenRow>,
) -> Result<(), Failure> {
    let device = verified.device();
    if names_device(token, device) {
        return Ok(());
    }
    let sign = authority.store.read(|view| {
        let row = devices::find(view, device)?.filter(|row| row.revoked.is_none());
        let sign = row.as_ref().map(|row| sign_of(view, row, verified)).transpose()?.flatten();
        Ok::<_, StoreError>(row.zip(sign))
    })?;
    match sign {
        Some((row, sign)) => Err(shut_out(authority, now, &row, sign)),
        None => Ok(()),
    }
}

fn sign_of(
    view: &Connection,
    row: &DeviceRow,
    verified: &Verified,
) -> Result<Option<Sign>, StoreError> {
    let srk_name = hex::encode(&verified.keys().srk_name);
    let record = &row.record;
    if record.keys.srk_name == srk_name {
        let last = record::last_state(&record.attestation);
        return Ok(verified.state().is_before(&last).then_some(Sign::Counters));
    }
    Ok(rows::left_storage_key(view, &row.device, &srk_name)?.then_some(Sign::StorageKey))
}

/// What a refused renewal means. One for counters that went down was made by the device's TPM for
/// this very session, so there is another.
pub(crate) fn renewal_refused(
    authority: &Authority,
    now: Timestamp,
    device: &DeviceId,
    answer: &RenewAnswer,
    refusal: Refusal,
) -> Failure {
    let found = || -> Result<Option<DeviceRow>, Failure> {
        let row = authority.store.read(|view| devices::find(view, device))?;
        let state = quote::state_of(&answer.quote_attest.0).map_err(evidence_refused)?;
        Ok(row.filter(|row| {
            row.revoked.is_none() && state.is_before(&record::last_state(&row.record.attestation))
        }))
    };
    if refusal.check != refusals::COUNTERS {
        return evidence_refused(refusal);
    }
    match found() {
        Ok(Some(row)) => {
            let _ = shut_out(authority, now, &row, Sign::Counters);
            evidence_refused(refusal)
        }
        Ok(None) => evidence_refused(refusal),
        Err(failure) => failure,
    }
}

/// Whether the operator named this endorsement key when making the token.
pub(crate) fn names_device(token: Option<&TokenRow>, device: &DeviceId) -> bool {
    token.is_some_and(|token| token.ek_sha256.as_ref() == Some(device))
}

/// Shuts both machines out and raises the alarm; returns what to answer.
fn shut_out(authority: &Authority, now: Timestamp, row: &DeviceRow, sign: Sign) -> Failure {
    let device = row.device;
    let done = authority.store.write("shut_out_clone", |tx| {
        let second = now.as_second();
        devices::revoke(tx, &device, &Revocation { at: second, reason: CLONED.into() })?;
        status::raise_number(tx)?;
        let event = Event::DeviceCloned {
            device: device.to_string(),
            epoch: row.epoch,
            found: sign.word().into(),
        };
        log::append(tx, second, &event)?;
        baselines::forget(tx, &device)?;
        issuance::revoke_certificates(tx, &Role::Device(device), now)
    });
    match done {
        Ok(()) => {
            tracing::error!(%device, found = sign.word(), "ALARM: two machines act as one device");
            cloned(&device)
        }
        Err(error) => {
            let failure = Failure::from(error);
            tracing::error!(%device, %failure, "ALARM: two machines act as one device, and are not shut out");
            failure
        }
    }
}
