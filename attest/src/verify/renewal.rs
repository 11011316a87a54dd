//! Renewal: a device on record shows a fresh quote; its keys stay.

use jiff::Timestamp;
use rand_core::CryptoRng;

use super::{
    DeviceKeys, Verified, check_firmware, check_maker, check_selection_of, check_time, draw,
    parse_public, session_end,
};
use crate::binding::Renewal;
use crate::csr::check_request;
use crate::endorsement::{self, Endorsement};
use crate::ids::{DeviceId, SessionId};
use crate::messages::{Fixed, RenewAnswer, RenewChallenge};
use crate::pcr;
use crate::policy::{Door, EnrolmentPolicy};
use crate::quote::{TpmState, check_quote};
use crate::refusals::{NOT_ADMITTED, Refusal};
use crate::templates::{check_ak, check_dk};

/// The endorsement certificate of an enrolment, and when it was shown: at a renewal, the policy in
/// force judges it anew, as of then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownEndorsement {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// What was sent with it, DER.
    pub chain: Vec<Vec<u8>>,
    /// When.
    pub at: Timestamp,
}

/// What the authority has on record of a device that renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The device.
    pub device: DeviceId,
    /// Its keys as enrolled.
    pub keys: DeviceKeys,
    /// What vouched for it when it enrolled.
    pub shown: ShownEndorsement,
    /// The TPM's counters at the last attestation.
    pub last: TpmState,
    /// Serial number of the certificate it renews with, as in its DER.
    pub serial: Vec<u8>,
}

/// A renewal challenged and not yet answered.
#[derive(Debug)]
pub struct RenewalSession {
    pub(super) known: Known,
    pub(super) challenge: RenewChallenge,
}

impl RenewalSession {
    /// Draws a challenge for a device on record.
    pub fn new(
        known: Known,
        policy: &EnrolmentPolicy,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let challenge = RenewChallenge {
            session: SessionId::from_bytes(draw(rng)),
            nonce: Fixed(draw(rng)),
            pcr_selection: policy.data().pcrs.clone(),
            expires_at: session_end(now),
        };
        Self { known, challenge }
    }

    /// What to send to the device.
    pub fn challenge(&self) -> &RenewChallenge {
        &self.challenge
    }

    /// Names the session.
    pub fn id(&self) -> SessionId {
        self.challenge.session
    }

    /// The device that must answer.
    pub fn device(&self) -> &DeviceId {
        &self.known.device
    }

    pub(super) fn bind<'a>(&'a self, csr: &'a [u8]) -> Renewal<'a> {
        Renewal {
            nonce: &self.challenge.nonce.0,
            device: &self.known.device,
            dk_name: &self.known.keys.dk_name,
            x25519_public: &self.known.keys.x25519_public,
            old_serial: &self.known.serial,
            csr,
        }
    }
}

/// Judges the answer of a renewal, consuming the session whatever comes out.
///
/// 1. The session has not ended.
/// 2. The keys on record are still what they must be.
/// 3. The attestation key on record quoted exactly the PCRs asked for, over nonce, device, keys,
///    old certificate and new request.
/// 4. The TPM's counters did not go down.
/// 5. The certificate request is by the device key on record, for it.
/// 6. The policy in force now still trusts who vouched for the TPM, and allows the device, its
///    firmware and, last of all, its PCRs.
///
/// The door (a token) and the algorithm of endorsement keys are for those who enter.
///
/// # Errors
/// The first check that fails.
pub fn judge_renewal(
    session: RenewalSession,
    answer: &RenewAnswer,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let quote_data = session.bind(&answer.csr.0).quote_data();
    judge_quote_for(session, answer, &quote_data, policy, now)
}

pub(super) fn judge_quote_for(
    session: RenewalSession,
    answer: &RenewAnswer,
    quote_data: &[u8; 32],
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let RenewalSession { known, challenge } = session;
    check_time(challenge.expires_at, now)?;
    let ak = parse_public("attestation key", &known.keys.ak_public)?;
    let dk = parse_public("device key", &known.keys.dk_public)?;
    let (ak_key, dk_key) = (check_ak(&ak)?, check_dk(&dk, &ak)?);
    let state = check_quote(
        &answer.quote_attest.0,
        &answer.quote_signature.0,
        &answer.pcrs,
        &ak_key,
        quote_data,
        &challenge.pcr_selection,
    )?;
    state.check_after(&known.last)?;
    check_request(&answer.csr.0, &dk_key)?;
    let endorsement = still_endorsed(&known, policy)?;
    check_firmware(&endorsement, &state, policy)?;
    check_selection_of(policy, &challenge.pcr_selection)?;
    let pcr_verdict = pcr::judge(&answer.pcrs, policy)?;
    Ok(Verified {
        device: known.device,
        key: dk_key,
        keys: known.keys,
        endorsement,
        pcrs: answer.pcrs.clone(),
        pcr_verdict,
        state,
        nonce: challenge.nonce.0,
        at: now,
        policy_sha256: *policy.sha256(),
    })
}

/// What vouched for the device at its enrolment, by the policy in force now.
fn still_endorsed(known: &Known, policy: &EnrolmentPolicy) -> Result<Endorsement, Refusal> {
    let ShownEndorsement { certificate, chain, at } = &known.shown;
    let endorsement = endorsement::validate(certificate, chain, policy.anchors(), *at)?;
    check_maker(&endorsement, policy)?;
    if policy.data().require == Door::AllowList && !policy.allows(&known.device) {
        let device = known.device;
        return Err(NOT_ADMITTED.refuse(format_args!("{device} is not on the allow-list any more")));
    }
    Ok(endorsement)
}
