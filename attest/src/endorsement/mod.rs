//! Who vouches for an endorsement key: its certificate, up to an installed anchor.
//!
//! Own path validation, because the vendors' chains do not pass a Web PKI validator: many mark
//! certificatePolicies critical, and many roots are signed with SHA-1. The rules (RFC 5280, 6.1,
//! less what no endorsement chain has; TCG EK Credential Profile, 3):
//!
//! - at most [`PATH_MAX`] certificates, leaf and anchor included;
//! - keys: RSA of 2048 to 8192 bits with exponent 65537, P-256, P-384; signatures below the
//!   anchor with SHA-256 or better; the anchor's own signature does not matter;
//! - every certificate, the anchor too, within its validity;
//! - every issuer is a CA by basicConstraints, within its pathLen, and may sign certificates;
//! - the leaf is no CA, and is for endorsement (2.23.133.8.1) if it has extended key usages;
//! - no critical extension but basicConstraints, keyUsage, extKeyUsage, certificatePolicies, and
//!   subjectAltName with directory names alone, as TPM certificates have them;
//! - names are equal if their DER is.
//!
//! Revocation lists of vendors are not consulted.

mod parsed;
mod path;
mod signature;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::certificate::chain_from_pem;
use crate::messages::CHAIN_MAX;
use crate::refusals::{CERTIFICATE_FORM, PROTOCOL_VERSION, Refusal};
use crate::templates::KeyValue;
use parsed::Parsed;

pub use path::PATH_MAX;

/// Manufacturer of software TPMs: the value of tpmManufacturer in swtpm's certificates.
const SOFTWARE_MANUFACTURER: &str = "id:00001014";

/// The certificates an operator trusts to vouch for endorsement keys: roots or intermediates.
#[derive(Debug)]
pub struct Anchors(Vec<Parsed>);

/// A file of anchors that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnchorError {
    /// Not PEM with certificates.
    #[error("no certificates in PEM form: {0}")]
    Pem(String),
    /// One certificate that cannot be read.
    #[error("certificate {index} cannot be an anchor: {why}")]
    Certificate {
        /// Which, from 0.
        index: usize,
        /// Why.
        why: String,
    },
}

impl Anchors {
    /// Trusts these certificates, DER. An empty list trusts nobody.
    ///
    /// # Errors
    /// [`AnchorError::Certificate`].
    pub fn from_der<C: AsRef<[u8]>>(certificates: &[C]) -> Result<Self, AnchorError> {
        let parse = |(index, der): (usize, &C)| {
            Parsed::parse(der.as_ref())
                .map_err(|refusal| AnchorError::Certificate { index, why: refusal.detail })
        };
        certificates.iter().enumerate().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Trusts the certificates of a PEM text.
    ///
    /// # Errors
    /// [`AnchorError`].
    pub fn from_pem(text: &str) -> Result<Self, AnchorError> {
        let chain = chain_from_pem(text).map_err(|error| AnchorError::Pem(error.to_string()))?;
        Self::from_der(&chain)
    }

    /// Trusts those of `other` too.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A certificate found valid, and what it says about its TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsement {
    /// The certified key.
    pub key: KeyValue,
    /// tpmManufacturer (2.23.133.2.1), as `id:` and eight hex digits.
    pub manufacturer: Option<String>,
    /// tpmModel (2.23.133.2.2).
    pub model: Option<String>,
    /// tpmVersion (2.23.133.2.3): firmware, as the certificate says it.
    pub version: Option<String>,
    /// Whether the manufacturer is the one of software TPMs.
    pub software: bool,
    /// Subject of the anchor that vouches.
    pub anchor: String,
    /// SHA-256 of the certificate's DER.
    pub certificate_sha256: [u8; 32],
}

/// Validates the endorsement certificate `leaf` at `now`; `chain` may help to reach an anchor.
///
/// # Errors
/// Checks 1, 3 to 6, 8 and 53.
pub fn validate<C: AsRef<[u8]>>(
    leaf: &[u8],
    chain: &[C],
    anchors: &Anchors,
    now: Timestamp,
) -> Result<Endorsement, Refusal> {
    if chain.len() > CHAIN_MAX {
        return Err(PROTOCOL_VERSION.refuse(format_args!("more than {CHAIN_MAX} certificates")));
    }
    let parsed = Parsed::parse(leaf)?;
    let chain: Vec<_> =
        chain.iter().map(|der| Parsed::parse(der.as_ref())).collect::<Result<_, _>>()?;
    let anchor = path::find(&parsed, &chain, &anchors.0, now)?;
    let manufacturer = parsed.tpm_attribute(parsed::TPM_MANUFACTURER);
    Ok(Endorsement {
        software: manufacturer.as_deref() == Some(SOFTWARE_MANUFACTURER),
        manufacturer,
        model: parsed.tpm_attribute(parsed::TPM_MODEL),
        version: parsed.tpm_attribute(parsed::TPM_VERSION),
        anchor: anchor.subject.to_string(),
        certificate_sha256: Sha256::digest(leaf).into(),
        key: parsed.key,
    })
}

/// Cuts the content of an NV index to the certificate in it.
///
/// An index may be larger than its certificate; only bytes 0x00 or 0xff may follow.
///
/// # Errors
/// Check 4.
pub fn trim_nv_padding(content: &[u8]) -> Result<&[u8], Refusal> {
    let refuse = || CERTIFICATE_FORM.refuse("the NV index does not hold one DER certificate");
    let length = der_length(content).ok_or_else(refuse)?;
    let (certificate, padding) = content.split_at_checked(length).ok_or_else(refuse)?;
    let uniform = |byte| padding.iter().all(|b| *b == byte);
    if uniform(0x00) || uniform(0xff) { Ok(certificate) } else { Err(refuse()) }
}

/// Length of the SEQUENCE with a two-byte length that `bytes` begins with.
///
/// Every certificate is between 256 and 65535 bytes long, so no other form of length occurs.
fn der_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0x30, 0x82, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}
