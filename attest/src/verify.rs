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
//! A renewal is the last two of these lines, over the keys on record; with new keys, the device
//! shows that it holds them.
//!
//! The order of the cheap checks protects the authority; no check depends on another's absence of
//! an error: issuing demands a [`Verified`], and only passing every check makes one.

mod admission;
mod enrolment;
mod renewal;
mod rotation;

pub use admission::{Admitted, admit, admit_known};
pub(crate) use admission::{check_device_keys, check_endorsed};
pub use enrolment::{AuthorityIdentity, Session, judge};
pub use renewal::{Known, RenewalSession, ShownEndorsement, judge_renewal};
pub use rotation::{RotationSession, judge_rotation};

use jiff::{SignedDuration, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::binding::{BindingError, PossessionChallenge};
use crate::certificate::PublicKey;
use crate::endorsement::Endorsement;
use crate::ids::DeviceId;
use crate::messages::PcrValues;
use crate::pcr::PcrVerdict;
use crate::policy::{EnrolmentPolicy, Firmware};
use crate::quote::TpmState;
use crate::refusals::{
    FIRMWARE, PCR_SELECTION, Refusal, SESSION_EXPIRED, TPM_STRUCTURE, X25519_LOW_ORDER,
    X25519_POSSESSION, X25519_REFLECTED,
};
use crate::tpm::Public;

/// Seconds a device has to answer a challenge.
pub const SESSION_S: i64 = 120;

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

fn parse_public(what: &str, bytes: &[u8]) -> Result<Public, Refusal> {
    Public::parse(bytes)
        .map_err(|error| TPM_STRUCTURE.refuse(format_args!("the {what} is malformed: {error}")))
}

fn name(what: &str, public: &Public) -> Result<Vec<u8>, Refusal> {
    public.name().map_err(|error| TPM_STRUCTURE.refuse(format_args!("the {what}: {error}")))
}

fn draw<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn draw_possession(rng: &mut impl CryptoRng) -> PossessionChallenge {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut());
    PossessionChallenge::from_seed(seed)
}

/// Whole seconds, so that both sides write the same text.
fn session_end(now: Timestamp) -> Timestamp {
    let end = now.saturating_add(SignedDuration::from_secs(SESSION_S)).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(end)
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
