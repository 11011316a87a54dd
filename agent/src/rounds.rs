//! Which rounds this device took part in, and which it never will again.
//!
//! Two facts must be on disk before anything of a round leaves the device: the highest number per
//! task, and that this round is in progress. The secrets of a round live in memory only, so a
//! restart within one makes the device a dropout of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealsum_daemon::codes::Code;
use sealsum_daemon::{Failure, codes};
use sealsum_protocol::client::{Mark, RoundMarks};
use sealsum_protocol::error::AbortCode;
use sealsum_protocol::guard::{By, Guard};
use sealsum_protocol::ids::Hash;
use serde::{Deserialize, Serialize};

use crate::epochs::DATA_EPOCH_GIVEN;
use crate::ledger::{COUNTER_LOST, FAILED_ROUNDS, LEDGER_LOST};
use crate::state::StateDir;

/// Codes beside the guards' for a no of this device.
const SAID_NO: [Code; 9] = [
    codes::REFUSED,
    codes::LOG_INVALID,
    codes::LOG_FORK,
    codes::LEDGER_ROLLED_BACK,
    codes::COUNTER_ROLLED_BACK,
    LEDGER_LOST,
    COUNTER_LOST,
    FAILED_ROUNDS,
    DATA_EPOCH_GIVEN,
];
const FILE: &str = "rounds.json";
/// Most rounds remembered for `rounds`; the marks are kept for ever.
const HISTORY_MAX: usize = 1000;

/// Why an interrupted round ended, as its `code`.
pub const RESTARTED: &str = "restarted";
/// Why a round below the mark is refused, as its `code`.
pub const ROUND_REPLAYED: Code = Code::new("round_replayed", sealsum_daemon::codes::Exit::Refused);

/// How a round ended for this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its masked update reached the aggregator and the round went on to its end.
    Contributed,
    /// It fell out: restart, deadline, lost connection.
    Dropped,
    /// It said no.
    Refused,
    /// The round failed as a whole.
    Aborted,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Round id, hex.
    pub round: String,
    /// Name of the task.
    pub task: String,
    /// Number of the round within the task.
    pub number: u64,
    /// When it ended here.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Why, as a stable code; null for a round that went well.
    pub code: Option<String>,
    /// Why, in words.
    pub message: Option<String>,
    /// Privacy loss charged for it at the policy's delta; null if nothing was charged.
    pub epsilon: Option<f64>,
}

/// The round a device is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InProgress {
    /// Round id, hex.
    pub round: String,
    /// Name of the task.
    pub task: String,
    /// SHA-256 of the task as signed, hex: another version of a task counts anew.
    pub task_sha256: String,
    /// Number of the round within the task.
    pub number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entered {
    number: u64,
    at_unix_s: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// By task hash, hex.
    highest: BTreeMap<String, Entered>,
    current: Vec<InProgress>,
    history: Vec<Record>,
}

/// The rounds of this device, kept in `rounds.json`.
#[derive(Debug)]
pub struct Rounds {
    state: StateDir,
    document: Document,
}

impl Rounds {
    /// Reads what earlier runs left, without changing it.
    ///
    /// # Errors
    /// As [`StateDir::read`].
    pub fn read(state: &StateDir) -> Result<Self, Failure> {
        let document = state.read(FILE)?.unwrap_or_default();
        Ok(Self { state: state.clone(), document })
    }

    /// Records the rounds that the last run did not finish as dropped.
    ///
    /// # Errors
    /// `file_write`.
    pub fn recover(&mut self, now: Timestamp) -> Result<(), Failure> {
        for current in self.document.current.clone() {
            self.end(Record {
                round: current.round,
                task: current.task,
                number: current.number,
                at: now,
                outcome: Outcome::Dropped,
                code: Some(RESTARTED.into()),
                message: Some(
                    "the agent stopped within the round; its secrets were in memory only".into(),
                ),
                epsilon: None,
            })?;
        }
        Ok(())
    }

    /// The highest number of a round of this task that this device entered, if any.
    pub fn highest(&self, task_sha256: &str) -> Option<u64> {
        self.document.highest.get(task_sha256).map(|entered| entered.number)
    }

    /// Marks the round as entered, for ever. It is on disk when this returns; only then may the
    /// device advertise.
    ///
    /// # Errors
    /// `round_replayed` for a number that is not above the mark, `file_write`.
    pub fn begin(&mut self, round: InProgress, at_unix_s: u64) -> Result<(), Failure> {
        if let Some(highest) = self.highest(&round.task_sha256)
            && round.number <= highest
        {
            return Err(Failure::new(
                ROUND_REPLAYED,
                format!("round {} of {}: this device was in {highest}", round.number, round.task),
                "start the next round",
            ));
        }
        let entered = Entered { number: round.number, at_unix_s };
        self.document.highest.insert(round.task_sha256.clone(), entered);
        self.document.current.push(round);
        self.save()
    }

    /// Records how a round ended, or that it was refused. One record per round: a later one, such
    /// as `contributed` after an announcement was seen again, replaces the earlier.
    ///
    /// # Errors
    /// `file_write`.
    pub fn end(&mut self, record: Record) -> Result<(), Failure> {
        self.document.current.retain(|current| current.round != record.round);
        self.document.history.retain(|earlier| earlier.round != record.round);
        self.document.history.push(record);
        let surplus = self.document.history.len().saturating_sub(HISTORY_MAX);
        self.document.history.drain(..surplus);
        self.save()
    }

    /// Whether this round is in the history.
    pub fn knows(&self, round: &str) -> bool {
        self.document.history.iter().any(|record| record.round == round)
    }

