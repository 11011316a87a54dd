//! Mutations of the attestation key, the device key and the X25519 key.

use sealsum_attest::messages::{EnrolRequest, Fixed};
use sealsum_attest::templates::SIGNING_KEY;
use sealsum_attest::tpm::alg::attribute;
use sealsum_attest::tpm::{EccPublic, Public, PublicKind, RsaPublic, Scheme, alg};

use super::common::World;
use super::common::device::{signing_public, unhex};
use super::{Mutation, Named};

pub const MUTATIONS: &[Named] = &[
    ("ak", Mutation::Request(ak)),
    ("dk", Mutation::Request(dk)),
    ("ak_scheme", Mutation::Request(ak_scheme)),
    ("dk_scheme", Mutation::Request(dk_scheme)),
    ("dk_is_ak", Mutation::Request(dk_is_ak)),
    ("public_bytes", Mutation::Request(public_bytes)),
    ("low_order", Mutation::Request(low_order)),
    ("bounds", Mutation::Request(bounds)),
];

fn ak(world: &mut World, change: &str, request: &mut EnrolRequest) {
    let mut ak = world.device.ak_public.clone();
    change_attribute(&mut ak, change);
    request.ak_public.0 = ak.to_bytes();
}

fn dk(world: &mut World, change: &str, request: &mut EnrolRequest) {
    let mut dk = world.device.dk_public.clone();
    change_attribute(&mut dk, change);
    request.dk_public.0 = dk.to_bytes();
}

fn ak_scheme(world: &mut World, scheme: &str, request: &mut EnrolRequest) {
    request.ak_public.0 = with_scheme(&world.device.ak_public, scheme).to_bytes();
}

fn dk_scheme(world: &mut World, scheme: &str, request: &mut EnrolRequest) {
    request.dk_public.0 = with_scheme(&world.device.dk_public, scheme).to_bytes();
}

fn dk_is_ak(world: &mut World, _: &str, request: &mut EnrolRequest) {
    request.dk_public.0 = signing_public(&world.device.ak, SIGNING_KEY).to_bytes();
}

fn with_scheme(key: &Public, scheme: &str) -> Public {
    let mut key = key.clone();
    match scheme {
        "none" => ecc(&mut key).scheme = Scheme::NULL,
        "SHA-1" => ecc(&mut key).scheme = Scheme::with_hash(alg::ECDSA, alg::SHA1),
        "ECSCHNORR" => ecc(&mut key).scheme = Scheme::with_hash(alg::ECSCHNORR, alg::SHA256),
        "ECDAA" => {
            ecc(&mut key).scheme =
                Scheme { algorithm: alg::ECDAA, hash: Some(alg::SHA256), count: Some(1) };
        }
        "name SHA-1" => key.name_alg = alg::SHA1,
        "off curve" => ecc(&mut key).x[0] ^= 1,
        _ => {
            key.kind = PublicKind::Rsa(RsaPublic {
                symmetric: None,
                scheme: Scheme::with_hash(alg::RSASSA, alg::SHA256),
                key_bits: 2048,
                exponent: 0,
                modulus: vec![0xff; 256],
            });
        }
    }
    key
}

/// Which public area, and `+00` for a byte behind it or `empty`.
fn public_bytes(_: &mut World, what: &str, request: &mut EnrolRequest) {
    let (key, how) = what.split_once(' ').unwrap();
    let bytes = match key {
        "ek" => &mut request.ek_public.0,
        "ak" => &mut request.ak_public.0,
        _ => &mut request.dk_public.0,
    };
    match how {
        "empty" => bytes.clear(),
        _ => bytes.push(0),
    }
}

/// RFC 7748 and the list of small-order points on Curve25519.
fn low_order(_: &mut World, point: &str, request: &mut EnrolRequest) {
    request.x25519_public = Fixed(unhex(point).try_into().unwrap());
}

fn bounds(_: &mut World, which: &str, request: &mut EnrolRequest) {
    match which {
        "version" => request.protocol = 2,
        "chain" => request.ek_chain = vec![request.ek_chain[0].clone(); 6],
        _ => request.srk_name.0 = vec![0; 67],
    }
}

/// Sets (`+`) or clears (`-`) an attribute by its name in the specification; it was otherwise.
pub fn change_attribute(key: &mut Public, change: &str) {
    let bit = match &change[1..] {
        "fixedTPM" => attribute::FIXED_TPM,
        "stClear" => attribute::ST_CLEAR,
        "fixedParent" => attribute::FIXED_PARENT,
        "sensitiveDataOrigin" => attribute::SENSITIVE_DATA_ORIGIN,
        "userWithAuth" => attribute::USER_WITH_AUTH,
        "noDA" => attribute::NO_DA,
        "encryptedDuplication" => attribute::ENCRYPTED_DUPLICATION,
        "restricted" => attribute::RESTRICTED,
        "decrypt" => attribute::DECRYPT,
        "sign" => attribute::SIGN,
        "x509sign" => attribute::X509_SIGN,
        "bit31" => 1 << 31,
        other => panic!("no attribute {other}"),
    };
    assert_eq!(key.has(bit), change.starts_with('-'), "{change} changes nothing");
    key.attributes ^= bit;
}

pub fn ecc(public: &mut Public) -> &mut EccPublic {
    match &mut public.kind {
        PublicKind::Ecc(ecc) => ecc,
        PublicKind::Rsa(_) => unreachable!("the key is on a curve"),
    }
}
