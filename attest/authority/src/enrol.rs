//! Enrolment of a device: admit, challenge, judge, issue. A device on record comes back the same
//! way, with new keys and without a token, because its endorsement key is known.
//!
//! The evidence is judged by [`sealsum_attest::verify`]; here are the checks that need records
//! (tokens, sessions, known devices), and the transaction that makes it a fact.

use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::binding::Transcript;
use sealsum_attest::certificate::Role;
use sealsum_attest::events::Event;
use sealsum_attest::evidence::{self, Files};
use sealsum_attest::hex;
use sealsum_attest::ids::{DeviceId, SessionId};
use sealsum_attest::messages::{EnrolAnswer, EnrolChallenge, EnrolGrant, EnrolRequest};
use sealsum_attest::refusals;
use sealsum_attest::verify::{self, Session, Verified};
use sealsum_daemon::Failure;
use sha2::{Digest as _, Sha256};

use crate::authority::{Authority, generator};
use crate::ca::Issued;
use crate::failures::{busy, evidence_refused, shut_out};
use crate::grant::{Recorded, grant};
use crate::log;
use crate::rate::site;
use crate::record;
use crate::sessions::NotOpened;
use crate::store::{
    self as store, DeviceRow, Occasion, RoleKind, StoreError, TokenRow, devices,
    evidence as evidence_rows,
};
use crate::{issuance, lineage, policy, tokens};

/// A device that was given a challenge.
pub struct Open {
    session: Session,
    token: Option<TokenRow>,
}

/// First message: who are these keys, and may they come in? Cheap checks first.
///
/// 1. There is room for one more session, and the device has none open (43).
/// 2. The token, if one is shown, is good for this device (9).
/// 3. The device is not revoked (46) or shut out with its copy (44), its name is not another's
///    (45), its X25519 key is not another's (42).
/// 4. Everything that the keys and the endorsement show by themselves.
///
/// # Errors
/// `busy`, `token_invalid`, `revoked`, or `evidence_refused` with the check.
pub fn begin(
    authority: &Authority,
    now: Timestamp,
    address: IpAddr,
    request: EnrolRequest,
) -> Result<EnrolChallenge, Failure> {
    let outcome = begin_uncounted(authority, now, address, request);
    if outcome.is_err() {
        authority.metrics.count_verdict(&outcome);
    }
    outcome
}

fn begin_uncounted(
    authority: &Authority,
    now: Timestamp,
    address: IpAddr,
    request: EnrolRequest,
) -> Result<EnrolChallenge, Failure> {
    let second = now.as_second();
    let address = site(address);
    let device = DeviceId::from_ek_public(&request.ek_public.0);
    authority.enrolments.check_room(second, &device, address).map_err(not_opened)?;
    let token = request
        .token
        .as_deref()
        .map(|token| {
            tokens::admit(&authority.store, second, token, RoleKind::Device, Some(&device))
        })
        .transpose()?;
    let x25519 = request.x25519_public.0;
    let known = authority.store.read(|view| {
        check_records(view, &device, token.as_ref(), &x25519)?;
        Ok::<_, Failure>(devices::find(view, &device)?.is_some())
    })?;
    if known && token.is_none() && !authority.comebacks.allows(&device, second) {
        return Err(busy("this device came back with new keys a moment ago"));
    }
    let admit = if known { verify::admit_known } else { verify::admit };
    let policy = authority.policy();
    let admitted = admit(request, &policy, now).map_err(evidence_refused)?;
    let session = admitted
        .challenge(&authority.identity(), &policy, now, &mut generator()?)
        .map_err(evidence_refused)?;
    let challenge = session.challenge().clone();
    let expires_at = session.expires_at().as_second();
    authority
        .enrolments
        .open(second, session.id(), device, address, expires_at, Open { session, token })
        .map_err(not_opened)?;
    Ok(challenge)
}

