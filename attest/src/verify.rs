//! The judgement on a device, as two lists of checks.
//!
//! ```text
//!  device                                authority
//!    │ EnrolRequest ───────────────────► admit: who are these keys?       cheap, before any work
//!    │ ◄─────────────── EnrolChallenge   Admitted::challenge → Session    randomness, credential
//!    │ EnrolAnswer ────────────────────► judge(Session): did they answer? consumes the session
//!    │ ◄─────────────────── EnrolGrant   Verified → certificate
//! ```
//!
//! The order of the cheap checks protects the authority; no check depends on another's absence of
//! an error: issuing demands a [`Verified`], and only passing every check makes one.

use jiff::{SignedDuration, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::activation::make_credential;
use crate::binding::{
    ActivationSecret, BindingError, PossessionChallenge, Renewal, Transcript, check_contributory,
};
use crate::certificate::PublicKey;
use crate::csr::check_request;
use crate::endorsement::{self, Anchors, Endorsement};
use crate::ids::{DeviceId, SessionId};
use crate::messages::{
    EnrolAnswer, EnrolChallenge, EnrolRequest, Fixed, PROTOCOL_VERSION, PcrValues, RenewAnswer,
    RenewChallenge, RotateAnswer, RotateChallenge,
};
use crate::pcr::{self, PcrVerdict};
use crate::policy::{Door, EnrolmentPolicy, Firmware};
use crate::quote::{TpmState, check_certify, check_quote};
use crate::refusals::{
    self, ACTIVATION, EK_STRENGTH, EK_TEMPLATE, FIRMWARE, NOT_ADMITTED, OTHER_KEY, PCR_SELECTION,
    Refusal, SESSION_EXPIRED, TPM_STRUCTURE, X25519_LOW_ORDER, X25519_POSSESSION, X25519_REFLECTED,
};
use crate::templates::{EkAlgorithm, check_ak, check_dk, check_ek};
use crate::tpm::Public;

/// Seconds a device has to answer a challenge.
pub const SESSION_S: i64 = 120;

/// Longest TPM name: a hash identifier and a SHA-512 digest.
const NAME_MAX: usize = 66;

/// The keys of one device, as it showed them; all but the X25519 key in TPM wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKeys {
    /// TPMT_PUBLIC of the endorsement key.
    pub ek_public: Vec<u8>,
    /// TPMT_PUBLIC of the attestation key.
    pub ak_public: Vec<u8>,
    /// TPM name of the attestation key.
    pub ak_name: Vec<u8>,
    /// TPMT_PUBLIC of the device key.
    pub dk_public: Vec<u8>,
    /// TPM name of the device key.
    pub dk_name: Vec<u8>,
    /// TPM name of the storage root key.
    pub srk_name: Vec<u8>,
    /// The X25519 identity.
    pub x25519_public: [u8; 32],
}

/// A request whose keys are what they must be; nothing is proved about who holds them yet.
#[derive(Clone, Debug)]
pub struct Admitted {
    request: EnrolRequest,
    device: DeviceId,
    endorsement: Endorsement,
    ek: Public,
    ak: PublicKey,
    dk: PublicKey,
    keys: DeviceKeys,
    standing: Standing,
    policy_sha256: [u8; 32],
}

/// Checks the request of a device. A token is only demanded to be there: whether it is good, the
/// authority knows.
///
/// 1. The request is of this protocol version and within its bounds.
/// 2. The endorsement key is of a TCG default template and strong.
/// 3. An installed anchor vouches, at this time, for its certificate.
/// 4. The certificate is of exactly this key.
/// 5. Its algorithm and the firmware that made it suit the policy; the door is open to the device.
/// 6. The attestation key is restricted, fixed to its TPM and made by it, and signs ECDSA.
/// 7. The device key is likewise but unrestricted, and another one.
/// 8. The X25519 key is not of low order.
///
/// # Errors
/// The first check that fails.
pub fn admit(
    request: EnrolRequest,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    check_request_keys(request, Standing::Stranger, policy, now)
}

/// The same for a device whose endorsement key is on record and not revoked: it needs no token to
/// come back with new keys. Where only the allow-list opens the door, it must still be there.
///
/// # Errors
/// As [`admit`].
pub fn admit_known(
    request: EnrolRequest,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    check_request_keys(request, Standing::Known, policy, now)
}

