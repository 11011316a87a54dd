//! What this device has spent of its privacy, over all tasks, bound to a counter in its TPM.
//!
//! Charges are (xi, rho) in 2^-48 as [`sealsum_protocol::dp::accountant`] defines them; sums are
//! integers, epsilon is for people and for the comparison with the policy's limits. A charge is on
//! disk before the first masked byte leaves and is never taken back: a device cannot know whether
//! the others revealed. There is no amplification by sampling: the aggregator picks the cohort and
//! knows it.
//!
//! # Steps
//!
//! A round takes three steps: it masks, which charges; it signs the survivors; it reveals. Each
//! reads the counter, compares it with v, the value that this ledger expects, writes the ledger
//! down with v + 1 as *moving*, adds one to the counter, demands that it reads v + 1, writes the
//! ledger down with v + 1 as *seen*, and only then lets anything leave.
//!
//! # Why a charge that left is in every ledger that is accepted
//!
//! A ledger is accepted at counter c if it says "c, seen" or "c + 1, moving"; one that says "c,
//! moving" is accepted with the cost of one largest round on top. All else is refused.
//!
//! *One step, one taker.* Who adds one and then reads v + 1 knows that nobody else added one since
//! the counter was v: of all copies of a ledger, of its directory or of a process at most one takes
//! the step from v to v + 1 and goes on.
//!
//! *By induction over c* let every ledger accepted at c cover each charge that left. What a process
//! writes, it derives from one accepted at the time. When the counter becomes c + 1, ledgers that
//! say "c" are accepted no more, whoever restores them, and at most one charge leaves, the taker's,
//! after the taker wrote it down. One that says "c + 1, moving" may be the taker's after a crash
//! between adding and writing, or that of a copy which never moved the counter. Nobody can tell, so
//! it pays for one more charge, and no round costs more than the policy's cap for a round.
//!
//! *What is lost.* A ledger that is gone is put together again from the head that the authority kept
//! ([`Head`]); a counter that is gone is made again, which a TPM does above every value that it ever
//! counted to. Either way each step in between counts as one largest round, and the argument is the
//! same. Without a head, or with a counter that begins lower, the budget of the epoch is spent.
//!
//! A crash before the counter moved costs the charge that did not leave; a crash in the
//! milliseconds between moving and seeing costs one largest round as well; no crash gives anything
//! back or needs an operator. A virtual TPM that is put back together with the disk is as it was,
//! and nothing on the device can notice it: THREAT_MODEL.md counts such a device as corrupt.

mod binding;
mod budget;
mod document;
mod head;
mod limits;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use sealsum_attest_tpm::TpmError;
use sealsum_attest_tpm::counter::MonotonicCounter;
use sealsum_daemon::Failure;
use sealsum_protocol::dp::accountant::Charge;

use crate::config::Policy;
use crate::state::StateDir;
use crate::status::Problem;

pub use binding::look;
pub use budget::{Budget, CounterState, CounterStatus, Spent};
pub use head::Head;
pub use limits::{BUDGET, COUNTER_LOST, FAILED_ROUNDS, LEDGER_LOST, Limits};

use binding::{Binding, ask, copied, counter_failure};
use document::{Document, Found};

/// A counter that threads may share.
pub type Counter = Box<dyn MonotonicCounter + Send + Sync>;

/// The policy's limits, what was spent, and the counter that vouches for it.
pub struct Ledger {
    state: StateDir,
    limits: Limits,
    counter: Counter,
    /// Held over a step, which may wait for the TPM.
    stepping: Mutex<()>,
    /// Held for a look only.
    known: Mutex<Known>,
}

#[derive(Clone)]
struct Known {
    document: Document,
    /// Why this ledger is not to be believed any more.
    disowned: Option<Failure>,
    /// Whether the authority was asked for a lost ledger's head.
    asked: bool,
}

