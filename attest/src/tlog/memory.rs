//! What a verifier remembers of a log, and what it keeps when the log forks.
//!
//! The first checkpoint is taken on trust in the log's key; each later one must extend it. Two
//! heads of one size and different roots prove by themselves that the log's key signed two
//! histories. A larger head without a valid consistency proof proves nothing about the log yet,
//! since whoever relayed the proof may have broken it; both checkpoints are kept all the same:
//! the log must be able to show the proof for them, to anybody.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::hash::Hash;
use super::merkle::{ProofError, verify_consistency};
use super::note::NoteKey;

/// The last checkpoint seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    last: SignedCheckpoint,
}

impl Memory {
    /// Begins with a checkpoint: the first one seen, or the one stored before a restart.
    pub fn begin(first: SignedCheckpoint) -> Self {
        Self { last: first }
    }

    /// The checkpoint to store, and to demand the next consistency proof from.
    pub fn last(&self) -> &SignedCheckpoint {
        &self.last
    }

    /// Moves on to `next`, or says why not; the old memory stays valid then.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn advance(&self, next: SignedCheckpoint, proof: &[Hash]) -> Result<Self, Refused> {
        let (last, offered) = (self.last.head(), next.head());
        if self.last.origin() != next.origin() {
            return Err(Refused::OtherLog(next.origin().to_owned()));
        }
        if offered.size < last.size {
            return Err(Refused::WentBack { offered: offered.size, last: last.size });
        }
        match verify_consistency(last, offered, proof) {
            Ok(()) => Ok(Self { last: next }),
            Err(_) if last.size == offered.size && last.root != offered.root => {
                Err(Refused::Fork(Evidence::of(&self.last, &next)))
            }
            Err(error) => Err(Refused::Unproven(error, Evidence::of(&self.last, &next))),
        }
    }

    /// Takes a checkpoint that may also be older than the last one, as a relay's may be that asked
    /// a moment earlier: `proof` must link the smaller of the two to the larger. The memory never
    /// gets shorter.
    ///
    /// # Errors
    /// [`Refused`], never as having gone back.
    pub fn admit(&self, shown: SignedCheckpoint, proof: &[Hash]) -> Result<Self, Refused> {
        let (last, offered) = (self.last.head(), shown.head());
        if offered.size >= last.size || self.last.origin() != shown.origin() {
            return self.advance(shown, proof);
        }
        match verify_consistency(offered, last, proof) {
            Ok(()) => Ok(self.clone()),
            Err(error) => Err(Refused::Unproven(error, Evidence::of(&self.last, &shown))),
        }
    }
}

/// Why a checkpoint does not replace the one remembered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Of another log.
    #[error("the checkpoint is of the log {0}")]
    OtherLog(String),
    /// Older than what was seen: whoever sent it hides entries, or is late.
    #[error("the checkpoint has {offered} entries, but one of {last} was seen before")]
    WentBack {
        /// Its size.
        offered: u64,
        /// Of the checkpoint remembered.
        last: u64,
    },
    /// The log's key signed two histories. Store the evidence and tell the operator.
    #[error("the log was forked: its key signed two roots for one size")]
    Fork(Evidence),
    /// It was not shown that the log was only appended to. Store the evidence and ask again.
    #[error("the log does not show that it was only appended to: {0}")]
    Unproven(ProofError, Evidence),
}

impl Refused {
    /// The two checkpoints, where they are worth keeping.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Fork(evidence) | Self::Unproven(_, evidence) => Some(evidence),
            Self::OtherLog(_) | Self::WentBack { .. } => None,
        }
    }
}

/// Two signed checkpoints of one log that were not shown to belong to one history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The signed note that was remembered.
    pub remembered: String,
    /// The signed note that was refused.
    pub refused: String,
}

/// What evidence shows to somebody who trusts only the log's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key signed two histories.
    Forked,
    /// The key signed both; the log owes a consistency proof between these sizes.
    Owed {
        /// Size of the older one.
        old: u64,
        /// Size of the newer one.
        new: u64,
    },
    /// The same head twice: no evidence of anything.
    Same,
}

impl Evidence {
    fn of(remembered: &SignedCheckpoint, refused: &SignedCheckpoint) -> Self {
        Self { remembered: remembered.to_string(), refused: refused.to_string() }
    }

    /// Judges stored evidence again, by the log's key from outside.
    ///
    /// # Errors
    /// [`CheckpointError`]: not evidence, since the key did not sign both.
    pub fn judge(&self, key: &NoteKey) -> Result<Verdict, CheckpointError> {
        let one = *SignedCheckpoint::verify(self.remembered.as_bytes(), key)?.head();
        let other = *SignedCheckpoint::verify(self.refused.as_bytes(), key)?.head();
        Ok(if one == other {
            Verdict::Same
        } else if one.size == other.size {
            Verdict::Forked
        } else {
            Verdict::Owed { old: one.size.min(other.size), new: one.size.max(other.size) }
        })
    }
}