    /// The rounds in progress, oldest first.
    pub fn current(&self) -> &[InProgress] {
        &self.document.current
    }

    /// The history, oldest first.
    pub fn history(&self) -> &[Record] {
        &self.document.history
    }

    fn save(&self) -> Result<(), Failure> {
        self.state.write(FILE, &self.document)
    }
}

/// The marks as the protocol asks for them, for one round that is about to be entered.
pub struct Entering<'a> {
    /// All rounds of this device.
    pub rounds: &'a mut Rounds,
    /// The round.
    pub round: InProgress,
}

impl RoundMarks for Entering<'_> {
    fn last(&self, task: &Hash) -> Result<Option<Mark>, String> {
        let entered = self.rounds.document.highest.get(&task.to_string());
        Ok(entered.map(|entered| Mark { number: entered.number, at_unix_s: entered.at_unix_s }))
    }

    fn raise(&mut self, _task: &Hash, mark: Mark) -> Result<(), String> {
        self.rounds.begin(self.round.clone(), mark.at_unix_s).map_err(|failure| failure.message)
    }
}

impl From<&Failure> for Reason {
    fn from(failure: &Failure) -> Self {
        Self { code: failure.code.name().to_owned(), message: failure.message.clone() }
    }
}

/// A code and its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code.
    pub code: String,
    /// In words.
    pub message: String,
}

impl Outcome {
    /// Of a round that this device did not see through: the round failed for all, the device said
    /// no, or it fell out.
    pub fn of(failure: &Failure) -> Self {
        let name = failure.code.name();
        let aborted = |code: &AbortCode| *code != AbortCode::Deadline && code.as_str() == name;
        let refused = |guard: &Guard| guard.by() != By::Aggregator && guard.name() == name;
        if AbortCode::ALL.iter().any(aborted) {
            Self::Aborted
        } else if failure.code != codes::DEADLINE
            && (Guard::ALL.iter().any(refused) || SAID_NO.contains(&failure.code))
        {
            Self::Refused
        } else {
            Self::Dropped
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(number: u64) -> InProgress {
        InProgress {
            round: format!("{number:064x}"),
            task: "penguins".into(),
            task_sha256: "aa".into(),
            number,
        }
    }

    fn record(number: u64, outcome: Outcome) -> Record {
        Record {
            round: round(number).round,
            task: "penguins".into(),
            number,
            at: Timestamp::UNIX_EPOCH,
            outcome,
            code: None,
            message: None,
            epsilon: None,
        }
    }

    fn state() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state")).unwrap();
        (dir, state)
    }

    #[test]
    fn a_number_is_entered_once_even_across_restarts() {
        let (_dir, state) = state();
        let mut rounds = Rounds::read(&state).unwrap();
        rounds.begin(round(3), 9).unwrap();
        rounds.end(record(3, Outcome::Contributed)).unwrap();
        for number in [2, 3] {
            let failure = rounds.begin(round(number), 9).unwrap_err();
            assert_eq!(failure.code, ROUND_REPLAYED);
            let failure = Rounds::read(&state).unwrap().begin(round(number), 9).unwrap_err();
            assert_eq!(failure.code, ROUND_REPLAYED);
        }
        rounds.begin(round(4), 9).unwrap();
    }

    #[test]
    fn a_round_cut_by_a_restart_is_a_drop_with_its_reason() {
        let (_dir, state) = state();
        Rounds::read(&state).unwrap().begin(round(1), 9).unwrap();
        let mut rounds = Rounds::read(&state).unwrap();
        assert_eq!(rounds.current(), [round(1)]);
        rounds.recover(Timestamp::UNIX_EPOCH).unwrap();
        let rounds = Rounds::read(&state).unwrap();
        assert!(rounds.current().is_empty());
        let last = rounds.history().last().unwrap();
        assert_eq!((last.outcome, last.code.as_deref()), (Outcome::Dropped, Some(RESTARTED)));
    }

    #[test]
    fn the_history_is_bounded_and_the_mark_is_not_forgotten() {
        let (_dir, state) = state();
        let mut rounds = Rounds::read(&state).unwrap();
        rounds.document.history =
            (0..HISTORY_MAX as u64).map(|n| record(n, Outcome::Refused)).collect();
        rounds.begin(round(5000), 9).unwrap();
        rounds.end(record(5000, Outcome::Contributed)).unwrap();
        assert_eq!(rounds.history().len(), HISTORY_MAX);
        assert!(!rounds.knows(&round(0).round));
        assert!(rounds.knows(&round(5000).round));
        assert_eq!(rounds.highest("aa"), Some(5000));
        assert_eq!(rounds.highest("bb"), None);
    }

    #[test]
    fn an_outcome_says_whose_doing_it_was() {
        let of = |name: &str| Outcome::of(&Failure::new(Code::remote(name, 409), "a: b", "c"));
        assert_eq!(of("too_few_devices"), Outcome::Aborted);
        assert_eq!(of("cancelled"), Outcome::Aborted);
        assert_eq!(of("neighbour_view"), Outcome::Refused);
        assert_eq!(of("budget"), Outcome::Refused);
        for fell_out in ["late", "deadline", "unreachable", "not_in_roster", "tpm_unreachable"] {
            assert_eq!(of(fell_out), Outcome::Dropped, "{fell_out}");
        }
    }

    #[test]
    fn one_record_per_round() {
        let (_dir, state) = state();
        let mut rounds = Rounds::read(&state).unwrap();
        rounds.end(record(1, Outcome::Refused)).unwrap();
        rounds.end(record(1, Outcome::Contributed)).unwrap();
        assert_eq!(rounds.history(), [record(1, Outcome::Contributed)]);
    }
}
