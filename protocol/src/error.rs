//! What can go wrong, and whose fault it is.

use std::fmt;

use crate::guard::Guard;
use crate::ids::DeviceId;

/// Why a step did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The calling program used this library wrongly.
    #[error("misuse of the protocol library: {0}")]
    Misuse(&'static str),
    /// A check failed: the round is over for this device, or the message is not taken.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The round is over for everyone.
    #[error(transparent)]
    Abort(#[from] Abort),
}

impl Error {
    /// The guard that refused, if one did.
    pub fn guard(&self) -> Option<Guard> {
        match self {
            Error::Refusal(refusal) => Some(refusal.guard),
            Error::Misuse(_) | Error::Abort(_) => None,
        }
    }

    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Misuse(_) => "misuse",
            Error::Refusal(refusal) => refusal.guard.name(),
            Error::Abort(abort) => abort.code.as_str(),
        }
    }
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The check.
    pub guard: Guard,
    /// The device at fault, where there is one and it is known.
    pub culprit: Option<DeviceId>,
    /// What was seen.
    pub detail: String,
}

impl Refusal {
    /// A refusal that blames no device.
    pub fn new(guard: Guard, detail: impl Into<String>) -> Self {
        Self { guard, culprit: None, detail: detail.into() }
    }

    /// A refusal that blames `culprit`.
    pub fn of(guard: Guard, culprit: DeviceId, detail: impl Into<String>) -> Self {
        Self { guard, culprit: Some(culprit), detail: detail.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.guard.name(), self.guard.id(), self.detail)?;
        if let Some(culprit) = self.culprit {
            write!(f, ", by device {culprit}")?;
        }
        write!(f, ". {}", self.guard.explanation())
    }
}

impl std::error::Error for Refusal {}

/// Refuses with `guard` and what was seen, unless `holds`.
pub(crate) fn require(
    holds: bool,
    guard: Guard,
    detail: impl FnOnce() -> String,
) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::new(guard, detail())) }
}

/// Refuses with `guard`, the device at fault and what was seen, unless `holds`.
pub(crate) fn require_of(
    holds: bool,
    guard: Guard,
    culprit: DeviceId,
    detail: impl FnOnce() -> String,
) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::of(guard, culprit, detail())) }
}

/// Why a round ended without a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abort {
    /// The stable code.
    pub code: AbortCode,
    /// What happened, with numbers.
    pub message: String,
    /// The devices at fault, where that is known.
    pub culprits: Vec<DeviceId>,
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round aborted ({}): {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Abort {}

/// The ways a round can end without a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortCode {
    /// Fewer devices entered or shared than the round needs.
    TooFewDevices,
    /// Fewer devices than A_min sent their masked input.
    TooFewContributors,
    /// Fewer survivors than the quorum signed one (A, D).
    NoConsensus,
    /// Some secret has fewer than t good shares.
    TooFewShares,
    /// A canary word does not count the contributors.
    Canary,
    /// A device whose part would be in the sum was revoked before the sum was unmasked.
    ContributorRevoked,
    /// The round's last deadline passed.
    Deadline,
    /// The operator ended the round.
    Cancelled,
}

impl AbortCode {
    /// Each code.
    pub const ALL: [AbortCode; 8] = [
        AbortCode::TooFewDevices,
        AbortCode::TooFewContributors,
        AbortCode::NoConsensus,
        AbortCode::TooFewShares,
        AbortCode::Canary,
        AbortCode::ContributorRevoked,
        AbortCode::Deadline,
        AbortCode::Cancelled,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            AbortCode::TooFewDevices => "too_few_devices",
            AbortCode::TooFewContributors => "too_few_contributors",
            AbortCode::NoConsensus => "no_consensus",
            AbortCode::TooFewShares => "too_few_shares",
            AbortCode::Canary => "canary",
            AbortCode::ContributorRevoked => "contributor_revoked",
            AbortCode::Deadline => "deadline",
            AbortCode::Cancelled => "cancelled",
        }
    }

    /// What the operator can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            AbortCode::TooFewDevices => {
                "start the round when more devices are connected, or raise deadlines_s.advertise"
            }
            AbortCode::TooFewContributors => {
                "raise deadlines_s.mask, or dropout_share so that A_min is lower"
            }
            AbortCode::NoConsensus => "raise deadlines_s.check; see which devices signed",
            AbortCode::TooFewShares => {
                "raise deadlines_s.unmask; a blamed device spoils rounds until it is revoked"
            }
            AbortCode::Canary => "a device sends wrong words; see which chunks are wrong",
            AbortCode::ContributorRevoked => "start the next round; it runs without the device",
            AbortCode::Deadline => "raise the deadline of the step that was running",
            AbortCode::Cancelled => "start the next round when ready",
        }
    }
}
