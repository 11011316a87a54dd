//! Second and third message: a challenge, and whether the device answered it.

use jiff::Timestamp;
use rand_core::CryptoRng;

use super::{
    Admitted, DeviceKeys, Verified, check_firmware, check_selection_of, check_time, draw,
    draw_possession, possession_refusal, session_end,
};
use crate::activation::make_credential;
use crate::binding::{ActivationSecret, PossessionChallenge, Transcript};
use crate::csr::check_request;
use crate::ids::{DeviceId, SessionId};
use crate::messages::{EnrolAnswer, EnrolChallenge, EnrolRequest, Fixed};
use crate::pcr;
use crate::policy::EnrolmentPolicy;
use crate::quote::{check_certify, check_quote};
use crate::refusals::{ACTIVATION, EK_STRENGTH, Refusal, TPM_STRUCTURE};

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
        let possession = draw_possession(rng);
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