/// Second message: the evidence. The session is gone whatever comes out.
///
/// # Errors
/// `evidence_refused` with the check; `token_invalid`, `revoked` or `busy` if the token, the device
/// or the policy changed meanwhile.
pub fn finish(
    authority: &Authority,
    now: Timestamp,
    id: &SessionId,
    answer: &EnrolAnswer,
) -> Result<EnrolGrant, Failure> {
    let outcome = finish_uncounted(authority, now, id, answer);
    authority.metrics.count_verdict(&outcome);
    outcome
}

fn finish_uncounted(
    authority: &Authority,
    now: Timestamp,
    id: &SessionId,
    answer: &EnrolAnswer,
) -> Result<EnrolGrant, Failure> {
    let Open { session, token } = authority.enrolments.take(id).ok_or_else(|| {
        let why = "the session is not known, or was answered before";
        evidence_refused(refusals::SESSION_REPLAYED.refuse(why))
    })?;
    let transcript = *session.transcript();
    let files = evidence::of_enrolment(&session, answer, &authority.identity());
    let device = *session.device();
    let verified = match verify::judge(session, answer, &authority.policy(), now) {
        Ok(verified) => verified,
        Err(refusal) => {
            policy::note_refusal(authority, &device, &answer.pcrs, &refusal, now)?;
            return Err(evidence_refused(refusal));
        }
    };
    lineage::check_enrolment(authority, now, &verified, token.as_ref())?;
    let granted =
        grant(authority, now, &verified, &answer.csr.0, "device enrolled", |tx, issued| {
            let token = token.as_ref();
            let admission = Admission { verified: &verified, token, transcript, files, issued };
            admission.record(authority, tx, now)
        })?;
    if token.is_none() {
        authority.comebacks.note(device, now.as_second());
    }
    Ok(granted)
}

/// Everything that becomes a fact together.
struct Admission<'a> {
    verified: &'a Verified,
    token: Option<&'a TokenRow>,
    transcript: Transcript,
    files: Files,
    issued: &'a Issued,
}

