//! What the policy allows, and whether a charge is within it.

use jiff::Timestamp;
use sealsum_daemon::Failure;
use sealsum_daemon::codes::{Code, Exit};
use sealsum_protocol::dp::accountant::{Charge, Orders};
use serde::{Deserialize, Serialize};

use super::document::{Document, Lost};
use crate::config::Policy;

/// A limit of the policy is reached.
pub const BUDGET: Code = Code::new("budget", Exit::Refused);
/// Too many rounds in a row masked an update and failed.
pub const FAILED_ROUNDS: Code = Code::new("failed_rounds", Exit::Refused);
/// The ledger's file is gone: the budget of the epoch counts as spent.
pub const LEDGER_LOST: Code = Code::new("ledger_lost", Exit::Refused);
/// The TPM's counter is gone: the budget of the epoch counts as spent.
pub const COUNTER_LOST: Code = Code::new("counter_lost", Exit::Refused);

/// The limits, as `budget` shows them too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Epsilon of all tasks together, per epoch.
    pub epsilon_per_epoch: f64,
    /// Epsilon of one task, per epoch.
    pub epsilon_per_task: f64,
    /// Epsilon of one round.
    pub epsilon_per_round: f64,
    /// The delta that goes with all three.
    pub delta: f64,
    /// Length of an epoch.
    pub epoch_days: u32,
    /// Rounds that may charge the budget in 24 hours.
    pub charges_per_day: u32,
    /// Rounds in a row that may mask an update and fail.
    pub failed_rounds_in_row: u32,
}

impl Limits {
    /// Those of the policy.
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            epsilon_per_epoch: policy.max_epsilon,
            epsilon_per_task: policy.max_epsilon_per_task,
            epsilon_per_round: policy.max_epsilon_per_round,
            delta: policy.delta,
            epoch_days: policy.epoch_days,
            charges_per_day: policy.max_charges_per_day,
            failed_rounds_in_row: policy.max_failed_rounds_in_row,
        }
    }

    /// The privacy loss of a charge.
    pub(super) fn epsilon(&self, charge: Charge) -> f64 {
        charge.epsilon(self.delta, Orders::Integer)
    }

    /// The most that one round can have cost.
    pub(super) fn largest_round(&self) -> f64 {
        self.epsilon_per_round.min(self.epsilon_per_epoch)
    }

    /// The number of the epoch of this moment.
    pub(super) fn epoch_at(&self, now: Timestamp) -> u64 {
        let day = u64::try_from(now.as_second()).unwrap_or(0) / 86_400;
        day / u64::from(self.epoch_days)
    }

    /// The end of the epoch of this moment.
    pub(super) fn end_of_now(&self, now: Timestamp) -> Timestamp {
        self.end_of(self.epoch_at(now))
    }

    /// The end of an epoch.
    pub(super) fn end_of(&self, epoch: u64) -> Timestamp {
        let days = epoch.saturating_add(1).saturating_mul(u64::from(self.epoch_days));
        let seconds = i64::try_from(days.saturating_mul(86_400)).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    }

    /// Refuses a round that would come after too many failures.
    pub(super) fn bear(&self, document: &Document) -> Result<(), Failure> {
        let failed = document.failed_in_row;
        if failed < self.failed_rounds_in_row {
            return Ok(());
        }
        Err(Failure::new(
            FAILED_ROUNDS,
            format!("rounds: {failed} in a row took an update of this device and failed"),
            "find out why the aggregator's rounds fail, then sealsum-agent budget --resume",
        ))
    }

    /// Refuses a charge of `task` that is beyond a limit. `document` is of the present epoch.
    pub(super) fn afford(
        &self,
        document: &Document,
        task: &str,
        charge: Charge,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let over = |why: String, hint: String| Err(Failure::new(BUDGET, why, hint));
        let next_epoch = || format!("wait for the next epoch, {}", self.end_of(document.epoch));
        if let Some(lost) = document.lost {
            return Err(lost.failure(&next_epoch()));
        }
        let today = document.charges_today(now);
        if today >= self.charges_per_day as usize {
            let why = format!("privacy budget: {today} rounds were charged in the last 24 hours");
            return over(why, "raise policy.max_charges_per_day, or wait".into());
        }
        let round = self.epsilon(charge);
        if round > self.epsilon_per_round {
            let limit = self.epsilon_per_round;
            let why = format!("privacy budget: the round costs epsilon {round:.2}, over {limit}");
            return over(why, "more noise; policy.max_epsilon_per_round is the limit".into());
        }
        let after = |spent: Charge| {
            let after = spent.checked_add(charge);
            after.map_or(f64::INFINITY, |after| self.epsilon(after)) + document.in_doubt
        };
        let of_task = after(document.tasks.get(task).copied().unwrap_or_default().charge());
        if of_task > self.epsilon_per_task {
            let limit = self.epsilon_per_task;
            let why = format!("privacy budget: {task} would have epsilon {of_task:.2} of {limit}");
            return over(why, next_epoch());
        }
        let of_all = after(document.total());
        if of_all > self.epsilon_per_epoch {
            let limit = self.epsilon_per_epoch;
            return over(
                format!("privacy budget: the round would bring epsilon to {of_all:.2} of {limit}"),
                next_epoch(),
            );
        }
        Ok(())
    }
}

impl Document {
    /// Spent in its epoch, by all tasks.
    pub(super) fn total(&self) -> Charge {
        self.tasks.values().map(|entry| entry.charge()).fold(Charge::default(), |total, charge| {
            Charge {
                xi: total.xi.saturating_add(charge.xi),
                rho: total.rho.saturating_add(charge.rho),
            }
        })
    }
}

impl Lost {
    /// Why there is no budget.
    pub(super) fn failure(self, hint: &str) -> Failure {
        let (code, what) = match self {
            Self::Ledger => (LEDGER_LOST, "the ledger of this device was gone"),
            Self::Counter => (COUNTER_LOST, "the TPM's counter was gone, which vouches for it"),
        };
        Failure::new(code, format!("privacy budget: it counts as spent; {what}"), hint)
    }
}
