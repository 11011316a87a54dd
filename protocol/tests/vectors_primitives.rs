//! The primitives that a round is made of, against the vectors of their RFCs.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::encoding::Layout;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::kdf;
use sealsum_protocol::mask::{self, MaskSeed, Sign, Suite};
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

/// RFC 7748 section 5.2: the second vector, whose coordinate has its unused bit set, and the
/// function iterated from 9. A million times is in `make test-all`.
#[test]
fn x25519_iterated_is_that_of_rfc_7748() {
    let hex = |text: &str| text.parse::<Hash>().unwrap().0;
    let key = hex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d");
    let peer = hex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
    let shared = ExchangeKey::from_bytes(&key).agree(&peer).unwrap();
    let expected = hex("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
    assert_eq!(*shared, expected);
    let mut nine = [0; 32];
    nine[0] = 9;
    let (mut key, mut peer) = (nine, nine);
    for count in 1..=1000 {
        (key, peer) = (*ExchangeKey::from_bytes(&key).agree(&peer).unwrap(), key);
        if count == 1 {
            let once = hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
            assert_eq!(key, once);
        }
    }
    assert_eq!(key, hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

/// As masks are made: blocks of one stream from counter 0, with a zero nonce.
#[test]
fn masks_are_chacha20_blocks_of_rfc_8439() {
    let layout = Layout::new(22, 64).unwrap();
    for vector in vectors("chacha20") {
        let seed = MaskSeed::init_with(|seed| *seed = array(&vector, "key"));
        let mut words = layout.zero_chunk(0);
        mask::apply(Suite::ChaCha20, &seed, 0, &mut words, Sign::Plus);
        let start = 64 * vector["counter"].as_u64().unwrap() as usize;
        let block = &layout.to_wire(0, &words)[start..start + 64];
        assert_eq!(block, bytes(&vector, "block"), "{}", vector["source"]);
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
