//! What can go wrong with a TPM, by what the operator or the agent does next.

use std::time::Duration;
use thiserror::Error;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;

/// A refused or failed TPM operation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TpmError {
    /// The connection string names no TPM that this program can reach for certain.
    #[error("bad TPM connection {given:?}: {why}")]
    Connection {
        /// The string.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody answers there, or the connection broke. Transient: later calls connect anew.
    #[error("the TPM at {tcti} cannot be reached: {reason}")]
    Unreachable {
        /// The connection string.
        tcti: String,
        /// What the TPM library says.
        reason: String,
    },
    /// The TPM took the command and did not answer in time. Transient: later calls connect anew.
    #[error("the TPM at {tcti} has not answered within {limit:?}")]
    NoAnswer {
        /// The connection string.
        tcti: String,
        /// The deadline that passed.
        limit: Duration,
    },
    /// The TPM asked to be asked again (retry, yielded, testing, NV rate), also after waiting.
    #[error("the TPM is busy while {doing}: {reason}")]
    Busy {
        /// The operation.
        doing: &'static str,
        /// What the TPM library says.
        reason: String,
    },
    /// All slots for objects or sessions are in use, also after waiting.
    #[error(
        "the TPM has no free slot while {doing}: another program holds its objects or sessions"
    )]
    Full {
        /// The operation.
        doing: &'static str,
    },
    /// A hierarchy has a password, which this program does not have.
    #[error(
        "the TPM asks for a password while {doing}: its owner or endorsement hierarchy has one"
    )]
    Password {
        /// The operation.
        doing: &'static str,
    },
    /// Dictionary-attack lockout. Nothing made here causes it or depends on it.
    #[error("the TPM is in dictionary-attack lockout while {doing}")]
    Lockout {
        /// The operation.
        doing: &'static str,
    },
    /// The attestation key came out different: the state was copied from another device, or the
    /// board was exchanged.
    #[error("the state belongs to another TPM")]
    OtherTpm,
    /// Same TPM, other storage key: it was cleared since (or somebody offers a false one). What
    /// was sealed is gone; enrol again.
    #[error("the TPM was cleared: its storage key is not the one enrolled with")]
    Cleared,
    /// The measured boot differs from the one the key was sealed to.
    #[error("PCRs {pcrs:?} changed since the key was sealed")]
    PcrChanged {
        /// The selection it was sealed to.
        pcrs: Vec<u8>,
    },
    /// Stored or sealed bytes are not what this TPM made.
    #[error("{what} is damaged")]
    Damaged {
        /// Which part of the state.
        what: &'static str,
    },
    /// The state was written by a version of this program that this one does not know.
    #[error("the state has format {found}, this program reads {known}")]
    StateVersion {
        /// The version found.
        found: u32,
        /// The version this program writes.
        known: u32,
    },
    /// The credential was not made for this attestation key and this TPM.
    #[error("the activation credential was not made for this key on this TPM")]
    Credential,
    /// The counter does not exist (any more).
    #[error("the TPM has no counter at {index:#010x}")]
    NoCounter {
        /// The NV index.
        index: u32,
    },
    /// A PCR selection that this TPM does not have in its SHA-256 bank.
    #[error("no such PCR in the SHA-256 bank of the TPM: {pcrs:?}")]
    NoPcr {
        /// The selection.
        pcrs: Vec<u8>,
    },
    /// The PCRs changed again and again while they were quoted.
    #[error("the PCRs keep changing while they are quoted")]
    PcrsUnstable,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// Any other refusal of the TPM or its library.
    #[error("the TPM failed while {doing}: {reason}")]
    Failed {
        /// The operation.
        doing: &'static str,
        /// What the TPM library says.
        reason: String,
    },
}

impl TpmError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NoAnswer { .. }) || self.passes()
    }

    /// Whether the TPM itself says that the same command will work in a moment.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }

    /// Whether the keys are lost for good, so that the device has to make new ones and enrol
    /// again under the same endorsement key.
    pub fn needs_new_keys(&self) -> bool {
        matches!(self, Self::Cleared | Self::PcrChanged { .. } | Self::Damaged { .. })
    }

    /// The error code of INTERFACE for this error, as the agent prints it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connection { .. } => "config_invalid",
            Self::OtherTpm => "evidence_refused",
            Self::Cleared | Self::PcrChanged { .. } | Self::Damaged { .. } => "keys_lost",
            _ => "tpm_unreachable",
        }
    }
}

/// Puts a library error into the words of what was being done.
pub(crate) fn during(doing: &'static str) -> impl Fn(tss_esapi::Error) -> TpmError {
    move |error| match kind(&error) {
        Some(
            Kind::ObjectMemory
            | Kind::SessionMemory
            | Kind::Memory
            | Kind::ObjectHandles
            | Kind::SessionHandles,
        ) => TpmError::Full { doing },
        Some(Kind::AuthFail | Kind::BadAuth) => TpmError::Password { doing },
        Some(Kind::Lockout) => TpmError::Lockout { doing },
        Some(Kind::Retry | Kind::Yielded | Kind::Testing | Kind::NvRate | Kind::Canceled) => {
            TpmError::Busy { doing, reason: error.to_string() }
        }
        _ => TpmError::Failed { doing, reason: error.to_string() },
    }
}

/// What the TPM itself said, if the error came from there.
pub(crate) fn kind(error: &tss_esapi::Error) -> Option<Kind> {
    match error {
        tss_esapi::Error::Tss2Error(code) => code.kind(),
        tss_esapi::Error::WrapperError(_) => None,
    }
}
