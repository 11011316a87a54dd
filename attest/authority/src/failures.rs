//! How refusals and inner errors reach a user.

use sealsum_attest::refusals::{self, Refusal};
use sealsum_daemon::{Failure, codes};

use crate::ca::CaError;
use crate::log::Broken;
use crate::store::StoreError;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::bug(error.to_string())
    }
}

impl From<CaError> for Failure {
    fn from(error: CaError) -> Self {
        Failure::bug(error.to_string())
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Failure::new(
            codes::LOG_INVALID,
            format!("log: {broken}"),
            "restore registry.db from a backup and find out who changed it",
        )
    }
}

/// Evidence that a check refused.
pub(crate) fn evidence_refused(refusal: Refusal) -> Failure {
    let check = refusal.check;
    Failure::new(
        codes::EVIDENCE_REFUSED,
        format!("evidence: {} ({})", refusal.detail, check.name),
        "see this check in docs/enrolment.md",
    )
    .with_check(check.number.to_string())
}

/// A device or certificate that was withdrawn.
pub(crate) fn revoked(what: &str) -> Failure {
    Failure::new(
        codes::REVOKED,
        format!("{what}: was revoked by the operator"),
        "ask the operator; revocation is for good",
    )
    .with_check(refusals::REVOKED.number.to_string())
}

/// A client that may not do this.
pub(crate) fn refused(why: &str) -> Failure {
    Failure::new(codes::REFUSED, format!("request: {why}"), "enrol first")
}

/// There is no room, or too much was asked for in a short time.
pub(crate) fn busy(why: &str) -> Failure {
    Failure::new(codes::BUSY, format!("authority: {why}"), "again in a minute")
}
