//! A pinned key and a memory: what a member of the fleet keeps of the authority's log.
//!
//! The first key is taken from whom TLS shows to be the authority; from then on no other is
//! believed, and every checkpoint must belong to one history with those seen before, whoever
//! relays it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::hash::Hash;
use super::memory::{Memory, Refused};
use super::note::{KeyError, NoteKey};

/// Knows one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    key: NoteKey,
    memory: Memory,
}

/// A [`Witness`] as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The log's verifier key, one line without its end.
    pub vkey: String,
    /// The last checkpoint, a signed note.
    pub checkpoint: String,
}

/// Why there is no witness of a log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WitnessError {
    /// Not a verifier key.
    #[error("the log's key: {0}")]
    Key(#[from] KeyError),
    /// The checkpoint is not by that key.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Witness {
    /// Begins with a key and a checkpoint: the first ones shown, or those stored.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn begin(vkey: &str, checkpoint: &str) -> Result<Self, WitnessError> {
        let key = NoteKey::parse(vkey)?;
        let memory = Memory::begin(SignedCheckpoint::verify(checkpoint.as_bytes(), &key)?);
        Ok(Self { key, memory })
    }

    /// What to store.
    pub fn kept(&self) -> Kept {
        Kept { vkey: self.key.to_string(), checkpoint: self.memory.last().to_string() }
    }

    /// The pinned key.
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    /// The last checkpoint.
    pub fn last(&self) -> &SignedCheckpoint {
        self.memory.last()
    }

    /// Sizes between which the log must show consistency before `shown` is taken; `None` if the
    /// two heads alone decide.
    pub fn owed(&self, shown: &SignedCheckpoint) -> Option<(u64, u64)> {
        let (last, shown) = (self.last().head().size, shown.head().size);
        (last != shown).then(|| (last.min(shown), last.max(shown)))
    }

    /// Takes a checkpoint with the proof between the sizes of [`Witness::owed`], empty for none.
    ///
    /// # Errors
    /// [`Refused`]; this witness stays as it is.
    pub fn admit(&self, shown: SignedCheckpoint, proof: &[Hash]) -> Result<Self, Refused> {
        Ok(Self { key: self.key.clone(), memory: self.memory.admit(shown, proof)? })
    }
}

impl TryFrom<&Kept> for Witness {
    type Error = WitnessError;

    fn try_from(kept: &Kept) -> Result<Self, WitnessError> {
        Self::begin(&kept.vkey, &kept.checkpoint)
    }
}
