//! ECDSA as the judgement verifies it, against the vectors of Project Wycheproof: none is excluded.
//!
//! HMAC and SHA-256 are not tried alone: no function here takes a caller's key, or hashes without
//! a label.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sealsum_attest::certificate::PublicKey;
use sealsum_attest::tpm::{EcdsaSignature, alg};
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

/// r and s, as a TPM gives them, and through the structure that it gives them in.
#[test]
fn ecdsa_verifies_exactly_what_it_should() {
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut count = 0;
    for group in &set.test_groups {
        let key = PublicKey::from_sec1(&group.key.key).unwrap();
        for test in &group.tests {
            let valid = test.result == TestResult::Valid;
            assert_eq!(key.verify(&test.msg, &test.sig).is_ok(), valid, "{}", test.tc_id);
            let (r, s) = test.sig.split_at(test.sig.len() / 2);
            let structure = EcdsaSignature { hash: alg::SHA256, r: r.to_vec(), s: s.to_vec() };
            let verifies =
                structure.to_p256().is_some_and(|fixed| key.verify(&test.msg, &fixed).is_ok());
            // Integers without their leading zeros are the same integers to a TPM.
            assert!(verifies == valid || (verifies && test.sig.len() < 64), "{}", test.tc_id);
            count += 1;
        }
    }
    assert_eq!(count, set.number_of_tests);
}
