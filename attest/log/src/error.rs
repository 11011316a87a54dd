//! Why a log cannot be read, extended or signed.

use sealsum_daemon::{Failure, codes};

/// The log could not be read or written, or was altered.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// SQLite refused.
    #[error("the log's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What is stored at and after an entry does not follow from the entries: altered.
    #[error("entry {position} of the log is not what was appended")]
    Altered {
        /// First entry that is wrong.
        position: u64,
    },
    /// The log does not contain what its key signed: cut, or altered and hashed again.
    #[error("the log is not an extension of the head of {signed} entries that it signed")]
    NotSigned {
        /// Size of the signed head.
        signed: u64,
    },
    /// The stored head is not signed by the log's key.
    #[error("the stored head of the log is not by its key: {0}")]
    Head(String),
    /// An entry longer than a tile holds: the caller's mistake.
    #[error("an entry of {0} bytes does not fit the log")]
    TooLong(usize),
    /// The log is smaller than what was asked for: the asker's mistake.
    #[error("the log has {size} entries, none with {asked}")]
    OutOfRange {
        /// An index or a size.
        asked: u64,
        /// Entries in the log.
        size: u64,
    },
    /// No proof for so many, or so few.
    #[error("{0}")]
    Batch(String),
    /// The key could not sign: a bug.
    #[error("the head of the log cannot be signed: {0}")]
    Unsignable(String),
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        let message = format!("log: {error}");
        match error {
            LogError::Altered { .. } | LogError::NotSigned { .. } | LogError::Head(_) => {
                let hint = "restore the database from a backup and find out who changed it";
                Failure::new(codes::LOG_INVALID, message, hint)
            }
            LogError::OutOfRange { .. } | LogError::Batch(_) => {
                Failure::new(codes::NOT_FOUND, message, "the log's checkpoint says its size")
            }
            LogError::Sqlite(_) | LogError::TooLong(_) | LogError::Unsignable(_) => {
                Failure::bug(message)
            }
        }
    }
}
