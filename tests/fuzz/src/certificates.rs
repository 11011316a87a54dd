//! Certificates, chains of them, requests for them, and what vouches for a TPM.

use der::{Decode, Encode};
use sealsum_attest::certificate::{Identity, PublicKey, chain_from_pem, parse_uri};
use sealsum_attest::csr::{check_request, requested_key, requested_names};
use sealsum_attest::endorsement::{trim_nv_padding, validate};
use sealsum_attest::events::{Entry, certificate_issued};
use sealsum_attest::evidence::{self, FILES, Files, RESULT};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::names::Names;
use sealsum_attest::result::Claims;
use x509_cert::Certificate;
use x509_cert::request::CertReq;

use crate::bodies::respelt;
use crate::fixtures::{AUTHORITY, anchors, authority_signs, ca, claims, now};
use crate::input::Input;
use crate::{Target, named};

/// One for each reader.
pub const TARGETS: &[Target] = &[
    named("certificate", certificate),
    named("certificate-chain", chain),
    named("certificate-request", request),
    named("public-key", public_key),
    named("endorsement", endorsement),
    named("nv-certificate", nv_certificate),
    named("attestation-result", result),
    named("evidence", directory),
];

fn certificate(bytes: &[u8]) {
    let _ = Names::of_certificate(bytes);
    let Ok(identity) = Identity::parse(bytes) else { return };
    let again = Certificate::from_der(bytes).unwrap().to_der();
    assert_eq!(again.as_deref(), Ok(bytes), "a second encoding");
    let uri = identity.role.uri(&identity.fleet);
    assert_eq!(parse_uri(&uri), Some((identity.role.clone(), identity.fleet.clone())));
    assert_eq!(identity.x25519.is_some(), identity.device().is_ok());
    let entry = certificate_issued(bytes, 3, 5).expect("the log can name a certificate");
    let entry = Entry::parse(&entry).expect("the log's own entry");
    assert_eq!((entry.seq, entry.ts), (3, 5));
}

fn chain(bytes: &[u8]) {
    let Some(Ok(chain)) = std::str::from_utf8(bytes).ok().map(chain_from_pem) else { return };
    assert!(chain.iter().map(Vec::len).sum::<usize>() < bytes.len());
    if let Ok(identity) = ca().verify(&chain, now()) {
        assert_eq!(Identity::parse(&chain[0]), Ok(identity), "another certificate than the first");
    }
}

fn request(bytes: &[u8]) {
    let _ = requested_names(bytes);
    let Ok(key) = requested_key(bytes) else { return };
    assert_eq!(CertReq::from_der(bytes).unwrap().to_der().as_deref(), Ok(bytes));
    assert!(check_request(bytes, &key).is_ok(), "a request for no key");
}

fn public_key(bytes: &[u8]) {
    if let Ok(key) = PublicKey::from_spki(bytes) {
        assert_eq!(key.to_spki(), bytes, "a second encoding");
    }
    if let Ok(key) = PublicKey::from_sec1(bytes) {
        assert_eq!(key.as_sec1(), bytes, "a second encoding");
        assert_eq!(PublicKey::from_spki(&key.to_spki()), Ok(key));
    }
}

/// The endorsement certificate, then what was sent with it.
fn endorsement(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let leaf = input.part();
    let mut chain = Vec::new();
    while !input.is_empty() {
        chain.push(input.part());
    }
    let Ok(endorsed) = validate(leaf, &chain, anchors(), now()) else { return };
    assert_eq!(Certificate::from_der(leaf).unwrap().to_der().as_deref(), Ok(leaf));
    assert_eq!(validate(leaf, &chain, anchors(), now()), Ok(endorsed));
}

fn nv_certificate(bytes: &[u8]) {
    let Ok(trimmed) = trim_nv_padding(bytes) else { return };
    assert!(bytes.starts_with(trimmed));
    assert_eq!(trim_nv_padding(trimmed).ok(), Some(trimmed), "trimmed to something with padding");
}

/// The token as it is, and its claims under the authority's signature.
fn result(bytes: &[u8]) {
    if let Some(claims) = respelt::<Claims>(bytes) {
        let token = signed(&claims);
        if let Ok((found, _)) = Claims::verify_as_issued(&token, ca(), now()) {
            assert_eq!(found, claims, "other claims than were signed");
        }
    }
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    if let Ok((found, _)) = Claims::verify_as_issued(token, ca(), now()) {
        assert_eq!(&found, claims(), "claims that nobody signed");
    }
}

fn signed(claims: &Claims) -> String {
    let sign = |bytes: &[u8]| Ok::<_, std::convert::Infallible>(authority_signs(bytes));
    claims.sign(&[AUTHORITY.to_vec()], sign).unwrap()
}

/// The files of an evidence directory in order. The authority signs whatever they are, so that
/// they are looked at; a result among them is replaced.
fn directory(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut files: Files =
        FILES.iter().map(|name| ((*name).to_owned(), input.part().to_vec())).collect();
    let digest = evidence::digest(&files).map(|byte| format!("{byte:02x}")).concat();
    let about_these = Claims { evidence_sha256: digest, ..claims().clone() };
    files.insert(RESULT.to_owned(), signed(&about_these).into_bytes());
    let Ok(report) = evidence::verify(&files, anchors(), ca(), now()) else { return };
    assert_eq!(report.device, DeviceId::from_ek_public(&files["ek.pub"]));
    let (leaf, _) = evidence::endorsement_of(&files).expect("what vouched for it");
    assert_eq!(leaf, files["ek.der"], "another certificate than was judged");
}
