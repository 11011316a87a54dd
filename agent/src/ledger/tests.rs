use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealsum_attest_tpm::TpmError;
use sealsum_daemon::codes;

use super::*;

const UNIT: u64 = 1 << 48;

/// A counter in memory; `0` is none.
#[derive(Clone, Default)]
struct Chip(Arc<AtomicU64>, Arc<AtomicU64>);

impl Chip {
    /// Deletes the counter; a new one begins above it.
    fn clear(&self) {
        self.1.store(self.0.swap(0, Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Makes it another chip.
    fn exchange(&self) {
        self.0.store(0, Ordering::SeqCst);
        self.1.store(0, Ordering::SeqCst);
    }
}

impl MonotonicCounter for Chip {
    fn create(&self) -> Result<u64, TpmError> {
        let first = self.1.load(Ordering::SeqCst) + 1;
        self.0.store(first, Ordering::SeqCst);
        Ok(first)
    }

    fn read(&self) -> Result<u64, TpmError> {
        match self.0.load(Ordering::SeqCst) {
            0 => Err(TpmError::NoCounter { index: 1 }),
            value => Ok(value),
        }
    }

    fn increment(&self) -> Result<u64, TpmError> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

struct Fixture {
    _dir: tempfile::TempDir,
    state: StateDir,
    policy: Policy,
    chip: Chip,
}

impl Fixture {
    fn new(policy: Policy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state")).unwrap();
        let fixture = Self { _dir: dir, state, policy, chip: Chip::default() };
        fixture.open_as(Beginning::New, at(1));
        fixture
    }

    fn open_as(&self, beginning: Beginning, now: Timestamp) -> Ledger {
        let counter = Box::new(self.chip.clone());
        Ledger::open(&self.state, &self.policy, counter, beginning, now).unwrap()
    }

    fn open(&self) -> Ledger {
        self.open_as(Beginning::Again, at(900))
    }

    fn forget(&self) {
        self.state.remove("ledger.json").unwrap();
    }
}

fn at(days: i64) -> Timestamp {
    Timestamp::from_second(days * 86_400).unwrap()
}

fn charge(thousandths_of_rho: u64) -> Charge {
    Charge { xi: 0, rho: UNIT / 1000 * thousandths_of_rho }
}

fn epsilon(charge: Charge) -> f64 {
    Limits::of(&Policy::default()).epsilon(charge)
}

fn policy(max_epsilon: f64) -> Policy {
    Policy { max_epsilon, epoch_days: 90, ..Policy::default() }
}

/// A whole round, from its first step to its end.
fn round(
    ledger: &Ledger,
    task: &str,
    charge: Option<Charge>,
    now: Timestamp,
) -> Result<(), Failure> {
    ledger.mask(task, charge, now).map_err(|stopped| *stopped.failure)?;
    ledger.go_on(now)?;
    ledger.go_on(now)?;
    ledger.end_round(true)
}

#[test]
fn charges_of_all_tasks_add_up_across_restarts() {
    let fixture = Fixture::new(policy(8.0));
    for task in ["a", "b", "a"] {
        round(&fixture.open(), task, Some(charge(100)), at(900)).unwrap();
    }
    let budget = fixture.open().budget(at(901));
    assert!((budget.epsilon - epsilon(charge(300))).abs() < 1e-9, "{budget:?}");
    assert_eq!(budget.charges, 3);
    assert_eq!(budget.tasks[0].task, "a");
    assert!((budget.tasks[0].epsilon - epsilon(charge(200))).abs() < 1e-9);
    assert_eq!(budget.counter.state, CounterState::Matches);
    assert_eq!(budget.counter.expected, 1 + 3 * 3, "three steps a round");
}

#[test]
fn the_charge_that_would_pass_the_limit_is_refused_and_not_made() {
    let fixture = Fixture::new(policy(2.0));
    let ledger = fixture.open();
    let mut made = 0;
    let refused = (0..10).find_map(|_| {
        let failure = round(&ledger, "a", Some(charge(20)), at(900)).err();
        made += u64::from(failure.is_none());
        failure
    });
    let failure = refused.expect("ten such rounds cost more than the limit");
    assert_eq!(failure.code, BUDGET);
    assert!(made >= 2, "{made}");
    let spent = fixture.open().budget(at(900));
    assert!(spent.epsilon <= 2.0);
    assert_eq!((spent.charges, spent.counter.state), (made, CounterState::Matches));
    let over = epsilon(charge(20 * (made + 1)));
    assert!(over > 2.0, "one more would have fitted: {over}");
}

#[test]
fn a_charge_too_large_to_count_is_refused() {
    let boundless = Policy {
        max_epsilon_per_task: f64::MAX,
        max_epsilon_per_round: f64::MAX,
        ..policy(f64::MAX)
    };
    let fixture = Fixture::new(boundless);
    let ledger = fixture.open();
    ledger.mask("a", Some(Charge { xi: u64::MAX / 2, rho: 1 }), at(900)).unwrap();
    let too_large = Some(Charge { xi: u64::MAX, rho: 1 });
    assert_eq!(ledger.afford("b", too_large, at(900)).unwrap_err().code, BUDGET);
}

#[test]
fn a_round_or_a_task_over_its_part_of_the_budget_is_refused() {
    let parts = Policy {
        max_epsilon_per_round: epsilon(charge(100)) + 0.01,
        max_epsilon_per_task: epsilon(charge(250)),
        ..policy(8.0)
    };
    let fixture = Fixture::new(parts);
    let ledger = fixture.open();
    let refusal = |task, thousandths| {
        let refused = ledger.afford(task, Some(charge(thousandths)), at(900)).unwrap_err();
        assert_eq!(refused.code, BUDGET);
        refused.message
    };
    assert!(refusal("a", 110).contains("the round costs"));
    for _ in 0..2 {
        round(&ledger, "a", Some(charge(100)), at(900)).unwrap();
    }
    assert!(refusal("a", 100).contains("a would have"));
    round(&ledger, "b", Some(charge(100)), at(900)).unwrap();
}

#[test]
fn an_epoch_renews_the_budget_and_a_clock_set_back_does_not() {
    let fixture = Fixture::new(policy(8.0));
    let ledger = fixture.open();
    round(&ledger, "a", Some(charge(100)), at(900)).unwrap();
    assert_eq!(ledger.budget(at(989)).charges, 1);
    assert_eq!(ledger.budget(at(990)).charges, 0);
    round(&ledger, "a", Some(charge(100)), at(990)).unwrap();
    for ledger in [ledger, fixture.open()] {
        let back = ledger.budget(at(900));
        assert_eq!(back.charges, 1, "the clock of day 900 must not give a fresh epoch");
        assert_eq!(back.epoch_ends, at(1080));
    }
}

#[test]
fn charges_a_day_are_bounded() {
    let limited = Policy { max_charges_per_day: 2, ..policy(8.0) };
    let fixture = Fixture::new(limited);
    let ledger = fixture.open();
    let free = Some(Charge::default());
    round(&ledger, "a", free, at(900)).unwrap();
    round(&ledger, "a", free, at(900)).unwrap();
    assert_eq!(round(&ledger, "a", free, at(900)).unwrap_err().code, BUDGET);
    round(&ledger, "a", free, at(901)).unwrap();
}

#[test]
fn a_clock_set_forward_and_back_gives_no_charges() {
    let limited = Policy { max_charges_per_day: 2, ..policy(8.0) };
    let fixture = Fixture::new(limited);
    let ledger = fixture.open();
    let free = Some(Charge::default());
    round(&ledger, "a", free, at(900)).unwrap();
    round(&ledger, "a", free, at(905)).unwrap();
    round(&ledger, "a", free, at(905)).unwrap();
    let back = ledger.afford("a", free, at(900)).unwrap_err();
    assert_eq!(back.code, BUDGET, "charges of a day to come count");
}

#[test]
fn failed_rounds_in_a_row_end_in_a_refusal_until_the_operator_or_a_good_round() {
    let patient = Policy { max_failed_rounds_in_row: 2, ..policy(8.0) };
    let fixture = Fixture::new(patient);
    let ledger = fixture.open();
    let failed = |ledger: &Ledger| {
        ledger.mask("a", None, at(900)).unwrap();
        ledger.end_round(false).unwrap();
    };
    failed(&ledger);
    round(&ledger, "a", None, at(900)).unwrap();
    failed(&ledger);
    ledger.afford("a", None, at(900)).unwrap();
    // The second is cut by a restart.
    ledger.mask("a", None, at(900)).unwrap();
    let ledger = fixture.open();
    let refused = ledger.afford("a", None, at(900)).unwrap_err();
    assert_eq!(refused.code, FAILED_ROUNDS);
    assert_eq!(ledger.mask("a", None, at(900)).unwrap_err().failure.code, FAILED_ROUNDS);
    let budget = ledger.budget(at(900));
    assert_eq!((budget.failed, budget.failed_in_row), (3, 2));
    assert_eq!(budget.refusal.unwrap().code, "failed_rounds");
    ledger.resume().unwrap();
    let budget = fixture.open().budget(at(900));
    assert_eq!((budget.failed, budget.failed_in_row, budget.refusal), (3, 0, None));
}

#[test]
fn rounds_under_way_are_no_failed_ones() {
    let patient = Policy { max_failed_rounds_in_row: 1, ..policy(8.0) };
    let fixture = Fixture::new(patient);
    let ledger = fixture.open();
    ledger.mask("a", None, at(900)).unwrap();
    ledger.mask("b", None, at(900)).unwrap();
    ledger.end_round(true).unwrap();
    ledger.end_round(true).unwrap();
    ledger.afford("a", None, at(900)).unwrap();
}

#[test]
fn a_restored_ledger_refuses_every_round_and_is_left_as_it_is() {
    let fixture = Fixture::new(policy(8.0));
    let path = fixture.state.file("ledger.json");
    let older = std::fs::read(&path).unwrap();
    round(&fixture.open(), "a", Some(charge(100)), at(900)).unwrap();
    sealsum_daemon::files::write_private(&path, &older).unwrap();
    let ledger = fixture.open();
    for cost in [None, Some(charge(1))] {
        let refused = ledger.afford("a", cost, at(900)).unwrap_err();
        assert_eq!(refused.code, codes::LEDGER_ROLLED_BACK);
    }
    let stopped = ledger.mask("a", None, at(900)).unwrap_err();
    assert_eq!((stopped.failure.code, stopped.charged), (codes::LEDGER_ROLLED_BACK, false));
    assert_eq!(ledger.resume().unwrap_err().code, codes::LEDGER_ROLLED_BACK);
    ledger.end_round(false).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), older);
    assert_eq!(ledger.budget(at(900)).counter.state, CounterState::LedgerRolledBack);
}

#[test]
fn without_its_ledger_the_budget_of_the_epoch_counts_as_spent() {
    let fixture = Fixture::new(policy(8.0));
    round(&fixture.open(), "a", Some(charge(100)), at(900)).unwrap();
    fixture.forget();
    let ledger = fixture.open_as(Beginning::New, at(900));
    let refused = ledger.afford("a", Some(charge(1)), at(900)).unwrap_err();
    assert_eq!(refused.code, LEDGER_LOST);
    let budget = ledger.budget(at(900));
    assert!((budget.epsilon - budget.limit).abs() < 1e-9, "{budget:?}");
    assert_eq!(budget.refusal.unwrap().code, "ledger_lost");
    // What costs nothing goes on, and so does everything in the next epoch.
    round(&ledger, "exact", None, at(900)).unwrap();
    assert_eq!(fixture.open().afford("a", Some(charge(1)), at(989)).unwrap_err().code, LEDGER_LOST);
    round(&ledger, "a", Some(charge(1)), at(990)).unwrap();
}

#[test]
fn with_a_counter_made_again_each_step_that_is_not_in_the_ledger_counts_as_a_largest_round() {
    for (running, missing) in [(true, 0), (true, 2), (false, 0), (false, 2)] {
        let fixture = small_rounds();
        let ledger = fixture.open();
        round(&ledger, "a", Some(charge(100)), at(900)).unwrap();
        for _ in 0..missing {
            fixture.chip.increment().unwrap();
        }
        fixture.chip.clear();
        let stopped = ledger.mask("a", None, at(900)).unwrap_err();
        assert_eq!(stopped.failure.code, COUNTER_LOST, "a running agent makes none by itself");
        let ledger = if running {
            ledger.rebind(at(900)).unwrap();
            ledger
        } else {
            fixture.open()
        };
        let budget = ledger.budget(at(900));
        assert_eq!((budget.charges, budget.in_doubt), (1, 2.0 * missing as f64), "{budget:?}");
        round(&ledger, "a", Some(charge(1)), at(900)).unwrap();
    }
}

#[test]
fn on_a_tpm_that_never_counted_so_far_the_budget_of_the_epoch_counts_as_spent() {
    let fixture = Fixture::new(policy(8.0));
    round(&fixture.open(), "a", Some(charge(100)), at(900)).unwrap();
    fixture.chip.exchange();
    let ledger = fixture.open();
    assert_eq!(ledger.afford("a", Some(charge(1)), at(900)).unwrap_err().code, COUNTER_LOST);
    assert_eq!(ledger.budget(at(900)).charges, 1, "what is known stays");
    assert_eq!(ledger.head(at(900)), None);
    round(&ledger, "exact", None, at(900)).unwrap();
}

/// A ledger of one round, its head, then `steps` that are in neither, and the ledger is lost.
fn lost_after(fixture: &Fixture, steps: u64) -> (Ledger, Head) {
    let ledger = fixture.open();
    ledger.mask("a", Some(charge(100)), at(900)).unwrap();
    ledger.end_round(false).unwrap();
    let head = ledger.head(at(900)).unwrap();
    for _ in 0..steps {
        fixture.chip.increment().unwrap();
    }
    fixture.forget();
    let ledger = fixture.open();
    assert!(ledger.awaits_head(at(900)));
    assert_eq!(ledger.head(at(900)), None, "a lost ledger has nothing to keep");
    (ledger, head)
}

/// The largest round that a device takes part in costs epsilon 2.
fn small_rounds() -> Fixture {
    let task = 20.0;
    Fixture::new(Policy { max_epsilon_per_round: 2.0, max_epsilon_per_task: task, ..policy(20.0) })
}

#[test]
fn a_lost_ledger_goes_on_from_its_head_and_pays_for_each_step_since() {
    for steps in [0, 1, 3] {
        let fixture = small_rounds();
        let (ledger, head) = lost_after(&fixture, steps);
        ledger.go_on_from(Some(head), at(900)).unwrap();
        for ledger in [ledger, fixture.open()] {
            let budget = ledger.budget(at(900));
            let due = epsilon(charge(100)) + 2.0 * steps as f64;
            assert!((budget.epsilon - due).abs() < 1e-9, "{budget:?}, due {due}");
            assert_eq!((budget.failed_in_row, &budget.refusal), (1, &None));
            ledger.afford("a", Some(charge(1)), at(900)).unwrap();
            assert!(!ledger.awaits_head(at(900)));
        }
    }
    let fixture = small_rounds();
    let (ledger, head) = lost_after(&fixture, 10);
    ledger.go_on_from(Some(head), at(900)).unwrap();
    assert_eq!(ledger.afford("a", Some(charge(1)), at(900)).unwrap_err().code, BUDGET);
}

#[test]
fn a_head_of_an_earlier_epoch_counts_by_its_steps_alone() {
    let fixture = small_rounds();
    let (ledger, head) = lost_after(&fixture, 2);
    let earlier = Head { epoch: head.epoch - 1, ..head };
    ledger.go_on_from(Some(earlier), at(900)).unwrap();
    assert!((ledger.budget(at(900)).epsilon - 4.0).abs() < 1e-9);
}

#[test]
fn without_a_head_or_with_one_beyond_the_counter_the_ledger_stays_lost() {
    let fixture = small_rounds();
    let (ledger, head) = lost_after(&fixture, 0);
    let beyond = Head { counter: head.counter + 1, ..head };
    for head in [None, Some(beyond)] {
        ledger.go_on_from(head, at(900)).unwrap();
        assert_eq!(ledger.afford("a", Some(charge(1)), at(900)).unwrap_err().code, LEDGER_LOST);
        assert!(!ledger.awaits_head(at(900)), "asking again would give the same");
    }
}

#[test]
fn a_head_that_the_tpm_kept_from_being_taken_is_asked_for_again() {
    let fixture = small_rounds();
    let (ledger, head) = lost_after(&fixture, 0);
    let value = fixture.chip.0.swap(0, Ordering::SeqCst);
    assert_eq!(ledger.go_on_from(Some(head), at(900)).unwrap_err().code, COUNTER_LOST);
    assert!(ledger.awaits_head(at(900)));
    fixture.chip.0.store(value, Ordering::SeqCst);
    ledger.go_on_from(Some(head), at(900)).unwrap();
    ledger.afford("a", Some(charge(1)), at(900)).unwrap();
}

#[test]
fn a_head_changes_nothing_in_a_ledger_that_is_there() {
    let fixture = small_rounds();
    let ledger = fixture.open();
    let head = ledger.head(at(900)).unwrap();
    round(&ledger, "a", Some(charge(100)), at(900)).unwrap();
    let before = ledger.budget(at(900));
    ledger.go_on_from(Some(head), at(900)).unwrap();
    assert_eq!(ledger.budget(at(900)), before);
}

#[test]
fn a_head_taken_while_a_step_may_have_been_taken_leaves_that_step_in_doubt() {
    let fixture = small_rounds();
    let ledger = fixture.open();
    let before = ledger.head(at(900)).unwrap().counter;
    fixture.chip.clear();
    ledger.mask("a", Some(charge(100)), at(900)).unwrap_err();
    assert_eq!(ledger.head(at(900)).unwrap().counter, before);
}

#[test]
fn a_device_that_enrolled_before_and_has_nothing_left_has_spent_its_budget() {
    let fixture = Fixture::new(policy(8.0));
    fixture.forget();
    fixture.chip.clear();
    let refused = fixture.open().afford("a", Some(charge(1)), at(900)).unwrap_err();
    assert_eq!(refused.code, LEDGER_LOST);
}

#[test]
fn a_counter_that_is_there_is_not_made_again_by_a_new_enrolment() {
    let fixture = Fixture::new(policy(8.0));
    let ledger = fixture.open();
    round(&ledger, "a", Some(charge(100)), at(900)).unwrap();
    ledger.rebind(at(900)).unwrap();
    ledger.afford("a", Some(charge(1)), at(900)).unwrap();
}

#[test]
fn a_damaged_ledger_is_no_empty_one() {
    let fixture = Fixture::new(policy(8.0));
    round(&fixture.open(), "a", Some(charge(100)), at(900)).unwrap();
    let path = fixture.state.file("ledger.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let refused = |text: &str| {
        sealsum_daemon::files::write_private(&path, text.as_bytes()).unwrap();
        let counter = Box::new(fixture.chip.clone());
        let opened =
            Ledger::open(&fixture.state, &fixture.policy, counter, Beginning::New, at(900));
        assert_eq!(opened.unwrap_err().code, codes::FILE_FORMAT);
    };
    refused(&text[..text.len() / 2]);
    refused(&text.replace("\"version\": 2", "\"version\": 1"));
}

#[test]
fn the_bar_shows_how_much_is_spent_and_what_stands_in_the_way() {
    let fixture = Fixture::new(policy(8.0));
    let empty = fixture.open().budget(at(900)).to_string();
    assert!(empty.contains(&format!("[{}]", ".".repeat(30))), "{empty}");
    assert!(empty.contains("as the TPM says") && !empty.contains("refused"), "{empty}");
    round(&fixture.open(), "penguins", Some(charge(200)), at(900)).unwrap();
    fixture.chip.increment().unwrap();
    let some = fixture.open().budget(at(900)).to_string();
    assert!(some.contains("##") && some.contains("..") && some.contains("penguins"), "{some}");
    assert!(some.contains("but the TPM says 5") && some.contains("\nrefused"), "{some}");
}

#[test]
fn a_look_without_an_agent_says_the_same_and_changes_nothing() {
    let fixture = Fixture::new(policy(8.0));
    round(&fixture.open(), "a", Some(charge(100)), at(900)).unwrap();
    let look = || look(&fixture.state, &fixture.policy, &fixture.chip, at(900)).unwrap();
    assert_eq!(look(), fixture.open().budget(at(900)));
    fixture.chip.increment().unwrap();
    let path = fixture.state.file("ledger.json");
    let before = std::fs::read(&path).unwrap();
    assert_eq!(look().refusal.unwrap().code, "ledger_rolled_back");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn of_two_ledgers_on_one_counter_one_takes_the_step_and_the_other_none_any_more() {
    let fixture = Fixture::new(policy(8.0));
    let (ledger, copy) = (fixture.open(), fixture.open());
    ledger.mask("a", Some(charge(100)), at(900)).unwrap();
    let stopped = copy.mask("a", Some(charge(100)), at(900)).unwrap_err();
    assert_eq!((stopped.failure.code.name(), stopped.charged), ("once_counter", false));
    assert_eq!(copy.afford("a", None, at(900)).unwrap_err().code.name(), "once_counter");
    ledger.go_on(at(900)).unwrap();
}
