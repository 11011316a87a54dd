//! Certificate requests (PKCS#10, RFC 2986): the key, the proof that its holder asks, and the names
//! asked for.

use der::asn1::AnyRef;
use der::oid::AssociatedOid;
use der::oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::{Decode, Encode, Reader, SliceReader};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::request::{CertReq, ExtensionReq};

use crate::certificate::PublicKey;
use crate::names::{Names, NamesError};
use crate::refusals::{CSR_KEY, CSR_SIGNATURE, Refusal};

/// Reads a request and verifies its signature by its own P-256 key, which is returned.
///
/// Everything else that it asks for is ignored: the authority alone decides what a certificate
/// says.
///
/// # Errors
/// Check 19, and 18 for a key that is not P-256.
pub fn requested_key(der: &[u8]) -> Result<PublicKey, Refusal> {
    let malformed = |error: der::Error| {
        CSR_SIGNATURE.refuse(format_args!("a malformed certificate request: {error}"))
    };
    let request = CertReq::from_der(der).map_err(malformed)?;
    let spki = request.info.public_key.to_der().map_err(malformed)?;
    let key = PublicKey::from_spki(&spki)
        .map_err(|error| CSR_KEY.refuse(format_args!("the certificate request: {error}")))?;
    if request.algorithm.oid != ECDSA_WITH_SHA_256 || request.algorithm.parameters.is_some() {
        return Err(CSR_SIGNATURE.refuse("a request not signed with ECDSA and SHA-256"));
    }
    let outer = AnyRef::from_der(der).map_err(malformed)?;
    let signed = SliceReader::new(outer.value()).and_then(|mut reader| reader.tlv_bytes());
    // A BIT STRING with unused bits would be a second form of the same signature.
    let signature = request.signature.as_bytes();
    let signature = signature.ok_or_else(|| CSR_SIGNATURE.refuse("a signature of odd bits"))?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.as_sec1())
        .verify(signed.map_err(malformed)?, signature)
        .map_err(|_| CSR_SIGNATURE.refuse("the request is not signed by its own key"))?;
    Ok(key)
}

/// Demands a good request for exactly `key`.
///
/// # Errors
/// Checks 18 and 19.
pub fn check_request(der: &[u8], key: &PublicKey) -> Result<(), Refusal> {
    if requested_key(der)? != *key {
        return Err(CSR_KEY.refuse("the request is for another key than the device key"));
    }
    Ok(())
}

/// The subject alternative names that a request asks for; none if it asks for none. They are wishes:
/// the built-in CA ignores them, and any other must be held to what the authority knows.
///
/// # Errors
/// [`NamesError`], also if they are asked for twice.
pub fn requested_names(der: &[u8]) -> Result<Names, NamesError> {
    let malformed = |error: der::Error| NamesError::Malformed(error.to_string());
    let request = CertReq::from_der(der).map_err(malformed)?;
    let mut found = None;
    for attribute in request.info.attributes.iter() {
        if attribute.oid != ExtensionReq::OID {
            continue;
        }
        for value in attribute.values.iter() {
            let asked: ExtensionReq = value.decode_as().map_err(malformed)?;
            for extension in asked.0.iter().filter(|e| e.extn_id == SubjectAltName::OID) {
                let names = SubjectAltName::from_der(extension.extn_value.as_bytes());
                if found.replace(Names::read(&names.map_err(malformed)?)?).is_some() {
                    return Err(NamesError::Malformed("two lists of names".into()));
                }
            }
        }
    }
    Ok(found.unwrap_or_default())
}
