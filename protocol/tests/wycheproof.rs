//! The primitives of a round through our own wrappers, against the vectors of Project Wycheproof.
//!
//! A case that a wrapper does not decide as the vector says is in [`STRICTER`] or [`UNWRITABLE`]
//! with its reason; there are no others.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use sealsum_protocol::codec::Decode;
use sealsum_protocol::exchange::{ExchangeKey, is_sound};
use sealsum_protocol::kdf;
use sealsum_protocol::signature::{PublicKey, Signature};
use wycheproof::TestResult;
use wycheproof::xdh::TestFlag;

/// X25519 public keys that RFC 7748 computes with and [`is_sound`] refuses, so that each key has
/// one encoding and each agreement says something of both sides: how many, and why.
const STRICTER: [(TestFlag, usize, &str); 2] = [
    (TestFlag::NonCanonicalPublic, 19, "2^255 - 19 or more, or the unused bit set"),
    (TestFlag::ZeroSharedSecret, 31, "of low order, so that any secret gives zero"),
];

/// Cases that the types of a wrapper cannot express: which, and why.
const UNWRITABLE: [(&str, usize, &str); 3] = [
    ("ed25519", 12, "a signature of another length than 64 bytes, which does not decode"),
    ("hkdf", 3, "more output than HKDF has, which is a panic before anything is derived"),
    ("chacha20poly1305", 9, "a nonce of another length: the channel has one nonce, zero"),
];

fn unwritable(of: &str) -> usize {
    UNWRITABLE.iter().find(|(name, _, _)| *name == of).unwrap().1
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap()
}

#[test]
fn x25519_agrees_as_rfc_7748_and_refuses_what_has_two_names_or_none() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let mut refused: BTreeMap<bool, usize> = BTreeMap::new();
    let mut count = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (id, public) = (test.tc_id, array(&test.public_key));
        let zero = test.flags.contains(&TestFlag::ZeroSharedSecret);
        let agreed = ExchangeKey::from_bytes(&array(&test.private_key)).agree(&public);
        match agreed {
            Ok(shared) => assert!(!zero && shared[..] == test.shared_secret[..], "{id}"),
            Err(_) => assert!(zero && test.shared_secret.iter().all(|byte| *byte == 0), "{id}"),
        }
        let stricter = STRICTER.iter().any(|(flag, _, _)| test.flags.contains(flag));
        assert_eq!(is_sound(&public), !stricter, "{id}: {}", test.comment);
        assert!(!stricter || test.result == TestResult::Acceptable, "{id}");
        for (flag, _, _) in STRICTER.iter().filter(|(flag, _, _)| test.flags.contains(flag)) {
            *refused.entry(*flag == TestFlag::ZeroSharedSecret).or_default() += 1;
        }
        count += 1;
    }
    assert_eq!(refused.into_values().collect::<Vec<_>>(), STRICTER.map(|(_, count, _)| count));
    assert_eq!(count, set.number_of_tests);
}

#[test]
fn ed25519_verifies_exactly_what_it_should() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut count, mut undecodable) = (0, 0);
    for group in &set.test_groups {
        let key = PublicKey(array(&group.key.pk));
        assert!(key.is_sound());
        for test in &group.tests {
            let signature = Signature::decoded(&test.sig);
            undecodable += usize::from(signature.is_err());
            let verifies = signature.is_ok_and(|signature| key.verifies(&test.msg, &signature));
            assert_eq!(verifies, test.result == TestResult::Valid, "{}", test.tc_id);
            count += 1;
        }
    }
    assert_eq!((count, undecodable), (set.number_of_tests, unwritable("ed25519")));
}

#[test]
fn hkdf_derives_what_it_should() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let (mut count, mut too_long) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        count += 1;
        if test.size > kdf::MAX_OUTPUT {
            assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
            too_long += 1;
            continue;
        }
        let mut output = vec![0; test.size];
        kdf::derive(&test.salt, &test.ikm, &test.info, &mut output);
        assert_eq!(output[..], test.okm[..], "{}", test.tc_id);
        if test.size >= 32 {
            let first = kdf::expand(&kdf::extract(&test.salt, &test.ikm), &test.info);
            assert_eq!(first[..], test.okm[..32], "{}", test.tc_id);
        }
    }
    assert_eq!((count, too_long), (set.number_of_tests, unwritable("hkdf")));
}

/// The channel hides its cipher behind keys that it derives itself, so the cipher is tried alone;
/// that the channel seals with it, the second reader shows.
#[test]
fn the_cipher_of_the_channel_opens_exactly_what_it_should() {
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let (mut count, mut other_nonces) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        count += 1;
        let Ok(nonce) = <[u8; 12]>::try_from(&test.nonce[..]) else {
            assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
            other_nonces += 1;
            continue;
        };
        let (key, nonce) = (Key::from(array::<32>(&test.key)), Nonce::from(nonce));
        let cipher = ChaCha20Poly1305::new(&key);
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad: &test.aad });
        if test.result == TestResult::Valid {
            assert_eq!(opened.unwrap(), test.pt[..], "{}", test.tc_id);
            let again = cipher.encrypt(&nonce, Payload { msg: &test.pt, aad: &test.aad });
            assert_eq!(again.unwrap(), sealed, "{}", test.tc_id);
        } else {
            assert!(opened.is_err(), "{}", test.tc_id);
        }
    }
    assert_eq!((count, other_nonces), (set.number_of_tests, unwritable("chacha20poly1305")));
}
