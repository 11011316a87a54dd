//! What this device has spent of its privacy, over all tasks.
//!
//! Charges are (xi, rho) in 2^-48 as [`sealsum_protocol::dp::accountant`] defines them; sums are
//! integers, epsilon is for people and for the one comparison with the policy's limit. A charge is
//! on disk before the first masked byte leaves and is never taken back: a device cannot know
//! whether the others revealed. There is no amplification by sampling: the aggregator picks the
//! cohort and knows it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sealsum_daemon::codes::{Code, Exit};
use sealsum_daemon::{Failure, codes};
use sealsum_protocol::dp::accountant::{Charge, Orders};
use serde::{Deserialize, Serialize};

use crate::config::Policy;
use crate::state::StateDir;

const FILE: &str = "ledger.json";
const VERSION: u32 = 1;
const DAY: SignedDuration = SignedDuration::from_hours(24);
const BAR_WIDTH: usize = 30;
/// The limit of the policy is reached.
pub const BUDGET: Code = Code::new("budget", Exit::Refused);

/// The policy's limits, and what was spent.
#[derive(Debug)]
pub struct Ledger {
    state: StateDir,
    limits: Limits,
    document: Document,
}

/// What the policy allows.
#[derive(Clone, Copy, Debug)]
struct Limits {
    epsilon: f64,
    delta: f64,
    epoch_days: u32,
    charges_per_day: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// Days since 1970 over `epoch_days`. It never goes back, whatever the clock says.
    epoch: u64,
    /// Spent in this epoch, by task.
    tasks: BTreeMap<String, Entry>,
    /// Moments of the charges of the last 24 hours.
    recent: Vec<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    xi: u64,
    rho: u64,
    charges: u64,
}

impl Entry {
    fn charge(self) -> Charge {
        Charge { xi: self.xi, rho: self.rho }
    }
}

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
    /// Spent by all tasks together in this epoch.
    pub epsilon: f64,
    /// The delta that goes with it.
    pub delta: f64,
    /// The policy's limit.
    pub limit: f64,
    /// When the epoch ends, and the spending starts anew.
    pub epoch_ends: Timestamp,
    /// Rounds charged in this epoch.
    pub charges: u64,
    /// By task. The parts do not add up to the whole: epsilon is not additive, its charges are.
    pub tasks: Vec<Spent>,
}

impl Ledger {
    /// Reads what was spent.
    ///
    /// # Errors
    /// As [`StateDir::read`]; `file_format` for another version. A damaged ledger is never taken
    /// for an empty one.
    pub fn open(state: &StateDir, policy: &Policy) -> Result<Self, Failure> {
        let limits = Limits {
            epsilon: policy.max_epsilon,
            delta: policy.delta,
            epoch_days: policy.epoch_days,
            charges_per_day: policy.max_charges_per_day,
        };
        let document: Document = state.read(FILE)?.unwrap_or_else(|| Document {
            version: VERSION,
            epoch: 0,
            tasks: BTreeMap::new(),
            recent: Vec::new(),
        });
        if document.version != VERSION {
            return Err(Failure::new(
                codes::FILE_FORMAT,
                format!("ledger: version {} of {FILE}", document.version),
                "the version of sealsum-agent that wrote it, or a newer one",
            ));
        }
        Ok(Self { state: state.clone(), limits, document })
    }

    /// Refuses a charge that the policy does not allow, without making it.
    ///
    /// # Errors
    /// `budget`.
    pub fn afford(&self, charge: Charge, now: Timestamp) -> Result<(), Failure> {
        let recent = self.recent(now).count();
        if recent >= self.limits.charges_per_day as usize {
            let why = format!("privacy budget: {recent} rounds were charged in the last 24 hours");
            return Err(Failure::new(BUDGET, why, "raise policy.max_charges_per_day, or wait"));
        }
        let after = self.total(now).checked_add(charge);
        let epsilon = after.map_or(f64::INFINITY, |after| self.epsilon(after));
        if epsilon > self.limits.epsilon {
            let limit = self.limits.epsilon;
            return Err(Failure::new(
                BUDGET,
                format!("privacy budget: the round would bring epsilon to {epsilon:.2} of {limit}"),
                format!("wait for the next epoch, {}", self.epoch_ends(now)),
            ));
        }
        Ok(())
    }

