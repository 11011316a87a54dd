//! `ledger.json`: what was spent, and the value of the TPM's counter that goes with it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sealsum_daemon::{Failure, codes};
use sealsum_protocol::dp::accountant::Charge;
use serde::{Deserialize, Serialize};

use crate::state::StateDir;

const FILE: &str = "ledger.json";
const VERSION: u32 = 2;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    version: u32,
    /// What the TPM's counter is expected to be.
    pub(super) counter: Expected,
    /// Days since 1970 over `epoch_days`. It never goes back, whatever the clock says.
    pub(super) epoch: u64,
    /// Spent in this epoch, by task.
    pub(super) tasks: BTreeMap<String, Entry>,
    /// Epsilon counted in this epoch for steps of which nobody can say who took them.
    pub(super) in_doubt: f64,
    /// Why the whole budget of this epoch counts as spent, if it does.
    pub(super) lost: Option<Lost>,
    /// Rounds of this epoch that masked an update and did not go well.
    pub(super) failed: u64,
    /// The same since the last one that did, over all epochs.
    pub(super) failed_in_row: u32,
    /// Rounds that masked an update and have not ended.
    pub(super) under_way: u32,
    /// Moments of the charges of the last 24 hours.
    recent: Vec<Timestamp>,
}

/// A value of the counter, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// The value.
    pub(super) value: u64,
    /// Whether the counter was about to be moved to it, as opposed to seen there.
    pub(super) moving: bool,
}

/// How the counter stands to what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// As it was left.
    AsExpected,
    /// The step that was written down was not taken: nothing of it has left.
    NotMoved,
    /// Either that step was taken, and nothing of it has left, or a copy of this device took one.
    InDoubt,
    /// Steps were taken that the file knows nothing of.
    Ahead,
    /// Steps were taken that the counter knows nothing of.
    Behind,
}

impl Expected {
    /// What the counter has certainly come to.
    pub(super) fn reached(self) -> u64 {
        self.value - u64::from(self.moving)
    }

    /// Compares with the counter.
    pub(super) fn judge(self, counter: u64) -> Found {
        match (self.moving, counter.cmp(&self.value)) {
            (_, std::cmp::Ordering::Greater) => Found::Ahead,
            (false, std::cmp::Ordering::Equal) => Found::AsExpected,
            (true, std::cmp::Ordering::Equal) => Found::InDoubt,
            (true, std::cmp::Ordering::Less) if counter + 1 == self.value => Found::NotMoved,
            _ => Found::Behind,
        }
    }
}

/// What is missing, so that nobody knows what was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lost {
    /// The file, on a device that had one.
    Ledger,
    /// The counter, without which nobody can say that the file is the newest.
    Counter,
}

/// Spent by one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    xi: u64,
    rho: u64,
    pub(super) charges: u64,
}

impl Entry {
    pub(super) fn charge(self) -> Charge {
        Charge { xi: self.xi, rho: self.rho }
    }
}

impl Document {
    /// Nothing spent.
    pub(super) fn new() -> Self {
        Self {
            version: VERSION,
            counter: Expected { value: 0, moving: false },
            epoch: 0,
            tasks: BTreeMap::new(),
            in_doubt: 0.0,
            lost: None,
            failed: 0,
            failed_in_row: 0,
            under_way: 0,
            recent: Vec::new(),
        }
    }

    /// Reads the file; `None` if it is not there. A damaged one is never taken for none.
    pub(super) fn read(state: &StateDir) -> Result<Option<Self>, Failure> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        match state.read::<Versioned>(FILE)? {
            None => Ok(None),
            Some(Versioned { version: VERSION }) => state.read(FILE),
            Some(Versioned { version }) => Err(Failure::new(
                codes::FILE_FORMAT,
                format!("ledger: version {version} of {FILE}"),
                "the version of sealsum-agent that wrote it, or a newer one",
            )),
        }
    }

    /// Replaces the file; it is on disk when this returns.
    pub(super) fn write(&self, state: &StateDir) -> Result<(), Failure> {
        state.write(FILE, self)
    }

    /// Goes with this value of the counter from now on.
    pub(super) fn settle_at(&mut self, value: u64) {
        self.counter = Expected { value, moving: false };
    }

    /// Begins the epoch of this number, if it is a later one: what was spent does not count there.
    pub(super) fn turn_to(&mut self, epoch: u64) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.tasks.clear();
            (self.in_doubt, self.lost, self.failed) = (0.0, None, 0);
        }
    }

    /// Adds a charge. The caller has found it affordable, so the sum can be counted.
    pub(super) fn add(&mut self, task: &str, charge: Charge, now: Timestamp) {
        let entry = self.tasks.entry(task.to_owned()).or_default();
        entry.xi = entry.xi.saturating_add(charge.xi);
        entry.rho = entry.rho.saturating_add(charge.rho);
        entry.charges += 1;
        self.note(now);
    }

    /// Counts a moment as one of a charge.
    pub(super) fn note(&mut self, now: Timestamp) {
        self.recent.retain(|at| now.duration_since(*at) < DAY);
        self.recent.push(now);
    }

    /// Charges of the last 24 hours. A moment that the clock says is still to come counts.
    pub(super) fn charges_today(&self, now: Timestamp) -> usize {
        self.recent.iter().filter(|at| now.duration_since(**at) < DAY).count()
    }

    /// A round that masked an update ended.
    pub(super) fn end_round(&mut self, went_well: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        self.failed_in_row = if went_well { 0 } else { self.failed_in_row.saturating_add(1) };
        self.failed += u64::from(!went_well);
    }

    /// The rounds that the last run did not finish failed.
    pub(super) fn end_all_rounds(&mut self) {
        while self.under_way > 0 {
            self.end_round(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_that_was_written_down_and_not_taken_is_no_roll_back_and_two_are() {
        let judge = |value, moving, counter| Expected { value, moving }.judge(counter);
        assert_eq!(judge(7, false, 7), Found::AsExpected);
        assert_eq!(judge(7, false, 6), Found::Behind);
        assert_eq!(judge(7, false, 8), Found::Ahead);
        assert_eq!(judge(7, true, 6), Found::NotMoved);
        assert_eq!(judge(7, true, 7), Found::InDoubt);
        assert_eq!(judge(7, true, 5), Found::Behind);
        assert_eq!(judge(7, true, 8), Found::Ahead);
    }
}
