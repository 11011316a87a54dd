//! What ties one enrolment together: a single transcript over every key and every random value,
//! and the four proofs made over it.
//!
//! The quote and the certification carry a digest of the transcript as their extraData, the
//! activation proof is a MAC under the secret that only TPM2_ActivateCredential could recover, the
//! possession proof a MAC under a Diffie-Hellman secret. A value taken from another session,
//! another authority, another TPM or another X25519 key changes the transcript and so all four.
//!
//! A TPM has no X25519 keys. What the proofs together show is: whoever drove this attestation key,
//! with these PCRs, vouched for this X25519 public key and held its private half at that moment.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::ids::DeviceId;
use crate::messages::{EnrolChallenge, EnrolRequest};
use crate::tpm::{self, ParseError};

const ENROL: &str = "sealsum/v1/enroll";
const QUOTE: &str = "sealsum/v1/quote";
const CERTIFY: &str = "sealsum/v1/certify";
const ACTIVATION: &str = "sealsum/v1/activation";
const POSSESSION: &str = "sealsum/v1/possession";
const RENEW: &str = "sealsum/v1/renew";
const ROTATE: &str = "sealsum/v1/rotate";

/// Why a proof could not be made or does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BindingError {
    /// A key of the request is no TPMT_PUBLIC, so it has no name.
    #[error("a key of the request is malformed: {0}")]
    Key(#[from] ParseError),
    /// The X25519 key is of low order: anybody could know the shared secret.
    #[error("the X25519 key is of low order")]
    LowOrder,
    /// The challenge is the device's own key sent back.
    #[error("the X25519 challenge is the device's own key")]
    Reflected,
    /// The MAC is not the one over this transcript.
    #[error("the proof does not match the transcript")]
    Mismatch,
}

/// SHA-256 over everything that one enrolment binds together; both sides compute it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transcript([u8; 32]);

impl Transcript {
    /// The transcript of `request` answered by `challenge`.
    ///
    /// `authority_spki_sha256` is SHA-256 of the SubjectPublicKeyInfo of the TLS certificate that
    /// the device saw, or that the authority serves: a relay with another certificate differs.
    ///
    /// # Errors
    /// [`BindingError::Key`] if an attestation or device key has no TPM name.
    pub fn of(
        request: &EnrolRequest,
        challenge: &EnrolChallenge,
        authority_spki_sha256: &[u8; 32],
    ) -> Result<Self, BindingError> {
        let credential = Sha256::new()
            .chain_update(&challenge.credential_blob.0)
            .chain_update(&challenge.encrypted_secret.0)
            .finalize();
        let digest = digest(
            ENROL,
            &[
                challenge.authority_id.as_bytes(),
                authority_spki_sha256,
                challenge.session.as_bytes(),
                &request.client_random.0,
                &challenge.nonce.0,
                &Sha256::digest(&request.ek_public.0),
                &tpm::name_of(&request.ak_public.0)?,
                &tpm::name_of(&request.dk_public.0)?,
                &request.x25519_public.0,
                &request.srk_name.0,
                &challenge.x25519_challenge.0,
                &credential,
                &challenge.pcr_selection,
            ],
        );
        Ok(Self(digest))
    }

    /// The 32 bytes themselves, for the evidence directory.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// extraData of TPM2_Quote.
    pub fn quote_data(&self) -> [u8; 32] {
        digest(QUOTE, &[&self.0])
    }

    /// extraData of TPM2_Certify.
    pub fn certify_data(&self) -> [u8; 32] {
        digest(CERTIFY, &[&self.0])
    }

    /// The device's proof that its TPM released `secret`, which itself never travels back.
    pub fn activation_proof(&self, secret: &ActivationSecret) -> [u8; 32] {
        mac(&secret.0, ACTIVATION, &self.0)
    }

    /// Checks such a proof in constant time.
    ///
    /// # Errors
    /// [`BindingError::Mismatch`].
    pub fn check_activation(
        &self,
        secret: &ActivationSecret,
        proof: &[u8; 32],
    ) -> Result<(), BindingError> {
        check_equal(&self.activation_proof(secret), proof)
    }
}

/// The secret inside a credential: known to the authority and released by one TPM only.
#[derive(ZeroizeOnDrop)]
pub struct ActivationSecret(Box<[u8; 32]>);