    /// Charges a round. It is on disk when this returns; only then may its masked bytes leave.
    ///
    /// # Errors
    /// `budget`; `file_write`, and then nothing may leave.
    pub fn charge(&mut self, task: &str, charge: Charge, now: Timestamp) -> Result<(), Failure> {
        self.afford(charge, now)?;
        self.turn_epoch(now);
        let entry = self.document.tasks.entry(task.to_owned()).or_default();
        // Affordable, so the sum of all can be counted, and each part of it too.
        entry.xi = entry.xi.saturating_add(charge.xi);
        entry.rho = entry.rho.saturating_add(charge.rho);
        entry.charges += 1;
        self.document.recent = self.recent(now).copied().collect();
        self.document.recent.push(now);
        self.state.write(FILE, &self.document)
    }

    /// The privacy loss of one charge at the policy's delta.
    pub fn epsilon(&self, charge: Charge) -> f64 {
        charge.epsilon(self.limits.delta, Orders::Integer)
    }

    /// What was spent, by task.
    pub fn spent(&self, now: Timestamp) -> Vec<Spent> {
        let Limits { delta, epsilon: limit, .. } = self.limits;
        let spent = |(task, entry): (&String, &Entry)| Spent {
            task: task.clone(),
            epsilon: self.epsilon(entry.charge()),
            delta,
            limit,
        };
        self.entries(now).map(spent).collect()
    }

    /// What was spent and what is left.
    pub fn budget(&self, now: Timestamp) -> Budget {
        Budget {
            epsilon: self.epsilon(self.total(now)),
            delta: self.limits.delta,
            limit: self.limits.epsilon,
            epoch_ends: self.epoch_ends(now),
            charges: self.entries(now).map(|(_, entry)| entry.charges).sum(),
            tasks: self.spent(now),
        }
    }

    fn total(&self, now: Timestamp) -> Charge {
        self.entries(now).fold(Charge::default(), |total, (_, entry)| Charge {
            xi: total.xi.saturating_add(entry.xi),
            rho: total.rho.saturating_add(entry.rho),
        })
    }

    /// The entries of the present epoch: none once a new one has begun.
    fn entries(&self, now: Timestamp) -> impl Iterator<Item = (&String, &Entry)> {
        let current = self.epoch_at(now) == self.document.epoch;
        self.document.tasks.iter().filter(move |_| current)
    }

    /// The epoch of this moment, or the newest that was ever charged if the clock went back.
    fn epoch_at(&self, now: Timestamp) -> u64 {
        let day = u64::try_from(now.as_second()).unwrap_or(0) / 86_400;
        (day / u64::from(self.limits.epoch_days)).max(self.document.epoch)
    }

    fn epoch_ends(&self, now: Timestamp) -> Timestamp {
        let days = (self.epoch_at(now) + 1) * u64::from(self.limits.epoch_days);
        let seconds = i64::try_from(days * 86_400).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    }

    fn turn_epoch(&mut self, now: Timestamp) {
        let epoch = self.epoch_at(now);
        if epoch != self.document.epoch {
            self.document.epoch = epoch;
            self.document.tasks.clear();
        }
    }

    fn recent(&self, now: Timestamp) -> impl Iterator<Item = &Timestamp> {
        self.document.recent.iter().filter(move |at| now.duration_since(**at) < DAY)
    }
}

