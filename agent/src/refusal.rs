//! The protocol's errors as the agent's.

use sealsum_daemon::Failure;
use sealsum_daemon::codes::{self, Code};
use sealsum_protocol::error::{Error, Refusal};

/// A check of the protocol that failed here: the device said no.
pub(crate) fn failure(refusal: &Refusal) -> Failure {
    let code = codes::find(refusal.guard.name()).unwrap_or(Code::remote(refusal.guard.name(), 403));
    let hint = match refusal.guard.name() {
        "policy_floor" => "sealsum-agent policy explain TASK shows every floor",
        "owner_signature" => "add the owner to policy.owners in agent.toml, if it is to be trusted",
        _ => "docs/protocol.md explains each guard",
    };
    let message = format!("{} ({}): {}", refusal.guard.name(), refusal.guard.id(), refusal.detail);
    Failure::new(code, message, hint)
}

/// Any error of a step.
pub(crate) fn error(error: &Error) -> Failure {
    match error {
        Error::Refusal(refusal) => failure(refusal),
        Error::Abort(abort) => Failure::new(
            Code::remote(abort.code.as_str(), 409),
            abort.message.clone(),
            abort.code.hint(),
        ),
        Error::Misuse(what) => Failure::bug(format!("protocol: {what}")),
    }
}
