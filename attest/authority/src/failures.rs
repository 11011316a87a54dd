//! How refusals and inner errors reach a user.

use sealsum_attest::ids::DeviceId;
use sealsum_attest::refusals::{self, Refusal};
use sealsum_daemon::{Failure, codes};

use crate::ca::CaError;
use crate::store::{Revocation, StoreError};

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Log(error) => error.into(),
            other => Failure::bug(other.to_string()),
        }
    }
}

impl From<CaError> for Failure {
    fn from(error: CaError) -> Self {
        match error {
            CaError::Unavailable(why) => busy(&format!("its CA cannot sign: {why}")),
            CaError::Refused(why) => {
                tracing::error!(why, "the CA refused");
                let hint = "the operator of the authority must correct it; then again";
                Failure::new(codes::CA_REFUSED, format!("CA of the fleet: {why}"), hint)
            }
            CaError::Names(why) => Failure::new(
                codes::BODY_INVALID,
                format!("certificate request: {why}"),
                "a request with the subject alternative names of docs/operating.md",
            ),
            other => Failure::bug(other.to_string()),
        }
    }
}

/// Evidence that a check refused.
pub(crate) fn evidence_refused(refusal: Refusal) -> Failure {
    let check = refusal.check;
    let hint = if check == refusals::PCR_POLICY {
        "again once the operator approved the state (sealsum-authority policy baselines)"
    } else {
        "see this check in docs/enrolment.md"
    };
    Failure::new(
        codes::EVIDENCE_REFUSED,
        format!("evidence: {} ({})", refusal.detail, check.name),
        hint,
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

/// A device that two machines act as.
pub(crate) fn cloned(device: &DeviceId) -> Failure {
    Failure::new(
        codes::REVOKED,
        format!("device {device}: two machines act as it, so both are shut out"),
        "find the copy, then: sealsum-authority token create --role device --ek-sha256 ID, and \
         enrol the genuine one with it",
    )
    .with_check(refusals::CLONE.number.to_string())
}

/// A device that is out, and why.
pub(crate) fn shut_out(why: &Revocation, device: &DeviceId) -> Failure {
    if why.is_clone() { cloned(device) } else { revoked("this device") }
}

/// A certificate whose device has a newer one over newer keys.
pub(crate) fn replaced() -> Failure {
    Failure::new(
        codes::CERTIFICATE_REPLACED,
        "this certificate: a later enrolment of the device replaced it",
        "nothing: the agent enrols again by itself",
    )
    .with_check(refusals::OLD_KEY.number.to_string())
}

/// A client that may not do this.
pub(crate) fn refused(why: &str) -> Failure {
    Failure::new(codes::REFUSED, format!("request: {why}"), "enrol first")
}

/// There is no room, or too much was asked for in a short time.
pub(crate) fn busy(why: &str) -> Failure {
    Failure::new(codes::BUSY, format!("authority: {why}"), "again in a minute")
}