/// A step that was not taken.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// Why.
    pub failure: Box<Failure>,
    /// Whether its charge counts all the same, and the round as one that this device is in.
    pub charged: bool,
}

/// Whether a device without ledger and without counter is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It enrols for the first time: nothing was spent.
    New,
    /// It enrolled before: what it spent is lost.
    Again,
}

impl Ledger {
    /// Reads what was spent and compares it with the counter; whichever is missing is made. The
    /// caller is the only process on this directory.
    ///
    /// A ledger that the counter contradicts opens too, and refuses every round.
    ///
    /// # Errors
    /// As [`StateDir::read`]; `file_format` for another version: a damaged ledger is never taken
    /// for an empty one. `tpm_unreachable`, `file_write`.
    pub fn open(
        state: &StateDir,
        policy: &Policy,
        counter: Counter,
        beginning: Beginning,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let limits = Limits::of(policy);
        let binding = Binding { state, limits: &limits, counter: &*counter, now };
        let known = binding.bind(Document::read(state)?, beginning)?;
        let (stepping, known) = (Mutex::new(()), Mutex::new(known));
        Ok(Self { state: state.clone(), limits, counter, stepping, known })
    }

    /// Makes the counter anew if the TPM was cleared under a running agent.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn rebind(&self, now: Timestamp) -> Result<(), Failure> {
        let _one = lock(&self.stepping);
        if !matches!(self.counter.read(), Err(TpmError::NoCounter { .. })) {
            return Ok(());
        }
        let (state, limits) = (&self.state, &self.limits);
        let binding = Binding { state, limits, counter: &*self.counter, now };
        let known = binding.bind(Some(self.known().document), Beginning::Again)?;
        *lock(&self.known) = known;
        Ok(())
    }

    /// Refuses a round of `task` that the ledger cannot pay, without charging it. A round without
    /// noise costs nothing and still needs a ledger that is to be believed.
    ///
    /// # Errors
    /// `ledger_rolled_back`, `counter_rolled_back`, `once_counter`, `failed_rounds`, and for a
    /// charge `budget`, `ledger_lost`, `counter_lost`.
    pub fn afford(
        &self,
        task: &str,
        charge: Option<Charge>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if let Some(disowned) = lock(&self.known).disowned.clone() {
            return Err(disowned);
        }
        let document = self.present(now);
        self.limits.bear(&document)?;
        charge.map_or(Ok(()), |charge| self.limits.afford(&document, task, charge, now))
    }

    /// The step before the first masked byte of a round of `task` leaves.
    ///
    /// # Errors
    /// As [`Ledger::afford`], and then nothing is charged; `once_counter` if a copy of this device
    /// took a step, `tpm_unreachable`, `file_write`. Nothing may leave.
    pub fn mask(&self, task: &str, charge: Option<Charge>, now: Timestamp) -> Result<(), Stopped> {
        self.step(now, |document| {
            self.limits.bear(document)?;
            if let Some(charge) = charge {
                self.limits.afford(document, task, charge, now)?;
                document.add(task, charge, now);
            }
            document.under_way += 1;
            Ok(())
        })
    }

    /// The step before this device signs the survivors, or reveals.
    ///
    /// # Errors
    /// As [`Ledger::mask`], but for the budget.
    pub fn go_on(&self, now: Timestamp) -> Result<(), Failure> {
        self.step(now, |_| Ok(())).map_err(|stopped| *stopped.failure)
    }

    /// Notes how a round ended that took the first step.
    ///
    /// # Errors
    /// `file_write`.
    pub fn end_round(&self, went_well: bool) -> Result<(), Failure> {
        self.rewrite(|document| document.end_round(went_well))
    }

    /// Takes part again after too many failed rounds, by order of the operator.
    ///
    /// # Errors
    /// `file_write`; the refusal of a ledger that is not to be believed.
    pub fn resume(&self) -> Result<(), Failure> {
        if let Some(disowned) = lock(&self.known).disowned.clone() {
            return Err(disowned);
        }
        self.rewrite(|document| document.failed_in_row = 0)
    }

    /// The privacy loss of one charge at the policy's delta.
    pub fn epsilon(&self, charge: Charge) -> f64 {
        self.limits.epsilon(charge)
    }

    /// What was spent, by task. Waits for nobody.
    pub fn spent(&self, now: Timestamp) -> Vec<Spent> {
        budget::spent(&self.present(now), &self.limits)
    }

    /// Why this ledger is not to be believed, if it is not. Waits for nobody.
    pub fn disowned(&self) -> Option<Failure> {
        lock(&self.known).disowned.clone()
    }

    /// What was spent and what is left, with the counter as the TPM says it is.
    pub fn budget(&self, now: Timestamp) -> Budget {
        let _one = lock(&self.stepping);
        let counter = CounterStatus::of(&self.known().document, ask(&*self.counter));
        let mut refusal = self.afford("", None, now).err();
        if let (None, Some(lost)) = (&refusal, self.present(now).lost) {
            let ends = self.limits.end_of(self.present(now).epoch);
            refusal = Some(lost.failure(&format!("wait for the next epoch, {ends}")));
        }
        let refusal = refusal.as_ref().map(Problem::from);
        Budget::of(&self.present(now), &self.limits, counter, refusal, now)
    }

    /// One step: see the module.
    fn step(
        &self,
        now: Timestamp,
        enter: impl FnOnce(&mut Document) -> Result<(), Failure>,
    ) -> Result<(), Stopped> {
        let _one = lock(&self.stepping);
        let stopped = |failure, charged| Stopped { failure: Box::new(failure), charged };
        let before = |failure| stopped(failure, false);
        let mut next = self.settled(now).map_err(before)?;
        enter(&mut next).map_err(before)?;
        next.counter.value += 1;
        next.counter.moving = true;
        next.write(&self.state).map_err(before)?;
        self.keep(&next);
        self.move_counter(next).map_err(|failure| stopped(failure, true))
    }

    /// Adds one, and nobody else did.
    fn move_counter(&self, mut next: Document) -> Result<(), Failure> {
        let value = self.counter.increment().map_err(|error| counter_failure(&error))?;
        if value != next.counter.value {
            return Err(self.disown(copied(value, next.counter.value)));
        }
        next.settle_at(value);
        self.keep(&next);
        next.write(&self.state)
    }

    /// The document of the present epoch, in agreement with the counter.
    fn settled(&self, now: Timestamp) -> Result<Document, Failure> {
        let Known { mut document, disowned, .. } = self.known();
        if let Some(disowned) = disowned {
            return Err(disowned);
        }
        let value = self.counter.read().map_err(|error| counter_failure(&error))?;
        let found = document.counter.judge(value);
        if matches!(found, Found::Ahead | Found::Behind) {
            return Err(self.disown(copied(value, document.counter.value)));
        }
        document.turn_to(self.limits.epoch_at(now));
        document.settle(found, value, &self.limits, now);
        Ok(document)
    }

    fn rewrite(&self, change: impl FnOnce(&mut Document)) -> Result<(), Failure> {
        let _one = lock(&self.stepping);
        let Known { mut document, disowned, .. } = self.known();
        change(&mut document);
        self.keep(&document);
        // What is on disk may be another's.
        if disowned.is_some() { Ok(()) } else { document.write(&self.state) }
    }

    fn known(&self) -> Known {
        lock(&self.known).clone()
    }

    fn keep(&self, document: &Document) {
        lock(&self.known).document = document.clone();
    }

    /// Refuses everything from now on.
    fn disown(&self, why: Failure) -> Failure {
        lock(&self.known).disowned = Some(why.clone());
        why
    }

    /// The document as of this moment.
    fn present(&self, now: Timestamp) -> Document {
        let mut document = self.known().document;
        document.turn_to(self.limits.epoch_at(now));
        document
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("document", &self.known().document).finish()
    }
}
