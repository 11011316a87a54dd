//! MakeCredential against its other side, and that other side against independent credentials.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::activate::EkSecret;
use common::{device, rng};
use p256::pkcs8::DecodePrivateKey;
use sealsum_attest::activation::{ActivationError, make_credential};
use sealsum_attest::binding::ActivationSecret;
use sealsum_attest::hex;
use sealsum_attest::templates::EkAlgorithm;
use sealsum_attest::tpm::{Public, PublicKind, alg};
use serde::Deserialize;
use sha2::{Digest, Sha256};

const ALGORITHMS: [EkAlgorithm; 3] = [EkAlgorithm::Rsa2048, EkAlgorithm::P256, EkAlgorithm::P384];

fn secret() -> ActivationSecret {
    ActivationSecret::new(Box::new([0x5e; 32]))
}

/// One credential made elsewhere (`made_by`); every field but the first two is hex.
#[derive(Deserialize)]
struct Vector {
    algorithm: String,
    made_by: String,
    private_pkcs8: String,
    name: String,
    secret: String,
    credential_blob: String,
    encrypted_secret: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors/activation.json")).unwrap()
}

fn private_key(vector: &Vector) -> EkSecret {
    let der = device::unhex(&vector.private_pkcs8);
    match EkAlgorithm::from_name(&vector.algorithm).unwrap() {
        EkAlgorithm::Rsa2048 => {
            let key = rsa::pkcs8::DecodePrivateKey::from_pkcs8_der(&der).unwrap();
            EkSecret::Rsa(Box::new(key))
        }
        EkAlgorithm::P256 => EkSecret::P256(p256::SecretKey::from_pkcs8_der(&der).unwrap()),
        EkAlgorithm::P384 => EkSecret::P384(p384::SecretKey::from_pkcs8_der(&der).unwrap()),
    }
}

#[test]
fn credentials_made_elsewhere_are_opened() {
    let vectors = vectors();
    assert_eq!(vectors.len(), ALGORITHMS.len());
    for vector in vectors {
        let opened = private_key(&vector).activate(
            &device::unhex(&vector.name),
            &device::unhex(&vector.credential_blob),
            &device::unhex(&vector.encrypted_secret),
        );
        assert_eq!(opened, Some(device::unhex(&vector.secret)), "{}", vector.made_by);
    }
}

#[test]
fn our_credentials_are_opened_for_their_name_alone() {
    for algorithm in ALGORITHMS {
        let (key, ek, _) = device::endorsement_key(algorithm, &mut rng(1));
        let name = [&[0, 11], &[0xaa; 32][..]].concat();
        let made = make_credential(&ek, &name, &secret(), &mut rng(2)).unwrap();
        let open = |name: &[u8]| key.activate(name, &made.blob, &made.encrypted_secret);
        assert_eq!(open(&name).as_deref(), Some(&[0x5e; 32][..]), "{algorithm:?}");
        let mut other = name.clone();
        other[33] ^= 1;
        assert_eq!(open(&other), None, "{algorithm:?}");
    }
}

#[test]
fn another_endorsement_key_does_not_open_it() {
    let (_, ek, _) = device::endorsement_key(EkAlgorithm::P256, &mut rng(1));
    let (stranger, _, _) = device::endorsement_key(EkAlgorithm::P256, &mut rng(2));
    let made = make_credential(&ek, b"name", &secret(), &mut rng(3)).unwrap();
    assert_eq!(stranger.activate(b"name", &made.blob, &made.encrypted_secret), None);
}

/// The wire bytes may not change unnoticed. What these digests are of was opened by the
/// independent program that checked the vectors.
#[test]
fn credentials_are_determined_by_the_generator() {
    const EXPECTED: [&str; 3] = [
        "67b209106a0b43613bab3252567004e984a222555e71970206abe80cc17f95e8",
        "e3a883933c64c7a68154914304c3cf72769565d1b29d497b79c95450d88475f0",
        "0228efea9171c1922ce2569ee0f9897ae00c295932f350c1fe6abb97a0401986",
    ];
    for (algorithm, expected) in ALGORITHMS.into_iter().zip(EXPECTED) {
        let (_, ek, _) = device::endorsement_key(algorithm, &mut rng(1));
        let made = make_credential(&ek, b"name", &secret(), &mut rng(4)).unwrap();
        let bytes = [&made.blob[..], &made.encrypted_secret].concat();
        assert_eq!(hex::encode(&Sha256::digest(bytes)), expected, "{algorithm:?}");
    }
}

#[test]
fn shapes_are_those_a_tpm_takes() {
    for (algorithm, blob, encrypted) in [
        (EkAlgorithm::Rsa2048, 2 + 32 + 34, 256),
        (EkAlgorithm::P256, 2 + 32 + 34, 2 * 34),
        (EkAlgorithm::P384, 2 + 48 + 34, 2 * 50),
    ] {
        let (_, ek, _) = device::endorsement_key(algorithm, &mut rng(1));
        let made = make_credential(&ek, b"name", &secret(), &mut rng(2)).unwrap();
        assert_eq!((made.blob.len(), made.encrypted_secret.len()), (blob, encrypted));
    }
}

#[test]
fn unusable_endorsement_keys_are_refused() {
    let make = |ek: &Public| make_credential(ek, b"name", &secret(), &mut rng(2)).unwrap_err();
    let (_, good, _) = device::endorsement_key(EkAlgorithm::P256, &mut rng(1));
    let mut sha384 = good.clone();
    sha384.name_alg = alg::SHA384;
    assert_eq!(make(&sha384), ActivationError::UnsupportedKey);
    let mut off_curve = good.clone();
    match &mut off_curve.kind {
        PublicKind::Ecc(ecc) => ecc.y[0] ^= 1,
        PublicKind::Rsa(_) => unreachable!(),
    }
    assert_eq!(make(&off_curve), ActivationError::InvalidKey);
    let (_, mut even, _) = device::endorsement_key(EkAlgorithm::Rsa2048, &mut rng(1));
    match &mut even.kind {
        PublicKind::Rsa(rsa) => *rsa.modulus.last_mut().unwrap() = 0,
        PublicKind::Ecc(_) => unreachable!(),
    }
    assert_eq!(make(&even), ActivationError::InvalidKey);
}
