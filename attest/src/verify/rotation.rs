//! Renewal with new keys, for which the attestation key on record vouches.

use jiff::Timestamp;
use rand_core::CryptoRng;

use super::renewal::judge_quote_for;
use super::{
    Known, RenewalSession, Verified, draw_possession, name, parse_public, possession_refusal,
};
use crate::binding::{PossessionChallenge, check_contributory};
use crate::ids::DeviceId;
use crate::messages::{Fixed, RotateAnswer, RotateChallenge};
use crate::policy::EnrolmentPolicy;
use crate::quote::check_certify;
use crate::refusals::{Refusal, X25519_LOW_ORDER};
use crate::templates::{check_ak, check_dk};

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
        let possession = draw_possession(rng);
        let renewal = RenewalSession::new(known, policy, now, rng);
        let challenge = RotateChallenge {
            renewal: renewal.challenge().clone(),
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

/// Judges the answer of a renewal with new keys, consuming the session whatever comes out: all of
/// [`judge_renewal`](super::judge_renewal), with the new keys in place of those on record, and
///
/// 7. The attestation key on record certified the new device key, over this rotation.
/// 8. The device holds the new X25519 key, over this rotation.
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
