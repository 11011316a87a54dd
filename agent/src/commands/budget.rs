//! `budget`: privacy spent, and what is left of it.

use std::path::Path;

use sealsum_daemon::Failure;

use crate::clock;
use crate::config::Config;
use crate::ledger::{Budget, Ledger};
use crate::state::StateDir;

/// Reads the ledger.
///
/// # Errors
/// `not_enrolled`, and those of files.
pub fn budget(config_path: &Path) -> Result<Budget, Failure> {
    let config = Config::load(config_path)?;
    let state = StateDir::open(&config.state_dir)?;
    Ok(Ledger::open(&state, &config.policy)?.budget(clock::now()))
}
