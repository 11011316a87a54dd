//! `renew`: a fresh certificate now, for a fresh quote; with new keys if the old ones are lost.

use std::fmt;
use std::path::Path;

use axum::http::Method;
use jiff::Timestamp;
use sealsum_attest_tpm::Tpm;
use sealsum_daemon::{Failure, lock};
use serde::{Deserialize, Serialize};

use super::{agent, is_not_running, wait_for};
use crate::config::Config;
use crate::device::{Device, Stored, expired, not_enrolled, tpm_failure};
use crate::state::StateDir;
use crate::witness::Witness;
use crate::{authority, clock, recovery};

/// What the authority granted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Renewed {
    /// When the next renewal is due.
    pub renew_at: Timestamp,
    /// Row of the authority's log.
    pub log_index: u64,
}

impl fmt::Display for Renewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "renewed; the next renewal is due {}", self.renew_at)
    }
}

/// Lets the running agent renew, which then uses the new certificate; without one, renews here.
///
/// # Errors
/// As [`authority::renew`], and `caller_not_allowed`.
pub fn renew(config_path: &Path) -> Result<Renewed, Failure> {
    let config = Config::load(config_path)?;
    match wait_for(agent(&config).call(Method::POST, "/v1/renew", &())) {
        Err(failure) if is_not_running(&failure) => renew_here(&config),
        answered => answered,
    }
}

fn renew_device(
    config: &Config,
    state: &StateDir,
    tpm: &Tpm,
    witness: &Witness,
) -> Result<Stored, Failure> {
    let device = Device::load(config, state, tpm)?;
    if clock::now() >= device.certificate.not_after {
        return Err(expired(device.certificate.not_after));
    }
    // The ledger is the running agent's.
    Ok(authority::renew(&device.authority(config)?, &device, None, witness)?.stored)
}

fn renew_here(config: &Config) -> Result<Renewed, Failure> {
    let state = StateDir::open(&config.state_dir)?;
    let _lock = lock::single_instance(state.path())?;
    let tpm = Tpm::new(config.tpm.parse().map_err(|error| tpm_failure(&error))?);
    let witness = Witness::open(&state)?;
    let renewed = match renew_device(config, &state, &tpm, &witness) {
        Err(lost) if recovery::cures(&lost) => {
            let before = Stored::read(&state)?.ok_or_else(not_enrolled)?;
            recovery::enrol_again(config, &tpm, &before, &witness)?.2
        }
        renewed => renewed?,
    };
    renewed.write(&state)?;
    Ok(Renewed { renew_at: renewed.renew_at, log_index: renewed.log_index })
}