/// What the records say of a device that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Stranger,
    Known,
}

fn check_request_keys(
    request: EnrolRequest,
    standing: Standing,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    check_bounds(&request)?;
    let Endorsed { algorithm, ek, endorsement } = check_endorsed(&request, policy.anchors(), now)?;
    let device = DeviceId::from_ek_public(&request.ek_public.0);
    if algorithm != policy.ek_algorithm() && !policy.data().allow.contains(&device) {
        let (name, wanted) = (algorithm.name(), policy.ek_algorithm().name());
        return Err(EK_TEMPLATE
            .refuse(format_args!("an endorsement key {name}, but this fleet uses {wanted}")));
    }
    check_maker(&endorsement, policy)?;
    check_door(&request, standing, &device, policy)?;
    let (ak, dk, keys) = check_device_keys(&request)?;
    let policy_sha256 = *policy.sha256();
    Ok(Admitted { request, device, endorsement, ek, ak, dk, keys, standing, policy_sha256 })
}

/// An endorsement key that an anchor vouches for.
pub(crate) struct Endorsed {
    pub(crate) algorithm: EkAlgorithm,
    pub(crate) ek: Public,
    pub(crate) endorsement: Endorsement,
}

/// Checks the endorsement key and its certificate, but for what a policy says about them.
pub(crate) fn check_endorsed(
    request: &EnrolRequest,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<Endorsed, Refusal> {
    let ek = parse_public("endorsement key", &request.ek_public.0)?;
    let (algorithm, key) = check_ek(&ek)?;
    let chain: Vec<&[u8]> = request.ek_chain.iter().map(|der| der.0.as_slice()).collect();
    let endorsement = endorsement::validate(&request.ek_certificate.0, &chain, anchors, now)?;
    if endorsement.key != key {
        return Err(OTHER_KEY.refuse("the certificate is of another endorsement key"));
    }
    Ok(Endorsed { algorithm, ek, endorsement })
}

/// Checks the other keys: attestation key, device key, and all of them together.
pub(crate) fn check_device_keys(
    request: &EnrolRequest,
) -> Result<(PublicKey, PublicKey, DeviceKeys), Refusal> {
    let ak = parse_public("attestation key", &request.ak_public.0)?;
    let ak_key = check_ak(&ak)?;
    let dk = parse_public("device key", &request.dk_public.0)?;
    let dk_key = check_dk(&dk, &ak)?;
    check_contributory(&request.x25519_public.0).map_err(|error| X25519_LOW_ORDER.refuse(error))?;
    let keys = DeviceKeys {
        ek_public: request.ek_public.0.clone(),
        ak_public: request.ak_public.0.clone(),
        ak_name: name("attestation key", &ak)?,
        dk_public: request.dk_public.0.clone(),
        dk_name: name("device key", &dk)?,
        srk_name: request.srk_name.0.clone(),
        x25519_public: request.x25519_public.0,
    };
    Ok((ak_key, dk_key, keys))
}

fn check_bounds(request: &EnrolRequest) -> Result<(), Refusal> {
    if request.protocol != PROTOCOL_VERSION {
        return Err(refusals::PROTOCOL_VERSION.refuse(format_args!(
            "protocol version {}, but this authority speaks {PROTOCOL_VERSION}",
            request.protocol
        )));
    }
    if request.srk_name.0.len() > NAME_MAX {
        return Err(refusals::PROTOCOL_VERSION.refuse("srk_name is longer than any TPM name"));
    }
    Ok(())
}

/// The firmware that made the endorsement key, as its certificate has it.
fn check_maker(endorsement: &Endorsement, policy: &EnrolmentPolicy) -> Result<(), Refusal> {
    match &endorsement.version {
        Some(version) if policy.data().deny_firmware.contains(version) => {
            Err(FIRMWARE.refuse(format_args!("the TPM firmware {version} is denied")))
        }
        _ => Ok(()),
    }
}

/// The firmware that runs now, as the quote has it.
fn check_firmware(
    endorsement: &Endorsement,
    state: &TpmState,
    policy: &EnrolmentPolicy,
) -> Result<(), Refusal> {
    if policy.data().min_firmware.is_empty() {
        return Ok(());
    }
    let maker = endorsement.manufacturer.as_deref().ok_or_else(|| {
        FIRMWARE.refuse("the certificate names no maker, so its minimum firmware is not known")
    })?;
    let running = Firmware(state.firmware_version);
    match policy.min_firmware(maker) {
        Some(lowest) if running < lowest => Err(FIRMWARE.refuse(format_args!(
            "the TPM runs firmware {running}, but those of {maker} must run {lowest} or newer"
        ))),
        _ => Ok(()),
    }
}

fn check_door(
    request: &EnrolRequest,
    standing: Standing,
    device: &DeviceId,
    policy: &EnrolmentPolicy,
) -> Result<(), Refusal> {
    let vouched = request.token.is_some() || standing == Standing::Known;
    let open = match policy.data().require {
        Door::Token => vouched,
        Door::AllowList => policy.allows(device),
        Door::TokenOrAllowList => vouched || policy.allows(device),
    };
    if open {
        Ok(())
    } else {
        Err(NOT_ADMITTED.refuse(format_args!("{device} has no token or place on the allow-list")))
    }
}

fn parse_public(what: &str, bytes: &[u8]) -> Result<Public, Refusal> {
    Public::parse(bytes)
        .map_err(|error| TPM_STRUCTURE.refuse(format_args!("the {what} is malformed: {error}")))
}

fn name(what: &str, public: &Public) -> Result<Vec<u8>, Refusal> {
    public.name().map_err(|error| TPM_STRUCTURE.refuse(format_args!("the {what}: {error}")))
}

/// What the authority says of itself in a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityIdentity {
    /// Its URI, as in its certificate.
    pub id: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the TLS certificate it serves.
    pub spki_sha256: [u8; 32],
}

