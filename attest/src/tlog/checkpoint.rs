//! A signed tree head: C2SP tlog-checkpoint.
//!
//! The origin is the name of the log's key. Extension lines of others are kept, ours has none.

use std::fmt;

use thiserror::Error;

use super::hash::{Hash, TreeHead};
use super::note::{Note, NoteError, NoteKey, SignError};
use super::text::{SIZE_MAX, decode_number};

/// The text of a checkpoint, signed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    head: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint of the log `origin`; `None` if the origin is empty or has control characters,
    /// or there is no such tree.
    pub fn new(origin: &str, head: TreeHead) -> Option<Self> {
        let is_line = !origin.is_empty() && !origin.contains(|character| character < ' ');
        let is_tree =
            head.size <= SIZE_MAX && (head.size != 0 || head.root == Hash::of_empty_tree());
        (is_line && is_tree).then(|| Self {
            origin: origin.to_owned(),
            head,
            extensions: Vec::new(),
        })
    }

    /// Reads the text; any other spelling than that of [`fmt::Display`] is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let head = TreeHead { size: decode_number(size)?, root: Hash::parse(root)? };
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        let is_line = |line: &String| !line.is_empty() && !line.contains(|c| c < ' ');
        let checkpoint = Self::new(origin, head).filter(|_| extensions.iter().all(is_line))?;
        Some(Self { extensions, ..checkpoint })
    }

    /// The log it is of.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What the log commits to.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// Lines after the root hash, without meaning here.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.head.size, self.head.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint that the log's key signed. Made only by signing or by verifying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Signs the head of the log that `key` belongs to. A log must never sign a head that is not
    /// an extension of every head it signed before: the caller's duty.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign<E>(
        head: TreeHead,
        key: &NoteKey,
        sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
    ) -> Result<Self, SignError<E>> {
        let checkpoint = Checkpoint::new(key.name(), head).ok_or(SignError::Text)?;
        let note = Note::sign(&checkpoint.to_string(), key, sign)?;
        Ok(Self { checkpoint, note })
    }

    /// Reads and verifies a signed checkpoint of the log that `key` belongs to.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(bytes: &[u8], key: &NoteKey) -> Result<Self, CheckpointError> {
        Self::from_note(Note::parse(bytes)?, key)
    }

    pub(super) fn from_note(note: Note, key: &NoteKey) -> Result<Self, CheckpointError> {
        let checkpoint = Checkpoint::parse(note.verify(key)?).ok_or(CheckpointError::Malformed)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::OtherLog(checkpoint.origin));
        }
        Ok(Self { checkpoint, note })
    }

    /// The log it is of.
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// What the log commits to.
    pub fn head(&self) -> &TreeHead {
        self.checkpoint.head()
    }

    pub(super) fn note(&self) -> &Note {
        &self.note
    }

    /// The signed text.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

/// The signed note, as it is served, stored and verified again.
impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// Why a checkpoint is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// Not signed by the log's key.
    #[error("the checkpoint is not by the log: {0}")]
    Note(#[from] NoteError),
    /// Signed, but no checkpoint.
    #[error("the signed text is not a checkpoint")]
    Malformed,
    /// Signed by the key of this log, but it names another.
    #[error("the checkpoint is of the log {0}")]
    OtherLog(String),
}
