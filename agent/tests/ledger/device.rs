//! The same with a real TPM: state put back on either side, and copies of a running device.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use sealsum_agent::config::Policy;
use sealsum_agent::ledger::{Beginning, CounterState, Head, Ledger};
use sealsum_agent::state::StateDir;
use sealsum_agent::steps::Steps;
use sealsum_attest::messages::Bytes;
use sealsum_attest_tpm::Tpm;
use sealsum_attest_tpm::counter::{MonotonicCounter, TpmCounter};
use sealsum_protocol::client::OnceCounter;
use sealsum_protocol::dp::accountant::Charge;
use sealsum_test_support::{SoftwareTpm, TpmFactory};
use tempfile::TempDir;

const FILE: &str = "ledger.json";
const CHARGE: Charge = Charge { xi: 0, rho: 1 << 40 };

fn now() -> Timestamp {
    Timestamp::from_second(86_400 * 900).unwrap()
}

struct Device {
    chip: SoftwareTpm,
    dir: TempDir,
}

impl Device {
    /// One that enrolled.
    fn new() -> Self {
        Self::with(TpmFactory::trusted().tpm())
    }

    fn with(chip: SoftwareTpm) -> Self {
        let device = Self { chip, dir: tempfile::tempdir().unwrap() };
        device.ledger(Beginning::New);
        device
    }

    fn counter(&self) -> TpmCounter {
        TpmCounter::new(&Tpm::new(self.chip.tcti().parse().unwrap()))
    }

    fn state(&self, name: &str) -> StateDir {
        StateDir::create(&self.dir.path().join(name)).unwrap()
    }

    /// What a start of the agent opens.
    fn ledger(&self, beginning: Beginning) -> Ledger {
        self.ledger_in("state", beginning, self.counter())
    }

    fn ledger_in(&self, name: &str, beginning: Beginning, counter: TpmCounter) -> Ledger {
        let state = self.state(name);
        Ledger::open(&state, &Policy::default(), Box::new(counter), beginning, now()).unwrap()
    }

    fn file(&self) -> Vec<u8> {
        fs::read(self.state("state").file(FILE)).unwrap()
    }

    fn put_back(&self, file: &[u8]) {
        write(&self.state("state").file(FILE), file);
    }

    /// A start, a round, a stop.
    fn round(&self) {
        let ledger = self.ledger(Beginning::Again);
        ledger.mask("a", Some(CHARGE), now()).unwrap();
        ledger.go_on(now()).unwrap();
        ledger.go_on(now()).unwrap();
        ledger.end_round(true).unwrap();
    }

    /// How a start finds counter and ledger, and by which code it refuses.
    fn start(&self) -> (CounterState, Option<String>) {
        let ledger = self.ledger(Beginning::Again);
        let refused = ledger.mask("a", None, now()).err();
        let code = refused.map(|stopped| stopped.failure.code.name().to_owned());
        (ledger.budget(now()).counter.state, code)
    }
}

fn write(path: &Path, bytes: &[u8]) {
    sealsum_daemon::files::write_private(path, bytes).unwrap();
}

fn code_of(step: Result<(), sealsum_daemon::Failure>) -> String {
    step.unwrap_err().code.name().to_owned()
}

#[test]
fn a_state_directory_put_back_is_refused() {
    let device = Device::new();
    let older = device.file();
    device.round();
    let newest = device.file();
    device.put_back(&older);
    let refused = (CounterState::LedgerRolledBack, Some("ledger_rolled_back".to_owned()));
    assert_eq!(device.start(), refused);
    device.put_back(&newest);
    assert_eq!(device.start(), (CounterState::Matches, None), "the newest is as good as before");
}

#[test]
fn a_tpm_put_back_under_a_newer_state_directory_is_refused() {
    let mut device = Device::new();
    let older = device.chip.clone_state();
    let step_before = {
        device.round();
        device.chip.clone_state()
    };
    device.ledger(Beginning::Again).mask("a", Some(CHARGE), now()).unwrap();
    let newest = device.chip.clone_state();
    let refused = (CounterState::CounterRolledBack, Some("counter_rolled_back".to_owned()));
    for chip in [&older, &step_before] {
        device.chip.exchange(chip);
        assert_eq!(device.start(), refused);
    }
    device.chip.exchange(&newest);
    assert_eq!(device.start(), (CounterState::Matches, None));
}

#[test]
fn a_tpm_put_back_together_with_the_disk_is_not_noticed() {
    let mut device = Device::new();
    let (chip, file) = (device.chip.clone_state(), device.file());
    device.round();
    device.chip.exchange(&chip);
    device.put_back(&file);
    assert_eq!(device.start(), (CounterState::Matches, None), "THREAT_MODEL.md says so");
}

