//! Signatures of certificates: RSA PKCS #1 v1.5 and ECDSA, with SHA-256 or better.

use der::oid::ObjectIdentifier;
use der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION,
    SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use ring::signature as ring;

use super::parsed::Parsed;
use crate::refusals::{EK_STRENGTH, Refusal, UNKNOWN_ROOT};
use crate::templates::KeyValue;

/// Demands that `issuer`'s key signed `certificate`.
///
/// # Errors
/// Check 8 for an algorithm that is weak or unknown, check 1 for a signature by another key.
pub(super) fn verify(certificate: &Parsed, issuer: &Parsed) -> Result<(), Refusal> {
    let oid = certificate.signature_algorithm.oid;
    let algorithm = algorithm(oid, &issuer.key).ok_or_else(|| {
        let subject = &certificate.subject;
        EK_STRENGTH.refuse(format_args!("{subject} is signed with the algorithm {oid}"))
    })?;
    ring::UnparsedPublicKey::new(algorithm, &issuer.key_bits)
        .verify(&certificate.tbs, &certificate.signature)
        .map_err(|_| {
            let (subject, by) = (&certificate.subject, &issuer.subject);
            UNKNOWN_ROOT.refuse(format_args!("{subject} is not signed by the key of {by}"))
        })
}

fn algorithm(
    oid: ObjectIdentifier,
    key: &KeyValue,
) -> Option<&'static dyn ring::VerificationAlgorithm> {
    match (oid, key) {
        (SHA_256_WITH_RSA_ENCRYPTION, KeyValue::Rsa { .. }) => {
            Some(&ring::RSA_PKCS1_2048_8192_SHA256)
        }
        (SHA_384_WITH_RSA_ENCRYPTION, KeyValue::Rsa { .. }) => {
            Some(&ring::RSA_PKCS1_2048_8192_SHA384)
        }
        (SHA_512_WITH_RSA_ENCRYPTION, KeyValue::Rsa { .. }) => {
            Some(&ring::RSA_PKCS1_2048_8192_SHA512)
        }
        (ECDSA_WITH_SHA_256, KeyValue::P256(_)) => Some(&ring::ECDSA_P256_SHA256_ASN1),
        (ECDSA_WITH_SHA_384, KeyValue::P256(_)) => Some(&ring::ECDSA_P256_SHA384_ASN1),
        (ECDSA_WITH_SHA_256, KeyValue::P384(_)) => Some(&ring::ECDSA_P384_SHA256_ASN1),
        (ECDSA_WITH_SHA_384, KeyValue::P384(_)) => Some(&ring::ECDSA_P384_SHA384_ASN1),
        _ => None,
    }
}
