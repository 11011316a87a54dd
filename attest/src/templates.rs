//! What an endorsement key, an attestation key and a device key must be.

use crate::certificate::PublicKey;
use crate::refusals::{
    self, AK_ATTRIBUTES, AK_UNRESTRICTED, Check, DK_ATTRIBUTES, DK_IS_AK, EK_STRENGTH, EK_TEMPLATE,
    KEY_SCHEME, Refusal,
};
use crate::tpm::alg::attribute::{
    ADMIN_WITH_POLICY, DECRYPT, FIXED_PARENT, FIXED_TPM, NO_DA, RESTRICTED, SENSITIVE_DATA_ORIGIN,
    SIGN, USER_WITH_AUTH,
};
use crate::tpm::{EccPublic, Public, PublicKind, RsaPublic, Scheme, Symmetric, alg, pad};

/// PolicyA with SHA-256: TPM2_PolicySecret(TPM_RH_ENDORSEMENT) (TCG EK Credential Profile, B.6.2).
const POLICY_A_SHA256: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// PolicyB with SHA-384: PolicyA or an authorised policy (the same, B.6.5).
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
    0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
    0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];

const EK_LOW: u32 =
    FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | ADMIN_WITH_POLICY | RESTRICTED | DECRYPT;
const EK_HIGH: u32 = EK_LOW | USER_WITH_AUTH;

/// Attributes of a device key, and with [`RESTRICTED`] of an attestation key; exactly these.
pub const SIGNING_KEY: u32 =
    FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | NO_DA | SIGN;

/// The endorsement keys a TPM is shipped with certificates for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EkAlgorithm {
    /// TCG template L-1.
    Rsa2048,
    /// TCG template L-2.
    P256,
    /// TCG template H-3.
    P384,
}

impl EkAlgorithm {
    /// As in configuration files: `rsa2048`, `p256`, `p384`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::P256 => "p256",
            Self::P384 => "p384",
        }
    }

    /// The inverse of [`EkAlgorithm::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Rsa2048, Self::P256, Self::P384].into_iter().find(|a| a.name() == name)
    }

    /// The template with this key's value filled in, as the TPM reports it.
    fn with_value_of(self, ek: &Public) -> Option<Public> {
        let aes = |key_bits| Symmetric { algorithm: alg::AES, key_bits, mode: alg::CFB };
        let low = |kind| Public {
            name_alg: alg::SHA256,
            attributes: EK_LOW,
            auth_policy: POLICY_A_SHA256.to_vec(),
            kind,
        };
        let ecc = |value: &EccPublic, curve, key_bits| {
            PublicKind::Ecc(EccPublic {
                symmetric: Some(aes(key_bits)),
                scheme: Scheme::NULL,
                curve,
                kdf: Scheme::NULL,
                x: value.x.clone(),
                y: value.y.clone(),
            })
        };
        match (self, &ek.kind) {
            (Self::Rsa2048, PublicKind::Rsa(value)) => Some(low(PublicKind::Rsa(RsaPublic {
                symmetric: Some(aes(128)),
                scheme: Scheme::NULL,
                key_bits: 2048,
                exponent: 0,
                modulus: value.modulus.clone(),
            }))),
            (Self::P256, PublicKind::Ecc(value)) => Some(low(ecc(value, alg::NIST_P256, 128))),
            (Self::P384, PublicKind::Ecc(value)) => Some(Public {
                name_alg: alg::SHA384,
                attributes: EK_HIGH,
                auth_policy: POLICY_B_SHA384.to_vec(),
                kind: ecc(value, alg::NIST_P384, 256),
            }),
            _ => None,
        }
    }
}

/// The value of an endorsement key, in a form in which TPM and certificate can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValue {
    /// RSA modulus without leading zeros, and exponent.
    Rsa {
        /// Big-endian.
        modulus: Vec<u8>,
        /// 65537 wherever we accept one.
        exponent: u64,
    },
    /// Uncompressed SEC1 point on P-256.
    P256([u8; 65]),
    /// Uncompressed SEC1 point on P-384.
    P384([u8; 97]),
}