impl ActivationSecret {
    /// Takes 32 bytes: drawn at random by the authority, or just recovered by the TPM.
    pub fn new(bytes: Box<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The bytes, for wrapping them into a credential.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The authority's side of the possession proof: one ephemeral X25519 key per session.
pub struct PossessionChallenge(StaticSecret);

impl PossessionChallenge {
    /// Makes the key from 32 bytes that the caller drew for this session alone.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(StaticSecret::from(*seed))
    }

    /// The public half, sent as `x25519_challenge`.
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// Checks in constant time that the prover held the private half of `device_public`.
    ///
    /// # Errors
    /// [`BindingError::LowOrder`], [`BindingError::Reflected`] or [`BindingError::Mismatch`].
    pub fn verify(
        &self,
        device_public: &[u8; 32],
        nonce: &[u8; 32],
        transcript: &Transcript,
        proof: &[u8; 32],
    ) -> Result<(), BindingError> {
        check_equal(&possession_mac(&self.0, device_public, nonce, transcript)?, proof)
    }
}

/// The device's side of the possession proof, over the authority's `challenge` key and `nonce`.
///
/// # Errors
/// [`BindingError::LowOrder`] or [`BindingError::Reflected`] if the challenge is a trap.
pub fn prove_possession(
    identity: &StaticSecret,
    challenge: &[u8; 32],
    nonce: &[u8; 32],
    transcript: &Transcript,
) -> Result<[u8; 32], BindingError> {
    possession_mac(identity, challenge, nonce, transcript)
}

/// Refuses X25519 public keys whose shared secret is the same for everybody (RFC 7748, 6.1).
///
/// # Errors
/// [`BindingError::LowOrder`].
pub fn check_contributory(public: &[u8; 32]) -> Result<(), BindingError> {
    // Any scalar shows it: clamping makes all of them multiples of the cofactor.
    let probe = StaticSecret::from([1; 32]);
    if probe.diffie_hellman(&PublicKey::from(*public)).was_contributory() {
        Ok(())
    } else {
        Err(BindingError::LowOrder)
    }
}

/// What a renewal binds: the old certificate, the same keys and the new request.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// The authority's nonce.
    pub nonce: &'a [u8; 32],
    /// The device as enrolled.
    pub device: &'a DeviceId,
    /// TPM name of the device key.
    pub dk_name: &'a [u8],
    /// The X25519 identity as enrolled.
    pub x25519_public: &'a [u8; 32],
    /// Serial number of the certificate in use, as in its DER.
    pub old_serial: &'a [u8],
    /// The new PKCS#10 request, DER.
    pub csr: &'a [u8],
}

impl Renewal<'_> {
    /// extraData of the renewal's TPM2_Quote.
    pub fn quote_data(&self) -> [u8; 32] {
        digest(
            RENEW,
            &[
                self.nonce,
                self.device.as_bytes(),
                self.dk_name,
                self.x25519_public,
                self.old_serial,
                &Sha256::digest(self.csr),
            ],
        )
    }
}

impl Renewal<'_> {
    /// The transcript of a renewal with new keys: `self` names the new device key and the new
    /// X25519 identity, `x25519_challenge` is the authority's ephemeral key of the session.
    pub fn rotation(&self, x25519_challenge: &[u8; 32]) -> Transcript {
        Transcript(digest(ROTATE, &[&self.quote_data(), x25519_challenge]))
    }
}

/// SHA-256 over the label and each part, each with its length in four bytes in front.
pub(crate) fn digest(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(&label.as_bytes()).chain(parts) {
        hash.update((part.len() as u32).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn mac(key: &[u8; 32], label: &str, transcript: &[u8; 32]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(&digest(label, &[transcript]));
    mac.finalize().into_bytes().into()
}

fn possession_mac(
    own: &StaticSecret,
    other: &[u8; 32],
    nonce: &[u8; 32],
    transcript: &Transcript,
) -> Result<[u8; 32], BindingError> {
    if PublicKey::from(own).as_bytes() == other {
        return Err(BindingError::Reflected);
    }
    let shared = own.diffie_hellman(&PublicKey::from(*other));
    if !shared.was_contributory() {
        return Err(BindingError::LowOrder);
    }
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(nonce), shared.as_bytes())
        .expand(POSSESSION.as_bytes(), key.as_mut())
        .expect("32 bytes are within HKDF's limit of 255 blocks");
    Ok(mac(&key, POSSESSION, &transcript.0))
}

fn check_equal(expected: &[u8; 32], given: &[u8; 32]) -> Result<(), BindingError> {
    if bool::from(expected.ct_eq(given)) { Ok(()) } else { Err(BindingError::Mismatch) }
}