/// A bar, and a line for each task.
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
        write!(f, "{} rounds charged; the epoch ends {}", self.charges, self.epoch_ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: u64 = 1 << 48;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(days * 86_400).unwrap()
    }

    fn charge(thousandths_of_rho: u64) -> Charge {
        Charge { xi: 0, rho: UNIT / 1000 * thousandths_of_rho }
    }

    struct Fixture {
        _dir: tempfile::TempDir,
        state: StateDir,
        policy: Policy,
    }

    impl Fixture {
        fn new(policy: Policy) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let state = StateDir::create(&dir.path().join("state")).unwrap();
            Self { _dir: dir, state, policy }
        }

        fn open(&self) -> Ledger {
            Ledger::open(&self.state, &self.policy).unwrap()
        }
    }

    fn policy(max_epsilon: f64) -> Policy {
        Policy { max_epsilon, epoch_days: 90, ..Policy::default() }
    }

    #[test]
    fn charges_of_all_tasks_add_up_across_restarts() {
        let fixture = Fixture::new(policy(8.0));
        for task in ["a", "b", "a"] {
            fixture.open().charge(task, charge(100), at(900)).unwrap();
        }
        let budget = fixture.open().budget(at(901));
        let expected = charge(300).epsilon(1e-5, Orders::Integer);
        assert!((budget.epsilon - expected).abs() < 1e-9, "{budget:?}");
        assert_eq!(budget.charges, 3);
        let a = charge(200).epsilon(1e-5, Orders::Integer);
        assert_eq!(budget.tasks[0].task, "a");
        assert!((budget.tasks[0].epsilon - a).abs() < 1e-9);
    }

    #[test]
    fn the_charge_that_would_pass_the_limit_is_refused_and_not_made() {
        let fixture = Fixture::new(policy(2.0));
        let mut ledger = fixture.open();
        let mut made = 0;
        let failure = loop {
            match ledger.charge("a", charge(20), at(900)) {
                Ok(()) => made += 1,
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.code, BUDGET);
        assert!(made >= 2, "{made}");
        let spent = fixture.open().budget(at(900));
        assert!(spent.epsilon <= 2.0);
        assert_eq!(spent.charges, made);
        let over = charge(20 * (made + 1)).epsilon(1e-5, Orders::Integer);
        assert!(over > 2.0, "one more would have fitted: {over}");
    }

    #[test]
    fn a_charge_too_large_to_count_is_refused() {
        let fixture = Fixture::new(policy(f64::MAX));
        let mut ledger = fixture.open();
        ledger.charge("a", Charge { xi: u64::MAX / 2, rho: 1 }, at(900)).unwrap();
        let failure = ledger.charge("b", Charge { xi: u64::MAX, rho: 1 }, at(900)).unwrap_err();
        assert_eq!(failure.code, BUDGET);
    }

    #[test]
    fn an_epoch_renews_the_budget_and_a_clock_set_back_does_not() {
        let fixture = Fixture::new(policy(8.0));
        fixture.open().charge("a", charge(100), at(900)).unwrap();
        assert_eq!(fixture.open().budget(at(989)).charges, 1);
        assert_eq!(fixture.open().budget(at(990)).charges, 0);
        fixture.open().charge("a", charge(100), at(990)).unwrap();
        let back = fixture.open().budget(at(900));
        assert_eq!(back.charges, 1, "the clock of day 900 must not give a fresh epoch");
        assert_eq!(back.epoch_ends, at(1080));
    }

    #[test]
    fn charges_a_day_are_bounded() {
        let limited = Policy { max_charges_per_day: 2, ..policy(8.0) };
        let fixture = Fixture::new(limited);
        let free = Charge::default();
        fixture.open().charge("a", free, at(900)).unwrap();
        fixture.open().charge("a", free, at(900)).unwrap();
        assert_eq!(fixture.open().charge("a", free, at(900)).unwrap_err().code, BUDGET);
        fixture.open().charge("a", free, at(901)).unwrap();
    }

    #[test]
    fn a_damaged_ledger_is_no_empty_one() {
        let fixture = Fixture::new(policy(8.0));
        fixture.open().charge("a", charge(100), at(900)).unwrap();
        let path = fixture.state.file(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        sealsum_daemon::files::write_private(&path, &text.as_bytes()[..text.len() / 2]).unwrap();
        let failure = Ledger::open(&fixture.state, &fixture.policy).unwrap_err();
        assert_eq!(failure.code, codes::FILE_FORMAT);
    }

    #[test]
    fn the_bar_shows_how_much_is_spent() {
        let fixture = Fixture::new(policy(8.0));
        let empty = fixture.open().budget(at(900)).to_string();
        assert!(empty.contains(&format!("[{}]", ".".repeat(BAR_WIDTH))), "{empty}");
        fixture.open().charge("penguins", charge(400), at(900)).unwrap();
        let some = fixture.open().budget(at(900)).to_string();
        assert!(some.contains("##") && some.contains("..") && some.contains("penguins"), "{some}");
    }
}
