//! What `budget` and `status` show of the ledger.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::document::{Document, Found};
use super::limits::Limits;
use crate::status::Problem;

const BAR_WIDTH: usize = 30;

/// What one task cost, as `status` and `budget` show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Name of the task.
    pub task: String,
    /// Spent by it in this epoch.
    pub epsilon: f64,
    /// The delta that goes with it.
    pub delta: f64,
    /// The policy's limit for all tasks together.
    pub limit: f64,
}

/// What `budget` shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Spent by all tasks together in this epoch; the limit, if the budget counts as spent.
    pub epsilon: f64,
    /// The delta that goes with it.
    pub delta: f64,
    /// The policy's limit.
    pub limit: f64,
    /// When the epoch ends, and the spending starts anew.
    pub epoch_ends: Timestamp,
    /// Rounds charged in this epoch.
    pub charges: u64,
    /// Rounds charged in the last 24 hours.
    pub charges_today: u64,
    /// Rounds of this epoch that took an update and failed; what they cost is spent.
    pub failed: u64,
    /// The same in a row, until now.
    pub failed_in_row: u32,
    /// The part of `epsilon` that stands for steps of which it is not known who took them.
    pub in_doubt: f64,
    /// All limits of the policy.
    pub limits: Limits,
    /// The counter in the TPM.
    pub counter: CounterStatus,
    /// Why no round is charged at present; null if the next one may be.
    pub refusal: Option<Problem>,
    /// By task. The parts do not add up to the whole: epsilon is not additive, its charges are.
    pub tasks: Vec<Spent>,
}

/// The counter in the TPM beside what the ledger expects of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterStatus {
    /// What the ledger expects.
    pub expected: u64,
    /// What the TPM says; null if it does not say.
    pub value: Option<u64>,
    /// How they go together.
    pub state: CounterState,
}

/// How counter and ledger go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CounterState {
    /// They agree.
    Matches,
    /// The agent stopped within a step; the next start settles it.
    MidStep,
    /// The ledger is older than the counter.
    LedgerRolledBack,
    /// The counter is older than the ledger.
    CounterRolledBack,
    /// The TPM has none.
    Missing,
    /// The TPM does not answer.
    Unknown,
}

impl CounterStatus {
    /// Compares what the TPM answered with the file.
    pub(super) fn of(document: &Document, answer: Answer) -> Self {
        let (value, state) = match answer {
            Answer::Value(value) => (Some(value), document.counter.judge(value).into()),
            Answer::Missing => (None, CounterState::Missing),
            Answer::Unknown => (None, CounterState::Unknown),
        };
        Self { expected: document.counter.value, value, state }
    }
}

/// What the TPM says of its counter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Value(u64),
    Missing,
    Unknown,
}

impl From<Found> for CounterState {
    fn from(found: Found) -> Self {
        match found {
            Found::AsExpected => Self::Matches,
            Found::NotMoved | Found::InDoubt => Self::MidStep,
            Found::Ahead => Self::LedgerRolledBack,
            Found::Behind => Self::CounterRolledBack,
        }
    }
}

/// Spent by task in the epoch of the document.
pub(super) fn spent(document: &Document, limits: &Limits) -> Vec<Spent> {
    let spent = |(task, entry): (&String, &super::document::Entry)| Spent {
        task: task.clone(),
        epsilon: limits.epsilon(entry.charge()),
        delta: limits.delta,
        limit: limits.epsilon_per_epoch,
    };
    document.tasks.iter().map(spent).collect()
}

impl Budget {
    /// Of a document of the present epoch.
    pub(super) fn of(
        document: &Document,
        limits: &Limits,
        counter: CounterStatus,
        refusal: Option<Problem>,
        now: Timestamp,
    ) -> Self {
        let limit = limits.epsilon_per_epoch;
        let counted = limits.epsilon(document.total()) + document.in_doubt;
        Self {
            epsilon: if document.lost.is_some() { limit.max(counted) } else { counted },
            delta: limits.delta,
            limit,
            epoch_ends: limits.end_of(document.epoch),
            charges: document.tasks.values().map(|entry| entry.charges).sum(),
            charges_today: document.charges_today(now) as u64,
            failed: document.failed,
            failed_in_row: document.failed_in_row,
            in_doubt: document.in_doubt,
            limits: *limits,
            counter,
            refusal,
            tasks: spent(document, limits),
        }
    }
}

/// A bar, a line for each task, the limits, and the counter.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share =
            if self.limit > 0.0 { (self.epsilon / self.limit).clamp(0.0, 1.0) } else { 1.0 };
        // Rounded up: a little spent is to be seen.
        let filled = (share * BAR_WIDTH as f64).ceil() as usize;
        writeln!(
            f,
            "privacy spent [{}{}] epsilon {:.3} of {} at delta {:e}",
            "#".repeat(filled),
            ".".repeat(BAR_WIDTH - filled),
            self.epsilon,
            self.limit,
            self.delta
        )?;
        for spent in &self.tasks {
            writeln!(f, "  {:<24} epsilon {:.3}", spent.task, spent.epsilon)?;
        }
        if self.in_doubt > 0.0 {
            writeln!(f, "  {:<24} epsilon {:.3}", "(interrupted steps)", self.in_doubt)?;
        }
        writeln!(f, "{} rounds charged; the epoch ends {}", self.charges, self.epoch_ends)?;
        let Limits { epsilon_per_task, epsilon_per_round, charges_per_day, .. } = self.limits;
        writeln!(
            f,
            "limits  epsilon {epsilon_per_task} a task, {epsilon_per_round} a round; {} of \
             {charges_per_day} rounds in 24 hours",
            self.charges_today
        )?;
        writeln!(
            f,
            "failed  {} rounds, {} of {} in a row",
            self.failed, self.failed_in_row, self.limits.failed_rounds_in_row
        )?;
        write!(f, "counter {}", self.counter)?;
        match &self.refusal {
            Some(refusal) => write!(f, "\nrefused {}. Try: {}", refusal.message, refusal.hint),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CounterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.expected;
        match (self.state, self.value) {
            (CounterState::Matches, _) => write!(f, "{expected}, as the TPM says"),
            (CounterState::Missing, _) => write!(f, "{expected}, but the TPM has none"),
            (CounterState::MidStep, _) => write!(f, "{expected}, in the middle of a step"),
            (_, Some(value)) => write!(f, "{expected}, but the TPM says {value}"),
            (_, None) => write!(f, "{expected}; the TPM does not answer"),
        }
    }
}
