//! The certificates that an operator installed.

use jiff::Timestamp;
use thiserror::Error;

use super::parsed::Parsed;
use crate::certificate::chain_from_pem;
use crate::hex;

/// The certificates an operator lets vouch for endorsement keys, in three lists.
#[derive(Debug, Default)]
pub struct Anchors {
    roots: AnchorList,
    software_roots: AnchorList,
    intermediates: AnchorList,
}

/// One list of them, without repetitions.
#[derive(Debug, Default)]
pub struct AnchorList(pub(super) Vec<Parsed>);

/// What an operator wants to know about one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorFacts {
    /// Its subject.
    pub subject: String,
    /// SHA-256 of its DER, hex.
    pub sha256: String,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Whether it may issue certificates at all; otherwise it vouches for nothing.
    pub is_authority: bool,
}

/// Certificates that cannot be used.
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
    /// Trusts these certificates, DER, to vouch for TPMs. An empty list trusts nobody.
    ///
    /// # Errors
    /// [`AnchorError::Certificate`].
    pub fn from_der<C: AsRef<[u8]>>(certificates: &[C]) -> Result<Self, AnchorError> {
        Ok(Self { roots: AnchorList::from_der(certificates)?, ..Self::default() })
    }

    /// Trusts the certificates of a PEM text.
    ///
    /// # Errors
    /// [`AnchorError`].
    pub fn from_pem(text: &str) -> Result<Self, AnchorError> {
        let chain = chain_from_pem(text).map_err(|error| AnchorError::Pem(error.to_string()))?;
        Self::from_der(&chain)
    }

    /// Trusts these, DER, to vouch for software TPMs, in the place of those before.
    ///
    /// # Errors
    /// [`AnchorError::Certificate`].
    pub fn with_software<C: AsRef<[u8]>>(mut self, roots: &[C]) -> Result<Self, AnchorError> {
        self.software_roots = AnchorList::from_der(roots)?;
        Ok(self)
    }

    /// Takes these, DER, for intermediates that a device need not send, in the place of those
    /// before. They are no anchors.
    ///
    /// # Errors
    /// [`AnchorError::Certificate`].
    pub fn with_intermediates<C: AsRef<[u8]>>(mut self, list: &[C]) -> Result<Self, AnchorError> {
        self.intermediates = AnchorList::from_der(list)?;
        Ok(self)
    }

    /// Who vouches for TPMs: roots, or intermediates in their place.
    pub fn roots(&self) -> &AnchorList {
        &self.roots
    }

    /// Who vouches for software TPMs.
    pub fn software_roots(&self) -> &AnchorList {
        &self.software_roots
    }

    /// What helps to reach a root.
    pub fn intermediates(&self) -> &AnchorList {
        &self.intermediates
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.roots.0.is_empty() && self.software_roots.0.is_empty()
    }
}

impl AnchorList {
    fn from_der<C: AsRef<[u8]>>(certificates: &[C]) -> Result<Self, AnchorError> {
        let mut list: Vec<Parsed> = Vec::new();
        for (index, der) in certificates.iter().enumerate() {
            let parsed = Parsed::parse(der.as_ref())
                .map_err(|refusal| AnchorError::Certificate { index, why: refusal.detail })?;
            if list.iter().all(|known| known.sha256 != parsed.sha256) {
                list.push(parsed);
            }
        }
        Ok(Self(list))
    }

    /// Each of them.
    pub fn facts(&self) -> Vec<AnchorFacts> {
        self.0.iter().map(facts).collect()
    }

    /// SHA-256 of each, hex, ascending: the list, however it was filed.
    pub fn fingerprints(&self) -> Vec<String> {
        let mut all: Vec<String> = self.0.iter().map(|one| hex::encode(&one.sha256)).collect();
        all.sort_unstable();
        all
    }
}

fn facts(certificate: &Parsed) -> AnchorFacts {
    let is_authority = certificate.basic_constraints.as_ref().is_some_and(|c| c.ca);
    AnchorFacts {
        subject: certificate.subject.to_string(),
        sha256: hex::encode(&certificate.sha256),
        not_after: certificate.not_after,
        is_authority,
    }
}
