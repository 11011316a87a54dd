//! `status`: fit for rounds, or why not.

use std::path::Path;

use sealsum_daemon::{Failure, codes};

use super::{agent, is_not_running, wait_for};
use crate::config::Config;
use crate::device::{Stored, not_enrolled};
use crate::state::StateDir;
use crate::status::Status;

/// Asks the running agent. A device that never enrolled has a status too.
///
/// # Errors
/// `agent_not_running`, `caller_not_allowed`, those of the configuration.
pub fn status(config_path: &Path) -> Result<Status, Failure> {
    let config = match Config::load(config_path) {
        Err(failure) if failure.code == codes::NOT_ENROLLED => {
            return Ok(Status::not_enrolled(&failure, None, None));
        }
        loaded => loaded?,
    };
    match wait_for(agent(&config).get("/v1/status")) {
        Err(failure) if is_not_running(&failure) && !has_enrolled(&config) => {
            let urls = (config.authority.url, config.aggregator.url);
            Ok(Status::not_enrolled(&not_enrolled(), Some(config.tpm), Some(urls)))
        }
        answered => answered,
    }
}

/// Whether there is an identity; if that cannot be seen, there may be one.
fn has_enrolled(config: &Config) -> bool {
    if !config.state_dir.exists() {
        return false;
    }
    let stored = StateDir::open(&config.state_dir).and_then(|state| Stored::read(&state));
    !matches!(stored, Ok(None))
}