/// A challenge given and not yet answered. It holds the secrets of the session.
pub struct Session {
    admitted: Admitted,
    challenge: EnrolChallenge,
    transcript: Transcript,
    secret: ActivationSecret,
    possession: PossessionChallenge,
}

impl Admitted {
    /// The device that asks.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Its keys, for the checks that only the authority's records allow.
    pub fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// Its token.
    pub fn token(&self) -> Option<&str> {
        self.request.token.as_deref()
    }

    /// The same, by the policy in force now.
    fn again_by(self, policy: &EnrolmentPolicy, now: Timestamp) -> Result<Self, Refusal> {
        if self.policy_sha256 == *policy.sha256() {
            return Ok(self);
        }
        check_request_keys(self.request, self.standing, policy, now)
    }

    /// Draws a challenge from `rng`.
    ///
    /// # Errors
    /// Check 8 if the endorsement key cannot encrypt.
    pub fn challenge(
        self,
        authority: &AuthorityIdentity,
        policy: &EnrolmentPolicy,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Session, Refusal> {
        let session = SessionId::from_bytes(draw(rng));
        let nonce = Fixed(draw(rng));
        let mut secret = Box::new([0; 32]);
        rng.fill_bytes(secret.as_mut());
        let secret = ActivationSecret::new(secret);
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        let possession = PossessionChallenge::from_seed(seed);
        let credential = make_credential(&self.ek, &self.keys.ak_name, &secret, rng)
            .map_err(|error| EK_STRENGTH.refuse(error))?;
        let challenge = EnrolChallenge {
            session,
            nonce,
            authority_id: authority.id.clone(),
            credential_blob: credential.blob.into(),
            encrypted_secret: credential.encrypted_secret.into(),
            x25519_challenge: Fixed(possession.public()),
            pcr_selection: policy.data().pcrs.clone(),
            expires_at: session_end(now),
        };
        let transcript = Transcript::of(&self.request, &challenge, &authority.spki_sha256)
            .map_err(|error| TPM_STRUCTURE.refuse(error))?;
        Ok(Session { admitted: self, challenge, transcript, secret, possession })
    }
}

fn draw<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Whole seconds, so that both sides write the same text.
fn session_end(now: Timestamp) -> Timestamp {
    let end = now.saturating_add(SignedDuration::from_secs(SESSION_S)).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(end)
}

impl Session {
    /// What to send to the device.
    pub fn challenge(&self) -> &EnrolChallenge {
        &self.challenge
    }

