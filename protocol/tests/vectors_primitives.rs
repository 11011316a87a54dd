//! The primitives that a round is made of, against the vectors of their RFCs.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::kdf;
use sealsum_protocol::signature::{PublicKey, SecretKey, Signature};
use serde_json::Value;

fn vectors(of: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors/primitives.json")).unwrap();
    all[of].as_array().unwrap().clone()
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    let hex = vector[field].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(vector: &Value, field: &str) -> [u8; N] {
    bytes(vector, field).try_into().unwrap()
}

#[test]
fn x25519_is_that_of_rfc_7748() {
    for vector in vectors("x25519") {
        let key = ExchangeKey::from_bytes(&array(&vector, "secret"));
        assert_eq!(key.public(), array(&vector, "public"), "{}", vector["source"]);
        let shared = key.agree(&array(&vector, "peer")).unwrap();
        assert_eq!(*shared, array(&vector, "shared"), "{}", vector["source"]);
    }
}

#[test]
fn hkdf_is_that_of_rfc_5869() {
    for vector in vectors("hkdf_sha256") {
        let [salt, secret, info, expected] =
            ["salt", "secret", "info", "output"].map(|field| bytes(&vector, field));
        let mut output = vec![0; expected.len()];
        kdf::derive(&salt, &secret, &info, &mut output);
        assert_eq!(output, expected, "{}", vector["source"]);
        let first_block = kdf::expand(&kdf::extract(&salt, &secret), &info);
        assert_eq!(first_block[..], expected[..32], "{}", vector["source"]);
    }
}

#[test]
fn ed25519_is_that_of_rfc_8032() {
    for vector in vectors("ed25519") {
        let key = SecretKey::from_seed(&array(&vector, "seed"));
        assert_eq!(key.public(), PublicKey(array(&vector, "public")), "{}", vector["source"]);
        let (message, signature) =
            (bytes(&vector, "message"), Signature(array(&vector, "signature")));
        assert_eq!(key.sign(&message), signature, "{}", vector["source"]);
        assert!(key.public().verifies(&message, &signature));
        let mut other = message.clone();
        other.push(0);
        assert!(!key.public().verifies(&other, &signature));
    }
}

/// Keys of low order verify signatures that nobody made, under rules laxer than the strict ones.
#[test]
fn keys_of_low_order_verify_nothing() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut forged = [0; 64];
    forged[..32].copy_from_slice(&identity);
    for key in [PublicKey(identity), PublicKey([0; 32])] {
        assert!(!key.is_sound());
        assert!(!key.verifies(b"anything", &Signature(forged)));
    }
}

#[test]
fn owner_keys_are_written_as_text_and_read_back() {
    let key = SecretKey::from_seed(&[7; 32]).public();
    assert_eq!(key.to_string().parse(), Ok(key));
    for bad in ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", &key.to_string()[8..]] {
        assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
    }
}