#[test]
fn a_copy_of_a_running_device_does_not_mask_sign_or_reveal_a_second_time() {
    let device = Device::new();
    let counter = device.counter();
    let open = |name: &str| device.ledger_in(name, Beginning::Again, counter.clone());
    let copied_at = |steps: usize| {
        let original = open("state");
        let round = Steps::new(&original);
        round.next_masks("a", Some(CHARGE));
        for _ in 0..steps {
            (&round).increment().unwrap();
        }
        // A snapshot of the machine, resumed beside it: same memory, same files, same TPM.
        write(&device.state("copy").file(FILE), &device.file());
        let copy = open("copy");
        (&round).increment().unwrap();
        let before = counter.read().unwrap();
        let step = if steps == 0 {
            copy.mask("a", Some(CHARGE), now()).map_err(|stopped| *stopped.failure)
        } else {
            copy.go_on(now())
        };
        assert_eq!(code_of(step), "once_counter", "after {steps} steps");
        assert_eq!(code_of(copy.go_on(now())), "once_counter", "it stays refused");
        assert_eq!(counter.read().unwrap(), before, "the copy moved nothing");
        // Started anew, the copy is a directory that was put back.
        assert_eq!(code_of(open("copy").go_on(now())), "ledger_rolled_back");
        for _ in steps + 1..3 {
            (&round).increment().unwrap();
        }
    };
    for steps in 0..3 {
        copied_at(steps);
    }
}

#[test]
fn rounds_of_two_tasks_at_once_take_their_steps_in_any_order() {
    const ROUNDS: u64 = 5;
    let device = Device::new();
    let ledger = device.ledger(Beginning::Again);
    let before = ledger.budget(now()).counter.expected;
    std::thread::scope(|scope| {
        for task in ["a", "b"] {
            let ledger = &ledger;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let round = Steps::new(ledger);
                    round.next_masks(task, Some(CHARGE));
                    (0..3).for_each(|_| (&round).increment().unwrap());
                    ledger.end_round(true).unwrap();
                }
            });
        }
    });
    let budget = ledger.budget(now());
    assert_eq!(budget.counter.expected, before + 2 * ROUNDS * 3);
    assert_eq!(budget.counter.state, CounterState::Matches);
    assert_eq!((budget.charges, budget.failed_in_row), (2 * ROUNDS, 0));
}

#[test]
fn a_lost_ledger_costs_the_budget_of_the_epoch() {
    let device = Device::new();
    fs::remove_file(device.state("state").file(FILE)).unwrap();
    let ledger = device.ledger(Beginning::Again);
    let refused = ledger.afford("a", Some(CHARGE), now()).unwrap_err();
    assert_eq!(refused.code.name(), "ledger_lost");
}

#[test]
fn a_cleared_tpm_costs_nothing_since_its_next_counter_says_that_no_step_is_missing() {
    let device = Device::new();
    device.round();
    let before = device.ledger(Beginning::Again).budget(now());
    sealsum_test_support::wire::clear(device.chip.port());
    let ledger = device.ledger(Beginning::Again);
    let after = ledger.budget(now());
    assert_eq!((after.epsilon, after.charges), (before.epsilon, before.charges));
    assert_eq!((after.in_doubt, after.counter.state), (0.0, CounterState::Matches));
    ledger.afford("a", Some(CHARGE), now()).unwrap();
}

#[test]
fn a_head_is_read_back_by_the_tpm_that_sealed_it_and_by_no_other() {
    let maker = TpmFactory::trusted();
    let (device, other) = (Device::with(maker.tpm()), Device::with(maker.tpm()));
    device.round();
    let head = device.ledger(Beginning::Again).head(now()).unwrap();
    let tpm = |device: &Device| Tpm::new(device.chip.tcti().parse().unwrap());
    let sealed = head.seal(&tpm(&device)).unwrap();
    let code = |sealed: &Bytes, by: &Device| {
        Head::open(sealed, &tpm(by)).map_err(|failure| failure.code.name().to_owned())
    };
    assert_eq!(code(&sealed, &device), Ok(head));
    assert_eq!(code(&sealed, &other), Err("refused".into()));
    for bent in 0..sealed.0.len() {
        let mut bytes = sealed.clone();
        bytes.0[bent] ^= 1;
        assert_eq!(code(&bytes, &device), Err("refused".into()), "byte {bent}");
    }
    for length in [0, 44, sealed.0.len() - 1] {
        let short = Bytes(sealed.0[..length].to_vec());
        assert_eq!(code(&short, &device), Err("refused".into()), "{length} bytes");
    }
}
