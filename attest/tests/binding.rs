//! The bytes that bind an enrolment, against values computed by an independent program.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sealsum_attest::binding::{
    ActivationSecret, BindingError, PossessionChallenge, Renewal, Transcript, prove_possession,
};
use sealsum_attest::hex;
use sealsum_attest::ids::{DeviceId, SessionId};
use sealsum_attest::messages::{Bytes, EnrolChallenge, EnrolRequest, Fixed};
use sealsum_attest::templates::SIGNING_KEY;
use sealsum_attest::tpm::{EccPublic, Public, PublicKind, Scheme, alg};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const TRANSCRIPT: &str = "3d5e51dcd7e1d0b84c99326d5c935f69cc729ecba3f6860d542a7f04e1b86bee";
const QUOTE: &str = "87272e1c9b11c428748cb1b0b1fcb820f465e231a49f3fe928b91dd524751486";
const CERTIFY: &str = "8d6365325ac3e790ed9f14d52b600118efd2664e9a233818ce669ad063bf557d";
const ACTIVATION: &str = "49366fd2fe48011ba60bbcff1ab341d1e9f925b8607aa0af9ef6475d7e2f3318";
const POSSESSION: &str = "2457b9fcec3abfb1ba878aba1bc3230d8f75bde0510b7724211cdfc0c5a27c04";
const RENEWAL: &str = "9c8ee70838140798e37a6c19753b8b16440108ee9885810ad4e25944e57762a7";

fn key(byte: u8) -> Public {
    Public {
        name_alg: alg::SHA256,
        attributes: SIGNING_KEY,
        auth_policy: vec![],
        kind: PublicKind::Ecc(EccPublic {
            symmetric: None,
            scheme: Scheme::with_hash(alg::ECDSA, alg::SHA256),
            curve: alg::NIST_P256,
            kdf: Scheme::NULL,
            x: vec![byte; 32],
            y: vec![byte + 1; 32],
        }),
    }
}

fn identity() -> StaticSecret {
    StaticSecret::from([0x42; 32])
}

fn identity_public() -> [u8; 32] {
    PublicKey::from(&identity()).to_bytes()
}

fn challenger() -> PossessionChallenge {
    PossessionChallenge::from_seed(Zeroizing::new([0x43; 32]))
}

fn transcript() -> Transcript {
    let request = EnrolRequest {
        protocol: 1,
        token: None,
        ek_certificate: Bytes::default(),
        ek_chain: vec![],
        ek_public: Bytes(key(5).to_bytes()),
        ak_public: Bytes(key(1).to_bytes()),
        dk_public: Bytes(key(3).to_bytes()),
        x25519_public: Fixed(identity_public()),
        srk_name: Bytes(vec![0x5e; 34]),
        client_random: Fixed([0xc1; 32]),
    };
    let challenge = EnrolChallenge {
        session: SessionId::from_bytes([0x11; 16]),
        nonce: Fixed([0x22; 32]),
        authority_id: "spiffe://demo/authority".into(),
        credential_blob: Bytes(vec![0x33; 10]),
        encrypted_secret: Bytes(vec![0x44; 20]),
        x25519_challenge: Fixed(challenger().public()),
        pcr_selection: vec![0, 7],
        expires_at: "2026-11-24T12:02:00Z".parse().unwrap(),
    };
    Transcript::of(&request, &challenge, &[0xa5; 32]).unwrap()
}

fn secret(byte: u8) -> ActivationSecret {
    ActivationSecret::new(Box::new([byte; 32]))
}

#[test]
fn transcript_and_the_digests_over_it() {
    let transcript = transcript();
    assert_eq!(hex::encode(transcript.as_bytes()), TRANSCRIPT);
    assert_eq!(hex::encode(&transcript.quote_data()), QUOTE);
    assert_eq!(hex::encode(&transcript.certify_data()), CERTIFY);
}

#[test]
fn activation_proof() {
    let transcript = transcript();
    let proof = transcript.activation_proof(&secret(0x99));
    assert_eq!(hex::encode(&proof), ACTIVATION);
    assert_eq!(transcript.check_activation(&secret(0x99), &proof), Ok(()));
    let wrong = transcript.check_activation(&secret(0x98), &proof);
    assert_eq!(wrong, Err(BindingError::Mismatch));
}

#[test]
fn possession_proof() {
    let (transcript, nonce) = (transcript(), [0x22; 32]);
    let prove = |challenge| prove_possession(&identity(), &challenge, &nonce, &transcript);
    let proof = prove(challenger().public()).unwrap();
    assert_eq!(hex::encode(&proof), POSSESSION);
    let verify = |public, nonce| challenger().verify(&public, &nonce, &transcript, &proof);
    assert_eq!(verify(identity_public(), nonce), Ok(()));
    assert_eq!(verify(identity_public(), [0x23; 32]), Err(BindingError::Mismatch));
    let other = PublicKey::from(&StaticSecret::from([0x44; 32])).to_bytes();
    assert_eq!(verify(other, nonce), Err(BindingError::Mismatch));
    assert_eq!(verify([0; 32], nonce), Err(BindingError::LowOrder));
    assert_eq!(verify(challenger().public(), nonce), Err(BindingError::Reflected));
    assert_eq!(prove(identity_public()), Err(BindingError::Reflected));
    assert_eq!(prove([0; 32]), Err(BindingError::LowOrder));
}

#[test]
fn renewal_digest() {
    let renewal = Renewal {
        nonce: &[0x22; 32],
        device: &DeviceId::from_bytes([0xd1; 32]),
        dk_name: &key(3).name().unwrap(),
        x25519_public: &identity_public(),
        old_serial: &[1, 2],
        csr: b"csr",
    };
    assert_eq!(hex::encode(&renewal.quote_data()), RENEWAL);
}
