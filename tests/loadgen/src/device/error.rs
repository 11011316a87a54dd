//! Why a device's step did not happen.

use std::io;

use sealsum_daemon::Failure;
use sealsum_protocol::error::Error;

use crate::wire::Answer;

/// Why a device's step did not happen.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The connection failed, or was cut.
    #[error("{what}: the connection failed: {error}")]
    Wire {
        /// What was asked for.
        what: String,
        /// How it failed.
        error: io::Error,
    },
    /// The aggregator answered with an error, or with nothing for too long.
    #[error("{what}: answered {status} {code}: {message}")]
    Answered {
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
    /// The device's own checks refused.
    #[error("{what}: {error}")]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        error: Error,
    },
    /// What the aggregator sent cannot be read, or proves nothing.
    #[error("{what}: {why}")]
    Unreadable {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The staging authority failed.
    #[error(transparent)]
    Authority(#[from] Failure),
}

impl DeviceError {
    /// The code that the aggregator answered with, or that of the device's own check.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Answered { code, .. } => Some(code),
            Self::Refused { error, .. } => Some(error.code()),
            Self::Wire { .. } | Self::Unreadable { .. } | Self::Authority(_) => None,
        }
    }
}

/// The answer, if it is of this status.
pub(super) fn demand(answer: Answer, status: u16, what: &str) -> Result<Answer, DeviceError> {
    if answer.status == status {
        return Ok(answer);
    }
    let (code, message) = (answer.code(), answer.message());
    Err(DeviceError::Answered { what: what.to_owned(), status: answer.status, code, message })
}

pub(super) fn refused(what: &'static str, error: impl Into<Error>) -> DeviceError {
    DeviceError::Refused { what, error: error.into() }
}

pub(super) fn unreadable(what: &str, why: &dyn std::fmt::Display) -> DeviceError {
    DeviceError::Unreadable { what: what.to_owned(), why: why.to_string() }
}
