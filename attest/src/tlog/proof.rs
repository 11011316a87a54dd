//! One entry's proof as a file that can be checked offline: C2SP tlog-proof.

use std::fmt;

use thiserror::Error;

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::hash::Hash;
use super::merkle::{ProofError, verify_inclusion};
use super::note::{Note, NoteError, NoteKey};
use super::text::{decode_base64, decode_number, encode_base64};

/// Longest proof file, in bytes.
pub const PROOF_MAX: usize = 256 * 1024;

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// Most hashes from a leaf to the root.
const HASHES_MAX: usize = 63;

/// That an entry is number `index` of a log with this checkpoint. Means nothing before
/// [`LogProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    extra: Option<Vec<u8>>,
    index: u64,
    hashes: Vec<Hash>,
    checkpoint: Note,
}

impl LogProof {
    /// Puts a proof together from what [`super::merkle::prove_inclusion`] made for the tree of
    /// this checkpoint.
    pub fn new(index: u64, hashes: Vec<Hash>, checkpoint: &SignedCheckpoint) -> Self {
        Self { extra: None, index, hashes, checkpoint: checkpoint.note().clone() }
    }

    /// Adds data beside the proof, which nothing authenticates.
    #[must_use]
    pub fn with_extra(self, extra: Vec<u8>) -> Self {
        Self { extra: Some(extra), ..self }
    }

    /// Reads the file; any other spelling than that of [`fmt::Display`] is refused.
    ///
    /// # Errors
    /// [`LogProofError::Malformed`], or the note's.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogProofError> {
        let (head, checkpoint) = str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= PROOF_MAX)
            .and_then(|text| text.strip_prefix(HEADER)?.split_once("\n\n"))
            .ok_or(LogProofError::Malformed)?;
        let checkpoint = Note::parse(checkpoint.as_bytes())?;
        Self::parse_head(head, checkpoint).ok_or(LogProofError::Malformed)
    }

    fn parse_head(head: &str, checkpoint: Note) -> Option<Self> {
        let mut lines = head.split('\n').peekable();
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(decode_base64(line.strip_prefix("extra ")?)?),
            None => None,
        };
        let index = decode_number(lines.next()?.strip_prefix("index ")?)?;
        let hashes: Vec<Hash> =
            lines.map(Hash::parse).take(HASHES_MAX + 1).collect::<Option<_>>()?;
        (hashes.len() <= HASHES_MAX).then_some(Self { extra, index, hashes, checkpoint })
    }

    /// Position of the entry in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Data beside the proof; nothing authenticates it.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Checks that `entry` is in the log that `key` belongs to, and returns the checkpoint that
    /// says so.
    ///
    /// # Errors
    /// [`LogProofError`].
    pub fn verify(&self, entry: &[u8], key: &NoteKey) -> Result<SignedCheckpoint, LogProofError> {
        let checkpoint = SignedCheckpoint::from_note(self.checkpoint.clone(), key)?;
        verify_inclusion(&Hash::of_leaf(entry), self.index, checkpoint.head(), &self.hashes)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", encode_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Why a proof file is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogProofError {
    /// Not a proof file.
    #[error("not a tlog-proof file")]
    Malformed,
    /// What should be the checkpoint is not signed text.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The checkpoint is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not in the log at that place.
    #[error(transparent)]
    Proof(#[from] ProofError),
}