/// Demands that `ek` is of a TCG default template, and strong.
///
/// # Errors
/// Checks 7 and 8.
pub fn check_ek(ek: &Public) -> Result<(EkAlgorithm, KeyValue), Refusal> {
    let (algorithm, value) = ek_value(ek)?;
    if algorithm.with_value_of(ek).as_ref() != Some(ek) {
        let template = algorithm.name();
        return Err(EK_TEMPLATE
            .refuse(format_args!("the endorsement key differs from the TCG template {template}")));
    }
    Ok((algorithm, value))
}

fn ek_value(ek: &Public) -> Result<(EkAlgorithm, KeyValue), Refusal> {
    match &ek.kind {
        PublicKind::Rsa(rsa) => Ok((EkAlgorithm::Rsa2048, rsa_value(rsa)?)),
        PublicKind::Ecc(ecc) if ecc.curve == alg::NIST_P256 => {
            let point = ek.p256_point().filter(|p| PublicKey::from_sec1(p).is_ok());
            let point = point.ok_or_else(|| EK_STRENGTH.refuse("a point off the curve P-256"))?;
            Ok((EkAlgorithm::P256, KeyValue::P256(point)))
        }
        PublicKind::Ecc(ecc) if ecc.curve == alg::NIST_P384 => {
            let point = p384_point(ecc).filter(|p| p384::PublicKey::from_sec1_bytes(p).is_ok());
            let point = point.ok_or_else(|| EK_STRENGTH.refuse("a point off the curve P-384"))?;
            Ok((EkAlgorithm::P384, KeyValue::P384(point)))
        }
        PublicKind::Ecc(ecc) => {
            Err(EK_STRENGTH
                .refuse(format_args!("an endorsement key on the curve {:#06x}", ecc.curve)))
        }
    }
}

fn rsa_value(rsa: &RsaPublic) -> Result<KeyValue, Refusal> {
    // The top bit tells the true size, whatever keyBits claims.
    let full = rsa.modulus.len() == 256 && rsa.modulus[0] & 0x80 != 0;
    if rsa.key_bits != 2048 || !full {
        return Err(EK_STRENGTH.refuse(format_args!(
            "an RSA endorsement key of {} bits in {} bytes",
            rsa.key_bits,
            rsa.modulus.len()
        )));
    }
    if rsa.exponent != 0 && rsa.exponent != 65_537 {
        return Err(EK_STRENGTH.refuse(format_args!("the RSA exponent {}", rsa.exponent)));
    }
    Ok(KeyValue::Rsa { modulus: rsa.modulus.clone(), exponent: 65_537 })
}

fn p384_point(ecc: &EccPublic) -> Option<[u8; 97]> {
    let mut point = [0; 97];
    point[0] = 4;
    point[1..49].copy_from_slice(&pad::<48>(&ecc.x)?);
    point[49..].copy_from_slice(&pad::<48>(&ecc.y)?);
    Some(point)
}

/// One thing a key must be.
pub struct Requirement {
    /// In words, to follow "the key must".
    pub must: &'static str,
    /// The check that refuses it.
    pub check: Check,
    holds: fn(&Public) -> bool,
}

const fn require(must: &'static str, check: Check, holds: fn(&Public) -> bool) -> Requirement {
    Requirement { must, check, holds }
}

