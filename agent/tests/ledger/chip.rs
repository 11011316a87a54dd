//! A counter in memory that others may move at the worst moments, and that can stop a step.

use std::sync::{Arc, Mutex};

use sealsum_attest_tpm::TpmError;
use sealsum_attest_tpm::counter::MonotonicCounter;

type Meddler = Box<dyn FnOnce() + Send>;

/// What is to happen at the next increment.
#[derive(Default)]
pub(crate) struct Plan {
    /// Runs when the step is written down and the counter not moved.
    pub(crate) before: Option<Meddler>,
    /// Runs when the counter is moved and not read again.
    pub(crate) after: Option<Meddler>,
    /// The process ends before the counter moves.
    pub(crate) killed_before: bool,
    /// The process ends after the counter moved.
    pub(crate) killed_after: bool,
}

/// One counter for all copies of a device.
#[derive(Clone, Default)]
pub(crate) struct Chip {
    value: Arc<Mutex<u64>>,
    plan: Arc<Mutex<Option<Plan>>>,
}

impl Chip {
    pub(crate) fn at(value: u64) -> Self {
        Self { value: Arc::new(Mutex::new(value)), plan: Arc::default() }
    }

    pub(crate) fn value(&self) -> u64 {
        *self.value.lock().unwrap()
    }

    /// The same counter in another process, with what happens there.
    pub(crate) fn of_process(&self, plan: Plan) -> Self {
        Self { value: self.value.clone(), plan: Arc::new(Mutex::new(Some(plan))) }
    }
}

fn killed() -> TpmError {
    TpmError::Failed { doing: "being killed", reason: "the test stops here".into() }
}

impl MonotonicCounter for Chip {
    fn create(&self) -> Result<u64, TpmError> {
        *self.value.lock().unwrap() += 1;
        Ok(self.value())
    }

    fn read(&self) -> Result<u64, TpmError> {
        match self.value() {
            0 => Err(TpmError::NoCounter { index: 1 }),
            value => Ok(value),
        }
    }

    fn increment(&self) -> Result<u64, TpmError> {
        let plan = self.plan.lock().unwrap().take().unwrap_or_default();
        if let Some(meddle) = plan.before {
            meddle();
        }
        if plan.killed_before {
            return Err(killed());
        }
        *self.value.lock().unwrap() += 1;
        if let Some(meddle) = plan.after {
            meddle();
        }
        if plan.killed_after { Err(killed()) } else { Ok(self.value()) }
    }
}
