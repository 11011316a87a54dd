//! That a certificate is in the authority's log: what the authority hands out, and how devices and
//! aggregators check it.
//!
//! The entry itself does not travel: it is rebuilt from the certificate, so a proof of another
//! certificate's entry proves nothing. Each check returns the checkpoint that it was made
//! against, to be held against the last one seen ([`crate::tlog::memory`]).

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::certificate::CertificateError;
use crate::events::certificate_issued;
use crate::hex;
use crate::tlog::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::tlog::merkle::{ProofError, verify_inclusion};
use crate::tlog::note::NoteKey;
use crate::tlog::{Hash, batch};

/// Most certificates in one [`MembersRequest`].
pub const MEMBERS_MAX: usize = 10_000;

/// Longest body of a [`MembersRequest`], in bytes.
pub const MEMBERS_BODY_MAX: usize = 1024 * 1024;

/// That one certificate is in the log; comes with the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inclusion {
    /// The log's verifier key (C2SP signed-note). Believed once, over the authenticated
    /// connection of the enrolment; compared from then on.
    pub vkey: String,
    /// A signed checkpoint of the log that covers the certificate.
    pub checkpoint: String,
    /// Index of the entry.
    pub index: u64,
    /// When the entry was made, Unix seconds.
    pub ts: i64,
    /// RFC 6962 inclusion proof, base64.
    pub proof: Vec<Hash>,
}

impl Inclusion {
    /// Checks that the certificate (DER) is where this says, in the log of `key`.
    ///
    /// # Errors
    /// [`InclusionError`].
    pub fn verify(&self, der: &[u8], key: &NoteKey) -> Result<SignedCheckpoint, InclusionError> {
        let checkpoint = SignedCheckpoint::verify(self.checkpoint.as_bytes(), key)?;
        let leaf = Hash::of_leaf(&certificate_issued(der, self.index, self.ts)?);
        verify_inclusion(&leaf, self.index, checkpoint.head(), &self.proof)?;
        Ok(checkpoint)
    }
}

/// Asks for one proof for many certificates. `POST /v1/log/members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersRequest {
    /// SHA-256 of each certificate, hex; each once, at most [`MEMBERS_MAX`].
    pub certificates: Vec<String>,
}

impl MembersRequest {
    /// Asks about these certificates (DER).
    pub fn about<C: AsRef<[u8]>>(certificates: &[C]) -> Self {
        let hash = |der: &C| hex::encode(&Sha256::digest(der.as_ref()));
        Self { certificates: certificates.iter().map(hash).collect() }
    }
}

/// Where and when a certificate was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Index of the entry.
    pub index: u64,
    /// Unix seconds.
    pub ts: i64,
}

/// One proof for many certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersProof {
    /// A signed checkpoint of the log that covers all of them.
    pub checkpoint: String,
    /// Their places, in the order of the request.
    pub members: Vec<Place>,
    /// The batch proof ([`batch`]) for their indices in ascending order, base64.
    pub proof: Vec<Hash>,
}

impl MembersProof {
    /// Checks that each of the certificates (DER), in the order of the request, is in the log of
    /// `key`.
    ///
    /// # Errors
    /// [`InclusionError`].
    pub fn verify<C: AsRef<[u8]>>(
        &self,
        certificates: &[C],
        key: &NoteKey,
    ) -> Result<SignedCheckpoint, InclusionError> {
        if certificates.len() != self.members.len() {
            let (expected, found) = (certificates.len(), self.members.len());
            return Err(InclusionError::Count { expected, found });
        }
        let checkpoint = SignedCheckpoint::verify(self.checkpoint.as_bytes(), key)?;
        let mut leaves = certificates
            .iter()
            .zip(&self.members)
            .map(|(der, Place { index, ts })| {
                let entry = certificate_issued(der.as_ref(), *index, *ts)?;
                Ok((*index, Hash::of_leaf(&entry)))
            })
            .collect::<Result<Vec<_>, CertificateError>>()?;
        leaves.sort_unstable();
        batch::verify(&leaves, checkpoint.head(), &self.proof)?;
        Ok(checkpoint)
    }
}

/// That the log of `from` entries is the beginning of that of `to`.
/// `GET /v1/log/consistency?from=N&to=M`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Size of the older tree.
    pub from: u64,
    /// Size of the newer tree.
    pub to: u64,
    /// RFC 6962 consistency proof, base64; [`crate::tlog::merkle::verify_consistency`].
    pub proof: Vec<Hash>,
}

/// Why a certificate does not count as logged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InclusionError {
    /// It is no certificate of a fleet.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The checkpoint is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It is not where it is said to be.
    #[error("the certificate is not shown to be in the log: {0}")]
    Proof(#[from] ProofError),
    /// Not as many places as certificates.
    #[error("{found} places in the log for {expected} certificates")]
    Count {
        /// Certificates asked about.
        expected: usize,
        /// Places given.
        found: usize,
    },
}