/// What an attestation key must be, in the order checked.
pub const AK_REQUIREMENTS: &[Requirement] = &[
    require("be restricted to what the TPM itself generated", AK_UNRESTRICTED, |key| {
        key.has(RESTRICTED)
    }),
    require("sign", AK_ATTRIBUTES, |key| key.has(SIGN)),
    require("not decrypt", AK_ATTRIBUTES, |key| !key.has(DECRYPT)),
    require("be fixed to its TPM", AK_ATTRIBUTES, |key| key.has(FIXED_TPM)),
    require("be fixed to its parent", AK_ATTRIBUTES, |key| key.has(FIXED_PARENT)),
    require("have been made by its TPM", AK_ATTRIBUTES, |key| key.has(SENSITIVE_DATA_ORIGIN)),
    require("be usable with its authorisation", AK_ATTRIBUTES, |key| key.has(USER_WITH_AUTH)),
    require("be exempt from lockout", AK_ATTRIBUTES, |key| key.has(NO_DA)),
    require("have no other attribute", AK_ATTRIBUTES, |key| {
        key.attributes == SIGNING_KEY | RESTRICTED
    }),
    require("have a SHA-256 name", KEY_SCHEME, has_sha256_name),
    require("sign with ECDSA and SHA-256", KEY_SCHEME, is_ecdsa_sha256),
    require("be on the curve P-256", KEY_SCHEME, is_p256),
];

/// What a device key must be, in the order checked.
pub const DK_REQUIREMENTS: &[Requirement] = &[
    require("not be restricted", DK_ATTRIBUTES, |key| !key.has(RESTRICTED)),
    require("sign", DK_ATTRIBUTES, |key| key.has(SIGN)),
    require("not decrypt", DK_ATTRIBUTES, |key| !key.has(DECRYPT)),
    require("be fixed to its TPM", DK_ATTRIBUTES, |key| key.has(FIXED_TPM)),
    require("be fixed to its parent", DK_ATTRIBUTES, |key| key.has(FIXED_PARENT)),
    require("have been made by its TPM", DK_ATTRIBUTES, |key| key.has(SENSITIVE_DATA_ORIGIN)),
    require("be usable with its authorisation", DK_ATTRIBUTES, |key| key.has(USER_WITH_AUTH)),
    require("be exempt from lockout", DK_ATTRIBUTES, |key| key.has(NO_DA)),
    require("have no other attribute", DK_ATTRIBUTES, |key| key.attributes == SIGNING_KEY),
    require("have a SHA-256 name", KEY_SCHEME, has_sha256_name),
    require("sign with ECDSA and SHA-256", KEY_SCHEME, is_ecdsa_sha256),
    require("be on the curve P-256", KEY_SCHEME, is_p256),
];

fn has_sha256_name(key: &Public) -> bool {
    key.name_alg == alg::SHA256
}

fn is_ecdsa_sha256(key: &Public) -> bool {
    matches!(&key.kind, PublicKind::Ecc(ecc)
        if ecc.scheme == Scheme::with_hash(alg::ECDSA, alg::SHA256)
            && ecc.kdf == Scheme::NULL
            && ecc.symmetric.is_none())
}

fn is_p256(key: &Public) -> bool {
    key.p256_point().is_some_and(|point| PublicKey::from_sec1(&point).is_ok())
}

/// Demands that `ak` may vouch for others; its verifying key.
///
/// # Errors
/// Checks 12 to 14.
pub fn check_ak(ak: &Public) -> Result<PublicKey, Refusal> {
    check_signing_key("attestation key", AK_REQUIREMENTS, ak)
}

/// Demands that `dk` may authenticate a device and is not its attestation key; its verifying key.
///
/// # Errors
/// Checks 14 to 16.
pub fn check_dk(dk: &Public, ak: &Public) -> Result<PublicKey, Refusal> {
    let key = check_signing_key("device key", DK_REQUIREMENTS, dk)?;
    if dk.p256_point() == ak.p256_point() {
        return Err(DK_IS_AK.refuse("the device key is the attestation key"));
    }
    Ok(key)
}

fn check_signing_key(
    what: &str,
    requirements: &[Requirement],
    key: &Public,
) -> Result<PublicKey, Refusal> {
    for requirement in requirements {
        if !(requirement.holds)(key) {
            let must = requirement.must;
            return Err(requirement.check.refuse(format_args!("the {what} must {must}")));
        }
    }
    let point = key.p256_point().ok_or_else(|| refusals::KEY_SCHEME.refuse("no P-256 point"))?;
    PublicKey::from_sec1(&point).map_err(|error| refusals::KEY_SCHEME.refuse(error))
}
