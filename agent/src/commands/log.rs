//! `log accept`: the operator has settled a fork.

use std::fmt;
use std::path::Path;

use axum::http::Method;
use sealsum_daemon::{Failure, lock};
use serde::{Deserialize, Serialize};

use super::{agent, is_not_running, wait_for};
use crate::config::Config;
use crate::state::StateDir;
use crate::witness::{self, Witness};

/// What is believed from now on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// Entries of the authority's log.
    pub size: u64,
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size;
        write!(f, "the authority's log is believed from its {size} entries on; evidence is kept")
    }
}

/// Lets the running agent take the log as the authority shows it now; without one, does it here.
///
/// # Errors
/// `log_invalid` if the pinned key did not sign it, `unreachable`, `caller_not_allowed`.
pub fn accept(config_path: &Path) -> Result<Accepted, Failure> {
    let config = Config::load(config_path)?;
    match wait_for(agent(&config).call(Method::POST, "/v1/log/accept", &())) {
        Err(failure) if is_not_running(&failure) => accept_here(&config),
        answered => answered,
    }
}

fn accept_here(config: &Config) -> Result<Accepted, Failure> {
    let state = StateDir::open(&config.state_dir)?;
    let _lock = lock::single_instance(state.path())?;
    let shown = witness::checkpoint(&witness::public_authority(config)?)?;
    Ok(Accepted { size: Witness::open(&state)?.accept(&shown)? })
}
