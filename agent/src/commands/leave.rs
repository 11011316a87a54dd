//! `leave`: out of the fleet.

use std::fmt;
use std::path::Path;

use axum::http::Method;
use sealsum_daemon::{Failure, lock};
use serde::{Deserialize, Serialize};

use super::{agent, is_not_running, wait_for};
use crate::config::Config;
use crate::device::{Stored, not_enrolled};
use crate::service;
use crate::state::StateDir;

/// Who left.
#[derive(Debug, Serialize, Deserialize)]
pub struct Left {
    /// The device id.
    pub device: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "left: keys, certificate and waiting updates are gone; history and budget stay"
        )?;
        write!(f, "next: sealsum-authority device revoke {} --reason retired", self.device)
    }
}

/// Lets the running agent leave and stop; without one, removes its files here.
///
/// # Errors
/// `not_enrolled`, `caller_not_allowed`, and those of files.
pub fn leave(config_path: &Path) -> Result<Left, Failure> {
    let config = Config::load(config_path)?;
    match wait_for(agent(&config).call(Method::POST, "/v1/leave", &())) {
        Err(failure) if is_not_running(&failure) => leave_here(&config),
        answered => answered,
    }
}

fn leave_here(config: &Config) -> Result<Left, Failure> {
    let state = StateDir::open(&config.state_dir)?;
    let _lock = lock::single_instance(state.path())?;
    let stored = Stored::read(&state)?.ok_or_else(not_enrolled)?;
    service::leave(&state)?;
    Ok(Left { device: stored.device.to_string() })
}
