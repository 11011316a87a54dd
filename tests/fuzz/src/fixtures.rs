//! A fleet that stays the same: the input of a target is judged against it.
//!
//! The certificates were made once, since a CA's signatures are never the same twice; the keys
//! that targets sign with follow from their seeds.

use std::sync::OnceLock;

use ed25519_dalek::Signer as _;
use jiff::Timestamp;
use sealsum_attest::certificate::FleetCa;
use sealsum_attest::endorsement::Anchors;
use sealsum_attest::events::certificate_issued;
use sealsum_attest::result::Claims;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle::Tree;
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::{Hash, TreeHead};

const CA: &[u8] = include_bytes!("../fixtures/ca.der");
const RESULT: &str = include_str!("../fixtures/result.jwt");
const VENDOR: &[u8] = include_bytes!("../fixtures/vendor-root.der");
const SOFTWARE: &str = include_str!("../../../attest/tests/vectors/swtpm-root.pem");

pub(crate) const AUTHORITY: &[u8] = include_bytes!("../fixtures/authority.der");
pub(crate) const DEVICES: [&[u8]; 2] =
    [include_bytes!("../fixtures/device.der"), include_bytes!("../fixtures/device-2.der")];

/// When the log's entries were written, in Unix seconds.
pub(crate) const LOGGED_AT: i64 = 1_795_521_600;

/// A moment at which all certificates are valid.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(LOGGED_AT).unwrap()
}

pub(crate) fn ca() -> &'static FleetCa {
    static TRUST: OnceLock<FleetCa> = OnceLock::new();
    TRUST.get_or_init(|| FleetCa::from_der(&[CA.to_vec()]).unwrap())
}

/// The fleet's own vendor, and the maker of software TPMs.
pub(crate) fn anchors() -> &'static Anchors {
    static TRUST: OnceLock<Anchors> = OnceLock::new();
    TRUST.get_or_init(|| {
        let software = sealsum_attest::certificate::chain_from_pem(SOFTWARE).unwrap();
        Anchors::from_der(&[VENDOR]).unwrap().with_software(&software).unwrap()
    })
}

/// ECDSA by the authority's key, r and s.
pub(crate) fn authority_signs(message: &[u8]) -> [u8; 64] {
    let key = p256::ecdsa::SigningKey::from_slice(&[0x5a; 32]).unwrap();
    let signature: p256::ecdsa::Signature = key.sign(message);
    signature.to_bytes().into()
}

/// A result that the authority signed.
pub(crate) fn claims() -> &'static Claims {
    static CLAIMS: OnceLock<Claims> = OnceLock::new();
    CLAIMS.get_or_init(|| Claims::verify_as_issued(RESULT, ca(), now()).unwrap().0)
}

fn log_key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[9; 32])
}

/// The key of the authority's log.
pub(crate) fn log_vkey() -> NoteKey {
    NoteKey::new("demo/authority-log", log_key().verifying_key().as_bytes()).unwrap()
}

/// The log's tree: the certificates of the authority and of both devices, and two more entries.
pub(crate) fn log_tree() -> Tree {
    let certificates = [AUTHORITY, DEVICES[0], DEVICES[1]];
    let issued = certificates.iter().enumerate().map(|(index, der)| {
        Hash::of_leaf(&certificate_issued(der, index as u64, LOGGED_AT).unwrap())
    });
    issued.chain([Hash::of_leaf(b"3"), Hash::of_leaf(b"4")]).collect()
}

/// The log's signature on a head.
pub(crate) fn log_signs(head: TreeHead) -> SignedCheckpoint {
    let sign = |text: &[u8]| Ok::<_, std::convert::Infallible>(log_key().sign(text).to_bytes());
    SignedCheckpoint::sign(head, &log_vkey(), sign).unwrap()
}
