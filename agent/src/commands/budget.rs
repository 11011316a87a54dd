//! `budget`: privacy spent, what is left of it, and whether the TPM's counter agrees.

use std::path::Path;

use axum::http::Method;
use sealsum_attest_tpm::Tpm;
use sealsum_attest_tpm::counter::TpmCounter;
use sealsum_daemon::{Failure, lock};

use super::{agent, is_not_running, wait_for};
use crate::clock;
use crate::config::Config;
use crate::device::tpm_failure;
use crate::ledger::{self, Beginning, Budget, Ledger};
use crate::state::StateDir;

/// Asks the running agent; without one, reads ledger and counter here.
///
/// # Errors
/// `not_enrolled`, `caller_not_allowed`, and those of files.
pub fn budget(config_path: &Path) -> Result<Budget, Failure> {
    let config = Config::load(config_path)?;
    match wait_for(agent(&config).get("/v1/budget")) {
        Err(failure) if is_not_running(&failure) => {
            let state = StateDir::open(&config.state_dir)?;
            ledger::look(&state, &config.policy, &counter(&config)?, clock::now())
        }
        answered => answered,
    }
}

/// Takes part again after too many failed rounds.
///
/// # Errors
/// As [`budget`]; `ledger_rolled_back` and the like, which no command can mend.
pub fn resume(config_path: &Path) -> Result<Budget, Failure> {
    let config = Config::load(config_path)?;
    match wait_for(agent(&config).call(Method::POST, "/v1/budget/resume", &())) {
        Err(failure) if is_not_running(&failure) => resume_here(&config),
        answered => answered,
    }
}

fn resume_here(config: &Config) -> Result<Budget, Failure> {
    let state = StateDir::open(&config.state_dir)?;
    let _lock = lock::single_instance(state.path())?;
    let (counter, now) = (Box::new(counter(config)?), clock::now());
    let ledger = Ledger::open(&state, &config.policy, counter, Beginning::Again, now)?;
    ledger.resume()?;
    Ok(ledger.budget(now))
}

fn counter(config: &Config) -> Result<TpmCounter, Failure> {
    let connection = config.tpm.parse().map_err(|error| tpm_failure(&error))?;
    Ok(TpmCounter::new(&Tpm::new(connection)))
}
