//! Renewal: a device with a valid certificate shows a fresh quote and gets the next certificate.
//! Its keys stay as they are; [`crate::rotate`] renews with new ones.

use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::certificate::Role;
use sealsum_attest::events::Event;
use sealsum_attest::evidence::{self, Files};
use sealsum_attest::hex;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{EnrolGrant, PROTOCOL_VERSION, RenewAnswer, RenewChallenge};
use sealsum_attest::refusals::{self, Refusal};
use sealsum_attest::verify::{self, Known, RenewalSession, Verified};
use sealsum_daemon::Failure;
use sha2::{Digest as _, Sha256};

use crate::authority::{Authority, generator};
use crate::ca::Issued;
use crate::client::Client;
use crate::enrol::not_opened;
use crate::failures::{evidence_refused, refused, replaced, shut_out};
use crate::grant::{Recorded, grant};
use crate::log;
use crate::rate::site;
use crate::store::{DeviceRecord, DeviceRow, Occasion, devices, evidence as rows, ledger_heads};
use crate::{issuance, lineage, policy, record};

/// A device that was asked for a fresh quote.
pub struct Open {
    session: RenewalSession,
    serial: Vec<u8>,
}

/// First step: a nonce for a device whose certificate is good.
///
/// # Errors
/// `refused` or `revoked` for the certificate; `evidence_refused`; `busy`.
pub fn begin(
    authority: &Authority,
    now: Timestamp,
    address: IpAddr,
    client: &Client,
    protocol: u32,
) -> Result<RenewChallenge, Failure> {
    check_protocol(protocol)?;
    let device = authorised(authority, now, client)?;
    let known = on_record(authority, now, client, &device)?;
    let serial = known.serial.clone();
    let session = RenewalSession::new(known, &authority.policy(), now, &mut generator()?);
    let challenge = session.challenge().clone();
    let (id, expires_at) = (session.id(), challenge.expires_at.as_second());
    authority
        .renewals
        .open(now.as_second(), id, device, site(address), expires_at, Open { session, serial })
        .map_err(not_opened)?;
    Ok(challenge)
}

/// Second step: the quote. The session is gone whatever comes out.
///
/// # Errors
/// `evidence_refused` with the check; `refused` or `revoked` for the certificate.
pub fn finish(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
    answer: &RenewAnswer,
) -> Result<EnrolGrant, Failure> {
    let outcome = finish_uncounted(authority, now, client, answer);
    authority.metrics.count_verdict(&outcome);
    outcome
}

fn finish_uncounted(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
    answer: &RenewAnswer,
) -> Result<EnrolGrant, Failure> {
    let device = authorised(authority, now, client)?;
    let Open { session, serial } = authority.renewals.take(&answer.session).ok_or_else(|| {
        let why = "the renewal is not known, or was answered before";
        evidence_refused(refusals::RENEWAL_REPLAYED.refuse(why))
    })?;
    if *session.device() != device || serial != client.identity.serial {
        let why = "the renewal was begun with another certificate";
        return Err(evidence_refused(refusals::OTHER_DEVICE.refuse(why)));
    }
    let files = evidence::of_renewal(session.challenge(), answer);
    let verified = verify::judge_renewal(session, answer, &authority.policy(), now)
        .or_else(|refusal| not_judged_good(authority, now, &device, answer, refusal))?;
    grant(authority, now, &verified, &answer.csr.0, "device renewed", |tx, issued| {
        Renewal { verified: &verified, issued, files: &files, answer }.record(authority, tx, now)
    })
}

pub(crate) fn check_protocol(protocol: u32) -> Result<(), Failure> {
    if protocol == PROTOCOL_VERSION {
        return Ok(());
    }
    let why = format!("protocol version {protocol}, not {PROTOCOL_VERSION}");
    Err(evidence_refused(refusals::PROTOCOL_VERSION.refuse(why)))
}

/// The device of a good certificate over the keys on record.
pub(crate) fn authorised(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
) -> Result<DeviceId, Failure> {
    let device = client.identity.device().map_err(|error| refused(&error.to_string()))?;
    lineage::check_holder(authority, now, client, &device)?;
    client.check_not_revoked(authority, now)?;
    // The grant of new keys was lost on its way; those on record are nobody's.
    let (shown, on_record) = authority
        .store
        .read(|view| Ok::<_, Failure>((client.row(view)?.epoch, member(view, &device)?.epoch)))?;
    if shown < on_record {
        return Err(replaced());
    }
    Ok(device)
}

/// What is on record of a device that begins a renewal, which is also a sign of who holds it.
pub(crate) fn on_record(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
    device: &DeviceId,
) -> Result<Known, Failure> {
    lineage::note_use(authority, now, client)?;
    authority.store.read(|view| {
        let row = member(view, device)?;
        let shown = rows::last_enrolment(view, device)?;
        Ok(record::known(&row, &shown, client.identity.serial.clone())?)
    })
}

/// Keeps what a refused renewal tells: a boot state that awaits approval, or a copy of the device.
pub(crate) fn not_judged_good(
    authority: &Authority,
    now: Timestamp,
    device: &DeviceId,
    answer: &RenewAnswer,
    refusal: Refusal,
) -> Result<Verified, Failure> {
    policy::note_refusal(authority, device, &answer.pcrs, &refusal, now)?;
    Err(lineage::renewal_refused(authority, now, device, answer, refusal))
}

pub(crate) fn member(view: &Connection, device: &DeviceId) -> Result<DeviceRow, Failure> {
    let row = devices::find(view, device)?
        .ok_or_else(|| refused("the device of this certificate is not enrolled"))?;
    match &row.revoked {
        Some(why) => Err(shut_out(why, device)),
        None => Ok(row),
    }
}

/// Everything that becomes a fact together.
struct Renewal<'a> {
    verified: &'a Verified,
    issued: &'a Issued,
    files: &'a Files,
    answer: &'a RenewAnswer,
}

impl Renewal<'_> {
    fn record(
        &self,
        authority: &Authority,
        tx: &Connection,
        now: Timestamp,
    ) -> Result<Recorded, Failure> {
        let row = member(tx, self.verified.device())?;
        let claims = record::claims(authority, self.verified, self.files, row.epoch, self.issued);
        let result_jwt = claims.sign(&authority.own_chain(), |message| authority.sign(message))?;
        let attestation = record::attestation(self.verified);
        let event = Event::DeviceRenewed {
            device: row.device.to_string(),
            epoch: row.epoch,
            policy_sha256: attestation.policy_sha256.clone(),
            result_sha256: hex::encode(&Sha256::digest(&result_jwt)),
        };
        log::append(tx, now.as_second(), &event)?;
        let role = Role::Device(row.device);
        let log_index = issuance::record(tx, &role, row.epoch, self.issued, now)?;
        // Another policy may see another maker behind it.
        let ek = record::ek_facts(row.record.ek.algorithm, self.verified.endorsement());
        devices::put_record(tx, &row.device, &DeviceRecord { ek, attestation, ..row.record })?;
        rows::insert(tx, &row.device, log_index, Occasion::Renewal, self.files)?;
        let ledger_head = ledger_heads::exchange(tx, &row.device, self.answer)?;
        Ok(Recorded { epoch: row.epoch, log_index, result_jwt, ledger_head })
    }
}
