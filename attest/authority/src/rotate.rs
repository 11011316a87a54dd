//! Renewal with new keys: the attestation key on record vouches for a new device key, and the
//! device shows that it holds it and the new X25519 key. A new epoch begins.
//!
//! Rounds under way were entered with the older certificate, so that one lives on for
//! [`OLDER_LIVES_S`]; then it is revoked.

use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::certificate::Role;
use sealsum_attest::events::Event;
use sealsum_attest::evidence::{self, Files};
use sealsum_attest::hex;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{EnrolGrant, RenewAnswer, RotateAnswer, RotateChallenge};
use sealsum_attest::refusals;
use sealsum_attest::verify::{self, RotationSession, Verified};
use sealsum_daemon::Failure;
use sha2::{Digest as _, Sha256};

use crate::authority::{Authority, generator};
use crate::ca::Issued;
use crate::client::Client;
use crate::enrol::not_opened;
use crate::failures::evidence_refused;
use crate::grant::{Recorded, grant};
use crate::log;
use crate::rate::site;
use crate::renew::{authorised, check_protocol, member, not_judged_good, on_record};
use crate::store::{
    DeviceRecord, DeviceRow, Occasion, devices, evidence as evidence_rows, ledger_heads,
    lineage as lineage_rows,
};
use crate::{issuance, record};

/// Seconds that a certificate over replaced keys lives on, for rounds that it was entered with.
pub const OLDER_LIVES_S: i64 = 60 * 60;

/// A device that was asked for evidence of its new keys.
pub struct Open {
    session: RotationSession,
    serial: Vec<u8>,
}

/// The keys that a device asks for.
pub struct NewKeys<'a> {
    /// TPMT_PUBLIC of the device key.
    pub dk_public: &'a [u8],
    /// The X25519 identity.
    pub x25519_public: &'a [u8; 32],
}

/// First step: a nonce for a device whose certificate is good and whose new keys are new.
///
/// # Errors
/// `refused`, `revoked` or `certificate_replaced` for the certificate; `evidence_refused`; `busy`.
pub fn begin(
    authority: &Authority,
    now: Timestamp,
    address: IpAddr,
    client: &Client,
    protocol: u32,
    keys: &NewKeys<'_>,
) -> Result<RotateChallenge, Failure> {
    check_protocol(protocol)?;
    let device = authorised(authority, now, client)?;
    let known = on_record(authority, now, client, &device)?;
    authority.store.read(|view| check_new(view, &device, keys.x25519_public))?;
    let serial = known.serial.clone();
    let (dk, x25519, rules) = (keys.dk_public, keys.x25519_public, authority.policy());
    let session = RotationSession::new(known, dk, x25519, &rules, now, &mut generator()?)
        .map_err(evidence_refused)?;
    let challenge = session.challenge().clone();
    let (id, expires_at) = (challenge.renewal.session, challenge.renewal.expires_at.as_second());
    authority
        .rotations
        .open(now.as_second(), id, device, site(address), expires_at, Open { session, serial })
        .map_err(not_opened)?;
    Ok(challenge)
}

/// Second step: the evidence. The session is gone whatever comes out.
///
/// # Errors
/// `evidence_refused` with the check; `refused` or `revoked` for the certificate.
pub fn finish(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
    answer: &RotateAnswer,
) -> Result<EnrolGrant, Failure> {
    let outcome = finish_uncounted(authority, now, client, answer);
    authority.metrics.count_verdict(&outcome);
    outcome
}

fn finish_uncounted(
    authority: &Authority,
    now: Timestamp,
    client: &Client,
    answer: &RotateAnswer,
) -> Result<EnrolGrant, Failure> {
    let device = authorised(authority, now, client)?;
    let Open { session, serial } =
        authority.rotations.take(&answer.renewal.session).ok_or_else(|| {
            let why = "the renewal is not known, or was answered before";
            evidence_refused(refusals::RENEWAL_REPLAYED.refuse(why))
        })?;
    if *session.device() != device || serial != client.identity.serial {
        let why = "the renewal was begun with another certificate";
        return Err(evidence_refused(refusals::OTHER_DEVICE.refuse(why)));
    }
    let mut files = evidence::of_renewal(&session.challenge().renewal, &answer.renewal);
    files.insert("certify.attest".into(), answer.certify_attest.0.clone());
    files.insert("certify.sig".into(), answer.certify_signature.0.clone());
    let shown = &answer.renewal;
    let verified = verify::judge_rotation(session, answer, &authority.policy(), now)
        .or_else(|refusal| not_judged_good(authority, now, &device, shown, refusal))?;
    grant(authority, now, &verified, &shown.csr.0, "device renewed with new keys", |tx, issued| {
        Rotation { verified: &verified, issued, files: &files, answer: shown }
            .record(authority, tx, now)
    })
}

fn check_new(view: &Connection, device: &DeviceId, x25519: &[u8; 32]) -> Result<(), Failure> {
    match devices::holder_of_x25519(view, x25519)? {
        None => Ok(()),
        Some(holder) if holder == *device => Err(evidence_refused(
            refusals::X25519_TAKEN.refuse("the X25519 key is not new: this device had it before"),
        )),
        Some(_) => Err(evidence_refused(
            refusals::X25519_TAKEN.refuse("the X25519 key belongs to another device"),
        )),
    }
}

/// Everything that becomes a fact together.
struct Rotation<'a> {
    verified: &'a Verified,
    issued: &'a Issued,
    files: &'a Files,
    answer: &'a RenewAnswer,
}

impl Rotation<'_> {
    fn record(
        &self,
        authority: &Authority,
        tx: &Connection,
        now: Timestamp,
    ) -> Result<Recorded, Failure> {
        let (device, keys) = (self.verified.device(), self.verified.keys());
        let row = member(tx, device)?;
        check_new(tx, device, &keys.x25519_public)?;
        let (epoch, second) = (row.epoch + 1, now.as_second());
        let older_until = second.saturating_add(OLDER_LIVES_S);
        lineage_rows::end_older(tx, &device.to_string(), epoch, older_until)?;
        let claims = record::claims(authority, self.verified, self.files, epoch, self.issued);
        let result_jwt = claims.sign(&authority.own_chain(), |message| authority.sign(message))?;
        let event = Event::DeviceRotated {
            device: device.to_string(),
            epoch,
            dk_name: hex::encode(&keys.dk_name),
            x25519: hex::encode(&keys.x25519_public),
            older_until,
            policy_sha256: hex::encode(self.verified.policy_sha256()),
            result_sha256: hex::encode(&Sha256::digest(&result_jwt)),
        };
        log::append(tx, second, &event)?;
        let log_index = issuance::record(tx, &Role::Device(*device), epoch, self.issued, now)?;
        let known = DeviceRecord {
            ek: record::ek_facts(row.record.ek.algorithm, self.verified.endorsement()),
            keys: record::of_keys(keys),
            attestation: record::attestation(self.verified),
        };
        devices::put(tx, &DeviceRow { epoch, record: known, ..row })?;
        devices::bind_x25519(tx, device, &keys.x25519_public)?;
        evidence_rows::insert(tx, device, log_index, Occasion::Renewal, self.files)?;
        let ledger_head = ledger_heads::exchange(tx, device, self.answer)?;
        Ok(Recorded { epoch, log_index, result_jwt, ledger_head })
    }
}