impl Admission<'_> {
    /// One transaction: the checks again, since time has passed; the token; the end of older
    /// certificates; both rows of the log; the device; the evidence.
    fn record(
        self,
        authority: &Authority,
        tx: &Connection,
        now: Timestamp,
    ) -> Result<Recorded, Failure> {
        let device = self.verified.device();
        let x25519 = self.verified.keys().x25519_public;
        check_records(tx, device, self.token, &x25519)?;
        if let Some(token) = self.token {
            tokens::take(tx, token)?;
        }
        let before = devices::find(tx, device)?;
        let epoch = before.as_ref().map_or(1, |row| row.epoch + 1);
        let role = Role::Device(*device);
        issuance::revoke_certificates(tx, &role, now)?;
        if let Some(before) = &before {
            self.come_back(authority, tx, before, epoch, now)?;
        }
        let claims = record::claims(authority, self.verified, &self.files, epoch, self.issued);
        let result_jwt = claims.sign(&authority.own_chain(), |message| authority.sign(message))?;
        log::append(tx, now.as_second(), &self.event(epoch, &result_jwt))?;
        let log_index = issuance::record(tx, &role, epoch, self.issued, now)?;
        devices::put(tx, &self.row(before, epoch, log_index, now)?)?;
        devices::bind_x25519(tx, device, &x25519)?;
        let mut files = self.files;
        files.insert(evidence::RESULT.to_owned(), result_jwt.clone().into_bytes());
        evidence_rows::insert(tx, device, log_index, Occasion::Enrolment, &files)?;
        Ok(Recorded { epoch, log_index, result_jwt, ledger_head: None })
    }

    /// What a device on record leaves behind when it comes back with new keys.
    fn come_back(
        &self,
        authority: &Authority,
        tx: &Connection,
        before: &DeviceRow,
        epoch: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let device = self.verified.device();
        if lineage::names_device(self.token, device) {
            if before.revoked.is_some() {
                devices::readmit(tx, device)?;
                store::status::raise_number(tx)?;
            }
            store::lineage::forget_storage_keys(tx, device)?;
        }
        let keys = record::of_keys(self.verified.keys());
        let old = &before.record.keys;
        if keys.srk_name != old.srk_name {
            store::lineage::leave_storage_key(tx, device, &old.srk_name)?;
        }
        let rotated: Vec<&str> = [
            ("ak", keys.ak_name != old.ak_name),
            ("dk", keys.dk_name != old.dk_name),
            ("srk", keys.srk_name != old.srk_name),
            ("x25519", keys.x25519 != old.x25519),
        ]
        .into_iter()
        .filter_map(|(name, is_new)| is_new.then_some(name))
        .collect();
        let admitted_by = match self.token {
            Some(_) => "token",
            None if authority.policy().allows(device) => "allow_list",
            None => "endorsement_key",
        };
        let event = Event::DeviceReenrolled {
            device: device.to_string(),
            epoch,
            rotated: rotated.join(","),
            admitted_by: admitted_by.into(),
        };
        log::append(tx, now.as_second(), &event)?;
        Ok(())
    }

    fn event(&self, epoch: u64, result_jwt: &str) -> Event {
        let keys = self.verified.keys();
        Event::DeviceEnrolled {
            device: self.verified.device().to_string(),
            epoch,
            ek_certificate_sha256: hex::encode(&Sha256::digest(
                &self.files[evidence::EK_CERTIFICATE],
            )),
            ak_name: hex::encode(&keys.ak_name),
            dk_name: hex::encode(&keys.dk_name),
            x25519: hex::encode(&keys.x25519_public),
            transcript: hex::encode(self.transcript.as_bytes()),
            policy_sha256: hex::encode(self.verified.policy_sha256()),
            result_sha256: hex::encode(&Sha256::digest(result_jwt)),
            token_sha256: self.token.map(|token| hex::encode(&token.token_sha256)),
        }
    }

    fn row(
        &self,
        before: Option<DeviceRow>,
        epoch: u64,
        log_index: u64,
        now: Timestamp,
    ) -> Result<DeviceRow, Failure> {
        let prescribed = self.token.and_then(|token| token.name.clone());
        Ok(DeviceRow {
            device: *self.verified.device(),
            name: prescribed.or_else(|| before.and_then(|row| row.name)),
            epoch,
            enrolled_at: now.as_second(),
            record: record::of_enrolment(self.verified)?,
            log_index,
            revoked: None,
        })
    }
}

/// The checks that only the registry allows.
fn check_records(
    view: &Connection,
    device: &DeviceId,
    token: Option<&TokenRow>,
    x25519: &[u8; 32],
) -> Result<(), Failure> {
    if let Some(why) = devices::find(view, device)?.and_then(|row| row.revoked)
        && !(why.is_clone() && lineage::names_device(token, device))
    {
        return Err(shut_out(&why, device));
    }
    if let Some(name) = token.and_then(|token| token.name.as_deref())
        && devices::holder_of_name(view, name)?.is_some_and(|holder| holder != *device)
    {
        let why = format!("another device has the name {name}");
        return Err(evidence_refused(refusals::NAME_TAKEN.refuse(why)));
    }
    if devices::holder_of_x25519(view, x25519)?.is_some_and(|holder| holder != *device) {
        let why = "the X25519 key belongs to another device";
        return Err(evidence_refused(refusals::X25519_TAKEN.refuse(why)));
    }
    Ok(())
}

pub(crate) fn not_opened(why: NotOpened) -> Failure {
    match why {
        NotOpened::SameDevice => evidence_refused(
            refusals::ENROLLED_AT_ONCE.refuse("an enrolment of this device is open already"),
        ),
        NotOpened::Address => busy("this address has too many enrolments open"),
        NotOpened::Total => busy("too many enrolments are open"),
    }
}
