//! One round of the ledger, killed before each of its system calls in turn, and started again.
//!
//! This program is its own victim: the parent runs it again under strace, which kills it at the
//! call of a given number. One thread, so that the calls come in the same order each time.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene up has failed")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use sealsum_agent::config::Policy;
use sealsum_agent::ledger::{Beginning, Ledger};
use sealsum_agent::state::StateDir;
use sealsum_attest_tpm::TpmError;
use sealsum_attest_tpm::counter::MonotonicCounter;
use sealsum_protocol::dp::accountant::Charge;

/// The directory of a victim, in its environment.
const VICTIM: &str = "SEALSUM_LEDGER_VICTIM";
/// A name that the victim looks for when its start is over.
const MARK: &str = "the-round-begins";
const CHARGE: Charge = Charge { xi: 0, rho: 1 << 44 };

/// A counter in a file, moved by one system call.
struct FileCounter(PathBuf);

impl FileCounter {
    fn failed(error: std::io::Error) -> TpmError {
        TpmError::Failed { doing: "counting", reason: error.to_string() }
    }
}

impl MonotonicCounter for FileCounter {
    fn create(&self) -> Result<u64, TpmError> {
        fs::write(&self.0, 1_u64.to_le_bytes()).map_err(Self::failed)?;
        self.read()
    }

    fn read(&self) -> Result<u64, TpmError> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(u64::from_le_bytes(bytes.try_into().unwrap())),
            Err(_) => Err(TpmError::NoCounter { index: 1 }),
        }
    }

    fn increment(&self) -> Result<u64, TpmError> {
        let next = self.read()? + 1;
        let file = OpenOptions::new().write(true).open(&self.0).map_err(Self::failed)?;
        file.write_all_at(&next.to_le_bytes(), 0).map_err(Self::failed)?;
        self.read()
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(86_400 * 900).unwrap()
}

fn open(dir: &Path, beginning: Beginning) -> Ledger {
    let state = StateDir::create(&dir.join("state")).unwrap();
    let counter = Box::new(FileCounter(dir.join("counter")));
    Ledger::open(&state, &Policy::default(), counter, beginning, now()).unwrap()
}

/// A start and a round; `sent` has a byte for each message that left.
fn be_the_victim(dir: &Path) {
    let _ = fs::metadata(dir.join(MARK));
    let ledger = open(dir, Beginning::Again);
    let mut sent = OpenOptions::new().append(true).create(true).open(dir.join("sent")).unwrap();
    let mut leave = |what: &[u8]| sent.write_all(what).unwrap();
    ledger.mask("a", Some(CHARGE), now()).unwrap();
    leave(b"m");
    ledger.go_on(now()).unwrap();
    leave(b"s");
    ledger.go_on(now()).unwrap();
    leave(b"r");
    ledger.end_round(true).unwrap();
}

/// Runs a victim in `dir` under strace.
fn strace(dir: &Path, options: &[&str]) -> std::process::ExitStatus {
    Command::new("strace")
        .args(["-f", "-qq"])
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .env(VICTIM, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| {
            panic!("strace: {error}. Try: apt-get install --no-install-recommends strace")
        })
}

/// The system calls of a start and a round, each as its name and how many of that name came before
/// it and with it: strace counts by name.
fn calls() -> Vec<(String, usize)> {
    let dir = enrolled();
    let log = dir.path().join("calls");
    assert!(strace(dir.path(), &["-o", log.to_str().unwrap()]).success(), "a round not killed");
    let log = fs::read_to_string(log).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut calls = Vec::new();
    let mut begun = false;
    for line in log.lines() {
        // A line is: process id, name, (arguments) = result.
        let Some((name, _)) = line.split_once('(') else { continue };
        let name = name.split_whitespace().last().unwrap().to_owned();
        let number = *seen.entry(name.clone()).and_modify(|number| *number += 1).or_insert(1);
        begun |= line.contains(MARK);
        if begun {
            calls.push((name, number));
        }
    }
    calls
}

/// What the kills have shown: all of these must have come up.
#[derive(Default, Debug)]
struct Shown {
    not_charged: usize,
    charged_and_not_sent: usize,
    in_doubt: usize,
    sent: usize,
}

fn enrolled() -> tempfile::TempDir {
    // In memory where there is such a place: each victim syncs its files.
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = made.unwrap();
    open(dir.path(), Beginning::New);
    dir
}

/// The next start after a kill at `call`.
fn start_again(dir: &Path, call: &str, shown: &mut Shown) {
    let sent = fs::read(dir.join("sent")).unwrap_or_default();
    let ledger = open(dir, Beginning::Again);
    assert!(ledger.disowned().is_none(), "{call}: {:?}", ledger.disowned());
    let budget = ledger.budget(now());
    let left = if sent.is_empty() { 0 } else { 1 };
    assert!(budget.charges >= left, "{call}: {sent:?} left, {budget:?}");
    assert!(budget.charges <= 1, "{call}: one round, two charges: {budget:?}");
    match (budget.charges, left) {
        _ if budget.in_doubt > 0.0 => shown.in_doubt += 1,
        (0, _) => shown.not_charged += 1,
        (_, 0) => shown.charged_and_not_sent += 1,
        _ => shown.sent += 1,
    }
    ledger.mask("a", Some(CHARGE), now()).unwrap();
    assert_eq!(ledger.budget(now()).charges, budget.charges + 1, "{call}");
}

fn kill_at_every_call() -> (usize, Shown) {
    let mut shown = Shown::default();
    let calls = calls();
    for (name, number) in &calls {
        let dir = enrolled();
        let inject = format!("inject={name}:signal=KILL:when={number}");
        let only = format!("trace={name}");
        let quick = ["-o", "/dev/null", "-e", &only, "-e", &inject];
        let ended = strace(dir.path(), &quick);
        assert!(!ended.success(), "nobody was killed at {name} {number}");
        start_again(dir.path(), &format!("{name} {number}"), &mut shown);
    }
    (calls.len(), shown)
}

fn main() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        return be_the_victim(Path::new(&dir));
    }
    let (kills, shown) = kill_at_every_call();
    let Shown { not_charged, charged_and_not_sent, in_doubt, sent } = shown;
    let all = [not_charged, charged_and_not_sent, in_doubt, sent];
    assert!(all.iter().all(|seen| *seen > 0), "the kills missed a case: {shown:?}");
    println!("a round killed at each of {kills} system calls: {shown:?}");
}
