//! Who verifies a roster: each device for itself, or one for all of this process.
//!
//! A fleet's devices each verify every member. To play ten thousand of them on one machine that is
//! a hundred million verifications of the very same; then one does it, the others demand the same
//! bytes and their own entry, and some do it alone, so that the price is known.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};
use sealsum_protocol::client::VerifiedRoster;
use sealsum_protocol::ids::{Hash, RoundId};
use serde::Serialize;

/// Who verifies a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checks {
    /// Each device for itself
    Each,
    /// One device for all, and ten for themselves
    Once,
}

/// Devices that verify for themselves even if one does for all.
const ALONE: usize = 10;

/// The rosters that were verified.
pub struct Rosters {
    checks: Checks,
    verified: Mutex<HashMap<RoundId, (Hash, VerifiedRoster)>>,
    alone_s: Mutex<Vec<f64>>,
}

impl Rosters {
    /// None yet.
    pub fn new(checks: Checks) -> Self {
        Self { checks, verified: Mutex::default(), alone_s: Mutex::default() }
    }

    /// The verified roster of these bytes, by `verify` if it must be.
    ///
    /// # Errors
    /// Those of `verify`.
    pub fn of<E>(
        &self,
        round: RoundId,
        bytes: Hash,
        verify: impl FnOnce() -> Result<VerifiedRoster, E>,
    ) -> Result<VerifiedRoster, E> {
        if self.checks == Checks::Each || self.measures() {
            let (began, verified) = (cpu_s(), verify()?);
            lock(&self.alone_s).push(cpu_s() - began);
            return Ok(verified);
        }
        let mut known = lock(&self.verified);
        if let Some((same, verified)) = known.get(&round)
            && *same == bytes
        {
            return Ok(verified.clone());
        }
        let verified = verify()?;
        known.insert(round, (bytes, verified.clone()));
        Ok(verified)
    }

    /// Whether the next device verifies for itself to be timed. One too many does no harm.
    fn measures(&self) -> bool {
        lock(&self.alone_s).len() < ALONE
    }

    /// Who verified.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// CPU seconds that it takes a device to verify a roster, over those that did.
    pub fn alone_s(&self) -> Option<f64> {
        let seconds = lock(&self.alone_s);
        (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64)
    }
}

fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