    /// Names the session.
    pub fn id(&self) -> SessionId {
        self.challenge.session
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.challenge.expires_at
    }

    /// The transcript that the answer must be over.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The device that asked.
    pub fn device(&self) -> &DeviceId {
        &self.admitted.device
    }

    /// Its keys.
    pub fn keys(&self) -> &DeviceKeys {
        &self.admitted.keys
    }

    /// The request that was admitted, for the evidence kept.
    pub fn request(&self) -> &EnrolRequest {
        &self.admitted.request
    }
}

/// Evidence that passed every check. Only this module makes one; issuing a certificate demands it.
#[derive(Debug)]
pub struct Verified {
    device: DeviceId,
    key: PublicKey,
    keys: DeviceKeys,
    endorsement: Endorsement,
    pcrs: PcrValues,
    pcr_verdict: PcrVerdict,
    state: TpmState,
    nonce: [u8; 32],
    at: Timestamp,
    policy_sha256: [u8; 32],
}

impl Verified {
    /// The device.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The key that its certificate must be for.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// All its keys.
    pub fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// Whether its TPM is a software TPM.
    pub fn software(&self) -> bool {
        self.endorsement.software
    }

    /// What its endorsement certificate says; at a renewal, the one it enrolled with.
    pub fn endorsement(&self) -> &Endorsement {
        &self.endorsement
    }

    /// The PCRs quoted.
    pub fn pcrs(&self) -> &PcrValues {
        &self.pcrs
    }

    /// How they compare with the policy.
    pub fn pcr_verdict(&self) -> PcrVerdict {
        self.pcr_verdict
    }

    /// The TPM's counters.
    pub fn state(&self) -> TpmState {
        self.state
    }

    /// The nonce that the evidence answered.
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// When it was judged.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// By which policy.
    pub fn policy_sha256(&self) -> &[u8; 32] {
        &self.policy_sha256
    }
}

/// Judges the answer of an enrolment, consuming the session whatever comes out.
///
/// 1. The session has not ended.
/// 2. The TPM of the endorsement key released the secret to this attestation key.
/// 3. The attestation key certified the device key, over this transcript.
/// 4. The attestation key quoted exactly the PCRs asked for, over this transcript.
/// 5. The certificate request is by the device key, for it.
/// 6. The device holds the X25519 key, over this transcript.
/// 7. The policy in force now admits the device, if it changed since the challenge.
/// 8. The policy allows the firmware that runs and, last of all, the values of the PCRs: whoever
///    fails at that is a genuine device in a state that awaits approval.
///
/// # Errors
/// The first check that fails.
pub fn judge(
    session: Session,
    answer: &EnrolAnswer,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let Session { admitted, challenge, transcript, secret, possession } = session;
    check_time(challenge.expires_at, now)?;
    transcript
        .check_activation(&secret, &answer.activation_proof.0)
        .map_err(|error| ACTIVATION.refuse(format_args!("the activation proof: {error}")))?;
    check_certify(
        &answer.certify_attest.0,
        &answer.certify_signature.0,
        &admitted.ak,
        &transcript.certify_data(),
        &admitted.keys.dk_name,
    )?;
    let state = check_quote(
        &answer.quote_attest.0,
        &answer.quote_signature.0,
        &answer.pcrs,
        &admitted.ak,
        &transcript.quote_data(),
        &challenge.pcr_selection,
    )?;
    check_request(&answer.csr.0, &admitted.dk)?;
    let x25519 = &admitted.keys.x25519_public;
    possession
        .verify(x25519, &challenge.nonce.0, &transcript, &answer.x25519_proof.0)
        .map_err(possession_refusal)?;
    let admitted = admitted.again_by(policy, now)?;
    check_firmware(&admitted.endorsement, &state, policy)?;
    check_selection_of(policy, &challenge.pcr_selection)?;
    let pcr_verdict = pcr::judge(&answer.pcrs, policy)?;
    Ok(Verified {
        device: admitted.device,
        key: admitted.dk,
        keys: admitted.keys,
        endorsement: admitted.endorsement,
        pcrs: answer.pcrs.clone(),
        pcr_verdict,
        state,
        nonce: challenge.nonce.0,
        at: now,
        policy_sha256: *policy.sha256(),
    })
}

/// The policy may have come to ask for other PCRs than the challenge did.
fn check_selection_of(policy: &EnrolmentPolicy, quoted: &[u8]) -> Result<(), Refusal> {
    let wanted = &policy.data().pcrs;
    if quoted != wanted {
        return Err(PCR_SELECTION.refuse(format_args!(
            "PCRs {quoted:?} quoted, but the policy now asks for {wanted:?}"
        )));
    }
    Ok(())
}

fn check_time(expires_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if now > expires_at {
        return Err(SESSION_EXPIRED.refuse(format_args!("the session ended at {expires_at}")));
    }
    Ok(())
}

fn possession_refusal(error: BindingError) -> Refusal {
    let check = match error {
        BindingError::LowOrder => X25519_LOW_ORDER,
        BindingError::Reflected => X25519_REFLECTED,
        BindingError::Key(_) | BindingError::Mismatch => X25519_POSSESSION,
    };
    check.refuse(format_args!("the X25519 possession proof: {error}"))
}

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
    known: Known,
    challenge: RenewChallenge,
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

