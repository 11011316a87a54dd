//! A ledger and the TPM's counter, compared when they meet, and what it means when they differ.

use jiff::Timestamp;
use sealsum_attest_tpm::TpmError;
use sealsum_attest_tpm::counter::MonotonicCounter;
use sealsum_daemon::{Failure, codes};
use sealsum_protocol::error::Refusal;
use sealsum_protocol::guard::Guard;

use super::budget::{Answer, Budget, CounterState, CounterStatus};
use super::document::{Document, Found, Lost};
use super::limits::{COUNTER_LOST, Limits};
use super::{Beginning, Known};
use crate::config::Policy;
use crate::device::{not_enrolled, tpm_failure};
use crate::refusal;
use crate::state::StateDir;
use crate::status::Problem;

impl Document {
    /// Takes the counter's value over, at the price of what cannot be known.
    pub(super) fn settle(&mut self, found: Found, value: u64, limits: &Limits, now: Timestamp) {
        if found == Found::InDoubt {
            self.doubt(1, limits, now);
        }
        self.settle_at(value);
    }

    /// Counts each of `steps` as one largest round: nobody can say what they were.
    pub(super) fn doubt(&mut self, steps: u64, limits: &Limits, now: Timestamp) {
        self.in_doubt += steps as f64 * limits.largest_round();
        (0..steps.min(limits.charges_per_day.into())).for_each(|_| self.note(now));
    }
}

/// A ledger and a counter that meet for the first time in this process.
pub(super) struct Binding<'a> {
    pub(super) state: &'a StateDir,
    pub(super) limits: &'a Limits,
    pub(super) counter: &'a (dyn MonotonicCounter + Send + Sync),
    pub(super) now: Timestamp,
}

impl Binding<'_> {
    /// Believes `file`, or why not; what is missing is made.
    pub(super) fn bind(
        &self,
        file: Option<Document>,
        beginning: Beginning,
    ) -> Result<Known, Failure> {
        let value = match self.counter.read() {
            Ok(value) => Some(value),
            Err(TpmError::NoCounter { .. }) => None,
            Err(error) => return Err(counter_failure(&error)),
        };
        match (file, value) {
            (Some(document), Some(value)) => self.compare(document, value),
            (Some(document), None) => self.count_anew(document),
            (None, Some(value)) => self.begin(Document::new(), value, Some(Lost::Ledger)),
            (None, None) => {
                let lost = (beginning == Beginning::Again).then_some(Lost::Ledger);
                self.begin(Document::new(), self.make_counter()?, lost)
            }
        }
    }

    fn compare(&self, mut document: Document, value: u64) -> Result<Known, Failure> {
        let expected = document.counter.value;
        let found = document.counter.judge(value);
        let disowned = match found {
            Found::Ahead => Some(rolled_back(value, expected, self.limits.end_of_now(self.now))),
            Found::Behind => Some(counter_rolled_back(value, expected)),
            Found::AsExpected | Found::NotMoved | Found::InDoubt => None,
        };
        if disowned.is_none() {
            document.turn_to(self.limits.epoch_at(self.now));
            document.end_all_rounds();
            document.settle(found, value, self.limits, self.now);
            document.write(self.state)?;
        }
        Ok(Known { document, disowned, asked: false })
    }

    /// The counter is gone. The new one begins above all that this TPM ever counted to, so the steps
    /// that `document` knows nothing of can be counted, if it is the same TPM.
    fn count_anew(&self, mut document: Document) -> Result<Known, Failure> {
        let value = self.make_counter()?;
        let before = value.saturating_sub(1);
        document.turn_to(self.limits.epoch_at(self.now));
        let lost = match before.checked_sub(document.counter.reached()) {
            Some(steps) => {
                document.doubt(steps, self.limits, self.now);
                document.lost
            }
            None => Some(Lost::Counter),
        };
        self.begin(document, value, lost)
    }

    fn make_counter(&self) -> Result<u64, Failure> {
        self.counter.create().map_err(|error| counter_failure(&error))
    }

    fn begin(
        &self,
        mut document: Document,
        value: u64,
        lost: Option<Lost>,
    ) -> Result<Known, Failure> {
        document.settle_at(value);
        document.turn_to(self.limits.epoch_at(self.now));
        document.end_all_rounds();
        document.lost = lost;
        document.write(self.state)?;
        Ok(Known { document, disowned: None, asked: false })
    }
}

/// What the ledger in `state` shows without an agent. Nothing is changed.
///
/// # Errors
/// As [`StateDir::read`]; `not_enrolled` if there is no ledger.
pub fn look(
    state: &StateDir,
    policy: &Policy,
    counter: &(dyn MonotonicCounter + Send + Sync),
    now: Timestamp,
) -> Result<Budget, Failure> {
    let limits = Limits::of(policy);
    let mut document = Document::read(state)?.ok_or_else(not_enrolled)?;
    document.turn_to(limits.epoch_at(now));
    let status = CounterStatus::of(&document, ask(counter));
    let refusal = match (status.state, status.value) {
        (CounterState::LedgerRolledBack, Some(value)) => {
            Some(rolled_back(value, status.expected, limits.end_of_now(now)))
        }
        (CounterState::CounterRolledBack, Some(value)) => {
            Some(counter_rolled_back(value, status.expected))
        }
        _ => limits.bear(&document).err(),
    };
    let refusal = refusal.as_ref().map(Problem::from);
    Ok(Budget::of(&document, &limits, status, refusal, now))
}

/// What the TPM says of its counter.
pub(super) fn ask(counter: &(dyn MonotonicCounter + Send + Sync)) -> Answer {
    match counter.read() {
        Ok(value) => Answer::Value(value),
        Err(TpmError::NoCounter { .. }) => Answer::Missing,
        Err(_) => Answer::Unknown,
    }
}

fn rolled_back(value: u64, expected: u64, epoch_ends: Timestamp) -> Failure {
    Failure::new(
        codes::LEDGER_ROLLED_BACK,
        format!(
            "ledger: the TPM's counter is {value}, the ledger goes with {expected}: the state \
             directory is older than the last round"
        ),
        format!(
            "put the newest state directory back; if there is none, stop the agent and remove its \
             ledger.json: the budget then goes on from what the authority kept of it, or counts as \
             spent until {epoch_ends}"
        ),
    )
}

fn counter_rolled_back(value: u64, expected: u64) -> Failure {
    Failure::new(
        codes::COUNTER_ROLLED_BACK,
        format!(
            "ledger: the TPM's counter is {value}, the ledger goes with {expected}: the TPM was put \
             back, or is another one"
        ),
        "put the newest state of the virtual TPM back; no hardware TPM does this",
    )
}

/// The counter moved under this process.
pub(super) fn copied(value: u64, expected: u64) -> Failure {
    let why = format!("the counter is {value}, expected {expected}: a copy of this device runs");
    let hint = "find the copy and stop it: docs/operating.md, The privacy budget of a device";
    Failure { hint: hint.into(), ..refusal::failure(&Refusal::new(Guard::OnceCounter, why)) }
}

/// What a TPM error means for a step.
pub(super) fn counter_failure(error: &TpmError) -> Failure {
    if !matches!(error, TpmError::NoCounter { .. }) {
        return tpm_failure(error);
    }
    Failure::new(COUNTER_LOST, format!("TPM: {error}"), "restart the agent: it makes one")
}
