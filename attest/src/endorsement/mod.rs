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
//! Who may vouch is the policy's: roots of TPMs, roots of software TPMs, and intermediates that
//! help to reach either and are themselves no anchors.
//!
//! Revocation lists of vendors are not consulted.

mod anchors;
mod parsed;
mod path;
mod signature;

use jiff::Timestamp;

use crate::messages::CHAIN_MAX;
use crate::refusals::{CERTIFICATE_FORM, PROTOCOL_VERSION, Refusal, SOFTWARE_TPM};
use crate::templates::KeyValue;
use parsed::Parsed;

pub use anchors::{AnchorError, AnchorFacts, AnchorList, Anchors};
pub use path::PATH_MAX;

/// Manufacturer of software TPMs: the value of tpmManufacturer in swtpm's certificates.
const SOFTWARE_MANUFACTURER: &str = "id:00001014";

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
    /// Whether this is a software TPM: by its manufacturer, or because only a root of software
    /// TPMs vouches for it.
    pub software: bool,
    /// Subject of the anchor that vouches.
    pub anchor: String,
    /// SHA-256 of the certificate's DER.
    pub certificate_sha256: [u8; 32],
}

/// Validates the endorsement certificate `leaf` at `now`; `chain` and the installed intermediates
/// may help to reach an anchor.
///
/// A certificate of a software TPM must lead to a root of software TPMs. One that says something
/// else and leads to such a root alone is of a software TPM too: its maker may write anything.
///
/// # Errors
/// Checks 1, 3 to 6, 8, 10 and 53.
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
    let sent: Vec<_> =
        chain.iter().map(|der| Parsed::parse(der.as_ref())).collect::<Result<_, _>>()?;
    let chain: Vec<&Parsed> = sent.iter().chain(&anchors.intermediates().0).collect();
    let manufacturer = parsed.tpm_attribute(parsed::TPM_MANUFACTURER);
    let says_software = manufacturer.as_deref() == Some(SOFTWARE_MANUFACTURER);
    let by_hardware = path::find(&parsed, &chain, &anchors.roots().0, now);
    let (anchor, software) = match by_hardware {
        Ok(anchor) if !says_software => (anchor, false),
        other => match (path::find(&parsed, &chain, &anchors.software_roots().0, now), other) {
            (Ok(anchor), _) => (anchor, true),
            (Err(_), Ok(anchor)) => return Err(software_under(anchor)),
            (Err(refusal), Err(_)) if says_software => return Err(refusal),
            (Err(_), Err(refusal)) => return Err(refusal),
        },
    };
    Ok(Endorsement {
        software,
        manufacturer,
        model: parsed.tpm_attribute(parsed::TPM_MODEL),
        version: parsed.tpm_attribute(parsed::TPM_VERSION),
        anchor: anchor.subject.to_string(),
        certificate_sha256: parsed.sha256,
        key: parsed.key,
    })
}

fn software_under(anchor: &Parsed) -> Refusal {
    SOFTWARE_TPM.refuse(format_args!(
        "a software TPM, but this policy does not take them from {}",
        anchor.subject
    ))
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
