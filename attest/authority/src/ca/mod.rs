//! The certification authority of a fleet: built in, or the company's own (Vault or OpenBao).
//!
//! Either signs three kinds of leaf (table in [`sealsum_attest::certificate`]), each for a subject
//! that the authority has judged. What comes from elsewhere is [checked](check) before it is used.

pub mod builtin;
pub mod check;
pub mod vault;

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sealsum_attest::certificate::{Identity, PublicKey, Role};
use sealsum_attest::ids::Fleet;
use sealsum_attest::names::Names;

use builtin::BuiltIn;
use vault::Vault;

/// Certificates start this much early: devices' clocks are not exact.
const CLOCK_SKEW_S: u64 = 300;

/// The CA could not read its files or sign.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// `ca.pem` or `ca.key` is not what `init` wrote.
    #[error("the CA's files: {0}")]
    Files(String),
    /// The certificate asked for cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Profile(String),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The CA does not answer at the moment; the same request may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The CA said no, or made another certificate than was asked for; its operator must act.
    #[error("{0}")]
    Refused(String),
    /// The request does not ask for the names that its sender has.
    #[error("{0}")]
    Names(String),
}

/// What a leaf certificate shall say.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Whom it speaks for.
    pub role: Role,
    /// Its key.
    pub public_key: PublicKey,
    /// The X25519 identity; of devices only.
    pub x25519: Option<[u8; 32]>,
    /// DNS names; of servers only.
    pub dns_names: Vec<String>,
    /// Addresses; of servers only.
    pub addresses: Vec<IpAddr>,
}

impl Leaf {
    /// The names that a CA which signs those of the request must be asked for.
    #[must_use]
    pub fn names(&self, fleet: &Fleet) -> Names {
        Names {
            dns_names: self.dns_names.iter().cloned().collect(),
            addresses: self.addresses.iter().copied().collect(),
            ..Names::of_role(&self.role, fleet, self.x25519.as_ref())
        }
    }
}

/// A signed leaf certificate.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub der: Vec<u8>,
    /// The chain to send with it, PEM, leaf first. The CA itself is pinned, so it is left out.
    pub chain_pem: String,
    /// Serial number as in the DER.
    pub serial: Vec<u8>,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
}

impl Issued {
    /// A certificate that was read and found good.
    pub(crate) fn from_certificate(der: Vec<u8>, identity: &Identity) -> Self {
        Self {
            chain_pem: pem("CERTIFICATE", &der),
            serial: identity.serial.clone(),
            not_before: identity.not_before,
            not_after: identity.not_after,
            spki_sha256: identity.spki_sha256,
            der,
        }
    }

    /// When two thirds of its life are over.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before.saturating_add(life * 2 / 3).unwrap_or(self.not_after)
    }
}

/// PEM (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

/// The certification authority of one fleet. Its methods may block for some seconds.
pub enum Ca {
    /// A key file of this program.
    BuiltIn(Box<BuiltIn>),
    /// Vault's or OpenBao's PKI.
    Vault(Box<Vault>),
}

impl Ca {
    /// Signs a leaf that lives for at most `lifetime_s` seconds; `csr` is the subject's PKCS#10
    /// request, its signature verified. The caller records the certificate before it leaves the
    /// machine.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn issue(
        &self,
        leaf: &Leaf,
        csr: &[u8],
        lifetime_s: u64,
        now: Timestamp,
    ) -> Result<Issued, CaError> {
        match self {
            Self::BuiltIn(ca) => ca.issue(leaf, lifetime_s, now),
            Self::Vault(ca) => ca.issue(leaf, csr, lifetime_s, now),
        }
    }

    /// Why it cannot sign at the moment, if it cannot.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Vault(ca) => ca.problem(),
        }
    }

    /// The CA behind this program, if it is not this program itself.
    #[must_use]
    pub fn external(&self) -> Option<&Vault> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Vault(ca) => Some(ca),
        }
    }
}