    fn bind<'a>(&'a self, csr: &'a [u8]) -> Renewal<'a> {
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

/// A renewal with new keys, challenged and not yet answered. It holds a secret of the session.
pub struct RotationSession {
    renewal: RenewalSession,
    challenge: RotateChallenge,
    possession: PossessionChallenge,
}

impl RotationSession {
    /// Draws a challenge for a device on record that wants these new keys.
    ///
    /// # Errors
    /// Checks 13 to 16, 32 and 39 if they are not what they must be.
    pub fn new(
        mut known: Known,
        dk_public: &[u8],
        x25519_public: &[u8; 32],
        policy: &EnrolmentPolicy,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Refusal> {
        let ak = parse_public("attestation key", &known.keys.ak_public)?;
        let dk = parse_public("device key", dk_public)?;
        check_dk(&dk, &ak)?;
        check_contributory(x25519_public).map_err(|error| X25519_LOW_ORDER.refuse(error))?;
        known.keys.dk_name = name("device key", &dk)?;
        known.keys.dk_public = dk_public.to_vec();
        known.keys.x25519_public = *x25519_public;
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        let possession = PossessionChallenge::from_seed(seed);
        let renewal = RenewalSession::new(known, policy, now, rng);
        let challenge = RotateChallenge {
            renewal: renewal.challenge.clone(),
            x25519_challenge: Fixed(possession.public()),
        };
        Ok(Self { renewal, challenge, possession })
    }

    /// What to send to the device.
    pub fn challenge(&self) -> &RotateChallenge {
        &self.challenge
    }

    /// The device that must answer.
    pub fn device(&self) -> &DeviceId {
        &self.renewal.known.device
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

/// Judges the answer of a renewal with new keys, consuming the session whatever comes out: all of
/// [`judge_renewal`], with the new keys in place of those on record, and
///
/// 6. The attestation key on record certified the new device key, over this rotation.
/// 7. The device holds the new X25519 key, over this rotation.
///
/// # Errors
/// The first check that fails.
pub fn judge_rotation(
    session: RotationSession,
    answer: &RotateAnswer,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let RotationSession { renewal, challenge, possession } = session;
    let transcript = renewal.bind(&answer.renewal.csr.0).rotation(&challenge.x25519_challenge.0);
    let ak = check_ak(&parse_public("attestation key", &renewal.known.keys.ak_public)?)?;
    let verified =
        judge_quote_for(renewal, &answer.renewal, &transcript.quote_data(), policy, now)?;
    check_certify(
        &answer.certify_attest.0,
        &answer.certify_signature.0,
        &ak,
        &transcript.certify_data(),
        &verified.keys.dk_name,
    )?;
    let nonce = &challenge.renewal.nonce.0;
    possession
        .verify(&verified.keys.x25519_public, nonce, &transcript, &answer.x25519_proof.0)
        .map_err(possession_refusal)?;
    Ok(verified)
}

fn judge_quote_for(
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
