//! The steps of one round that no copy of this device may take as well.

use std::cell::{Cell, RefCell};

use sealsum_daemon::Failure;
use sealsum_protocol::client::OnceCounter;
use sealsum_protocol::dp::accountant::Charge;
use sealsum_protocol::error::Error;

use crate::clock;
use crate::ledger::Ledger;
use crate::refusal;

/// The counter of a round, as the protocol asks for it: steps taken, from 0. The ledger compares the
/// TPM's counter, which other rounds of this device move too.
pub struct Steps<'a> {
    ledger: &'a Ledger,
    taken: Cell<u64>,
    charged: Cell<bool>,
    /// What the next step costs, and the task.
    cost: RefCell<Option<(String, Option<Charge>)>>,
    refusal: RefCell<Option<Failure>>,
}

impl<'a> Steps<'a> {
    /// Of a round that has taken none.
    pub fn new(ledger: &'a Ledger) -> Self {
        let (taken, charged) = (Cell::new(0), Cell::new(false));
        Self { ledger, taken, charged, cost: RefCell::default(), refusal: RefCell::default() }
    }

    /// The next step masks an update of `task`, at this charge.
    pub fn next_masks(&self, task: &str, charge: Option<Charge>) {
        *self.cost.borrow_mut() = Some((task.to_owned(), charge));
    }

    /// Whether the ledger holds the charge, or the round if it costs nothing.
    pub fn charged(&self) -> bool {
        self.charged.get()
    }

    /// The failure behind an error of the protocol: the ledger's own words for its refusals.
    pub fn explain(&self, error: &Error) -> Failure {
        self.refusal.take().unwrap_or_else(|| refusal::error(error))
    }

    fn take(&self) -> Result<(), Failure> {
        let now = clock::now();
        match self.cost.take() {
            Some((task, charge)) => {
                let masked = self.ledger.mask(&task, charge, now);
                self.charged.set(masked.as_ref().map_or_else(|stopped| stopped.charged, |()| true));
                masked.map_err(|stopped| *stopped.failure)
            }
            None => self.ledger.go_on(now),
        }
    }
}

impl OnceCounter for &Steps<'_> {
    fn read(&mut self) -> Result<u64, String> {
        Ok(self.taken.get())
    }

    fn increment(&mut self) -> Result<(), String> {
        self.take().map_err(|failure| {
            let why = failure.message.clone();
            *self.refusal.borrow_mut() = Some(failure);
            why
        })?;
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }
}
