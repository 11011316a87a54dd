//! That the members of a round are in the authority's log, as the aggregator shows it to each of
//! them.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::hex;
use crate::inclusion::{InclusionError, MembersProof, MembersRequest};
use crate::tlog::checkpoint::SignedCheckpoint;
use crate::tlog::note::NoteKey;

/// What the authority was asked, and its answer. `GET /v1/rounds/{id}/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterProof {
    /// SHA-256 of each certificate, hex, in the order of the proof's members.
    pub certificates: Vec<String>,
    /// The authority's proof for them.
    pub proof: MembersProof,
}

/// Why a proof for a roster is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RosterProofError {
    /// It is about a certificate that nobody in the roster has.
    #[error("it is about the certificate {0}, which is not in the roster")]
    Stranger(String),
    /// It does not prove what it should.
    #[error(transparent)]
    Inclusion(#[from] InclusionError),
}

impl RosterProof {
    /// Puts question and answer together.
    pub fn new(request: MembersRequest, proof: MembersProof) -> Self {
        Self { certificates: request.certificates, proof }
    }

    /// The checkpoint, and the SHA-256 of those certificates (DER) of the roster that this proves
    /// to be in the log of `key`. A certificate of the roster that is not among them is not
    /// proven.
    ///
    /// # Errors
    /// [`RosterProofError`].
    pub fn verify<C: AsRef<[u8]>>(
        &self,
        roster: &[C],
        key: &NoteKey,
    ) -> Result<(SignedCheckpoint, HashSet<[u8; 32]>), RosterProofError> {
        let hash = |der: &C| <[u8; 32]>::from(Sha256::digest(der.as_ref()));
        let by_hash: HashMap<String, &[u8]> =
            roster.iter().map(|der| (hex::encode(&hash(der)), der.as_ref())).collect();
        let named = self.certificates.iter().map(|name| {
            by_hash.get(name).copied().ok_or_else(|| RosterProofError::Stranger(name.clone()))
        });
        let named: Vec<&[u8]> = named.collect::<Result<_, _>>()?;
        let checkpoint = self.proof.verify(&named, key)?;
        let proven = named.iter().map(|der| Sha256::digest(der).into()).collect();
        Ok((checkpoint, proven))
    }
}
