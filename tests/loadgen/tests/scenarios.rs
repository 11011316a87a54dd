//! The built program against a real aggregator: every scenario, and whom it does not touch.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sealsum_loadgen::authority::{Authority, Door};
use sealsum_loadgen::fleet::{FleetKeys, Secrets};
use sealsum_loadgen::lies::Lie;
use sealsum_loadgen::log::Log;
use sealsum_loadgen::staging::{Settings, Staging};
use sealsum_test_support::Process;
use sealsum_tests::program;
use serde_json::Value;

fn loadgen(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("sealsum-loadgen"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The envelope, and the exit code.
fn json(arguments: &[&str]) -> (Value, Option<i32>) {
    let output = loadgen(&[arguments, &["--format", "json"]].concat());
    let envelope = serde_json::from_slice(&output.stdout);
    (envelope.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.code())
}

/// The lines of the rounds as they came, and the rest.
fn run_in_text(arguments: &[&str]) -> (Vec<String>, Vec<String>) {
    let output = loadgen(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let lines = out.lines().map(str::to_owned);
    lines.partition(|line| line.starts_with("ok ") || line.starts_with("FAIL "))
}

#[test]
fn plain_rounds_give_the_exact_sum_of_all() {
    let arguments = ["--scenario", "plain", "--devices", "12", "--rounds", "7", "--seed", "5"];
    let (mut rounds, rest) = run_in_text(&arguments);
    rounds.sort();
    let expected: Vec<String> =
        (1..=7).map(|n| format!("ok {n:02} plain  nobody lost: exact sum of 12")).collect();
    assert_eq!(rounds, expected);
    let [summary, memory, count] = rest.as_slice() else { panic!("{rest:?}") };
    assert_eq!(summary, "plain with 12 devices, 64 coordinates, seed 5");
    assert!(memory.starts_with("aggregator: ") && memory.contains(" MB at most"), "{memory}");
    assert_eq!(count, "loadgen: 7 rounds as expected, 0 not");
}

/// As thousands of devices are played: one verification for all, and ten of their own.
#[test]
fn devices_share_a_verified_roster_and_a_tenth_is_lost_before_the_upload() {
    let arguments = ["--scenario", "scale", "--devices", "30", "--roster-checks", "once"];
    let (answer, exit) = json(&arguments);
    assert_eq!((exit, &answer["status"]), (Some(0), &Value::from("ok")), "{answer}");
    let data = &answer["data"];
    assert_eq!((&data["as_expected"], &data["roster_checks"]), (&1.into(), &"once".into()));
    assert!(data["roster_check_s"].as_f64().unwrap() > 0.0, "{data}");
    assert!(data["aggregator"]["peak_mb"].as_f64().unwrap() > 1.0, "{data}");
    let round = &data["rounds"][0];
    assert_eq!(round["outcome"], "exact sum of 27, 3 lost at mask");
    assert!(round["steps"]["unmask"].is_f64(), "{round}");
}

#[test]
fn losses_at_every_step_end_as_the_protocol_says() {
    let (rounds, rest) = run_in_text(&["--scenario", "dropouts", "--devices", "6"]);
    let all = rounds.join("\n");
    for end in [
        "1 of 6 lost before the roster: exact sum of 5",
        "1 of 6 lost after acknowledging: exact sum of 5, 1 lost at mask",
        "1 of 6 lost after the upload: exact sum of 6, 1 lost at check",
        "2 of 6 lost before the roster: no sum: too_few_devices",
        "2 of 6 lost after acknowledging: no sum: too_few_contributors",
        "2 of 6 lost after signing: no sum: too_few_shares",
    ] {
        assert!(all.contains(end), "{end} is not in\n{all}");
    }
    let last = format!("loadgen: {} rounds as expected, 0 not", rounds.len());
    assert_eq!(rest.last(), Some(&last));
}

#[test]
fn every_kind_of_liar_is_named_or_ends_the_round_by_the_expected_code() {
    let (answer, exit) = json(&["--scenario", "liars", "--devices", "7", "--seed", "9"]);
    assert_eq!((exit, &answer["status"]), (Some(0), &Value::from("ok")), "{answer}");
    let data = &answer["data"];
    let rounds = data["rounds"].as_array().unwrap();
    assert_eq!(data["as_expected"], Lie::ALL.len());
    assert_eq!((rounds.len(), &data["not_as_expected"]), (Lie::ALL.len(), &Value::from(0)));
    for (round, lie) in rounds.iter().zip(Lie::ALL) {
        assert!(round["what"].as_str().unwrap().starts_with(lie.describe()), "{round}");
        assert_eq!(round["round"].as_str().unwrap().len(), 64);
    }
    let outcome = |lie| {
        let index = Lie::ALL.iter().position(|other| *other == lie).unwrap();
        rounds[index]["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome(Lie::Canary), "no sum: canary");
    assert_eq!(outcome(Lie::WrongShares), "exact sum of 7, 1 blamed for wrong_share");
    assert_eq!(outcome(Lie::WrongRoot), "exact sum of 6, 1 lost at mask");
}

#[test]
fn wrong_command_lines_are_usage_errors_of_one_line() {
    for wrong in [
        &["--devices", "6"][..],
        &["--scenario", "riots"],
        &["--scenario", "plain", "--devices", "5"],
        &["--scenario", "plain", "--rounds", "0"],
        &["--scenario", "plain", "--dir", "/nowhere"],
        &["--scenario", "plain", "--aggregator-dir", "/nowhere"],
        &["authority", "--dir", "/nowhere", "--listen", "0.0.0.0:0"],
    ] {
        let output = loadgen(wrong);
        assert_eq!(output.status.code(), Some(4), "{wrong:?}: {output:?}");
        let error = text(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(". Try: "), "{error}");
    }
    let arguments = ["--scenario", "plain", "--aggregator-program", "/nowhere/x"];
    let (answer, exit) = json(&arguments);
    assert_eq!((exit, &answer["error"]["code"]), (Some(4), &Value::from("file_not_found")));
}

/// `sealsum-loadgen authority`, until it is stopped.
struct Foreground {
    child: Child,
    /// What it says to type, of `sealsum-aggregator init`.
    init: Vec<String>,
}

impl Foreground {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(program("sealsum-loadgen"));
        command.args(["authority", "--listen", "127.0.0.1:0", "--dir"]).arg(dir);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let init = lines.into_iter().find(|line| line.contains("sealsum-aggregator init"));
        let init = init.expect("it says how an aggregator enrols");
        let init = init.split_whitespace().skip(1).map(str::to_owned).collect();
        Self { child, init }
    }

    fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An operator's aggregator, initialised with these arguments.
struct Operators {
    // Before the directory: the process must be gone before its files are.
    _process: Process,
    dir: tempfile::TempDir,
}

impl Operators {
    fn start(init: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let aggregator = dir.path().join("agg").display().to_string();
        let init = init.iter().map(|word| word.replace("AGG", &aggregator));
        let initialised = Command::new(program("sealsum-aggregator"))
            .args(init)
            .args(["--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"])
            .output()
            .unwrap();
        assert!(initialised.status.success(), "{initialised:?}");
        let ready = dir.path().join("ready");
        let mut command = Command::new(program("sealsum-aggregator"));
        command.args(["run", "--dir", &aggregator, "--ready-file"]).arg(&ready);
        let mut process = Process::start(command, dir.path().join("log"));
        process.wait_ready(&ready, Duration::from_secs(60));
        Self { _process: process, dir }
    }

    /// One that is enrolled with this authority.
    fn enrolled(url: &str, ca: &Path, token: &Path) -> Self {
        let (ca, token) = (ca.display().to_string(), token.display().to_string());
        let from = ["--authority", url, "--authority-ca", &ca, "--token-file", &token];
        let init = [&["init", "--dir", "AGG"], &from[..]].concat();
        Self::start(&init.into_iter().map(str::to_owned).collect::<Vec<_>>())
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("agg")
    }
}

/// One round, with this staging authority, on this aggregator.
fn aim(staging: &Path, aggregator: &Path) -> (Value, Option<i32>) {
    let (staging, aggregator) = (staging.to_str().unwrap(), aggregator.to_str().unwrap());
    let whom = ["--dir", staging, "--aggregator-dir", aggregator];
    json(&[&["--scenario", "plain", "--devices", "6"], &whom[..]].concat())
}

fn rounds_of(aggregator: &Path) -> usize {
    let mut command = Command::new(program("sealsum-aggregator"));
    command.args(["round", "list", "--format", "json", "--dir"]).arg(aggregator);
    let answer: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    answer["data"]["rounds"].as_array().unwrap().len()
}

fn refusal(answer: &(Value, Option<i32>)) -> (Option<i32>, &str) {
    (answer.1, answer.0["error"]["code"].as_str().unwrap_or_default())
}

fn staging(dir: &Path) -> Staging {
    let anywhere = Settings { listen: ([127, 0, 0, 1], 0).into(), host: None };
    Staging::create_or_open(dir, &anywhere).unwrap()
}

#[test]
fn an_operators_staging_aggregator_is_used_as_often_as_one_likes() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Foreground::start(dir.path());
    let aggregator = Operators::start(&authority.init);
    let busy = aim(dir.path(), &aggregator.path());
    assert_eq!(refusal(&busy), (Some(4), "already_running"));
    authority.stop();
    for rounds in 1..=2 {
        let (answer, exit) = aim(dir.path(), &aggregator.path());
        assert_eq!(exit, Some(0), "{answer}");
        assert_eq!(answer["data"]["as_expected"], 1);
        assert_eq!(rounds_of(&aggregator.path()), rounds);
    }
}

#[test]
fn an_aggregator_under_another_ca_is_left_alone() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(staging(own.path()));
    let other = staging(other.path());
    let aggregator = Operators::enrolled(&other.url, &other.ca_file(), &other.token_file());
    let refused = aim(own.path(), &aggregator.path());
    assert_eq!(refusal(&refused), (Some(1), "not_staging"), "{refused:?}");
    assert!(refused.0["error"]["message"].as_str().unwrap().contains("is not the CA of"));
    // Nor does it help if its configuration names our CA: what it shows to devices counts.
    std::fs::copy(own.path().join("ca.pem"), aggregator.path().join("ca.pem")).unwrap();
    let refused = aim(own.path(), &aggregator.path());
    assert_eq!(refusal(&refused), (Some(1), "not_staging"), "{refused:?}");
    assert!(refused.0["error"]["message"].as_str().unwrap().contains("no aggregator under"));
    assert_eq!(rounds_of(&aggregator.path()), 0);
}

#[test]
fn an_aggregator_of_another_fleet_is_left_alone_even_under_the_same_ca() {
    let dir = tempfile::tempdir().unwrap();
    let ours = staging(dir.path());
    let (ca_file, token_file) = (ours.ca_file(), ours.token_file());
    drop(ours);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let key = |name: &str| rcgen::KeyPair::from_pem(&read(&dir.path().join(name))).unwrap();
    let fleet: sealsum_attest::ids::Fleet = "production".parse().unwrap();
    let secrets =
        Secrets { ca: key("ca.key"), ca_pem: read(&ca_file), authority: key("authority.key") };
    let log = Log::new(&fleet, &[5; 32]).unwrap();
    let keys = Arc::new(FleetKeys::with(fleet, secrets, log, None).unwrap());
    let door = Door::on_loopback(&read(&token_file));
    let authority = Authority::start(keys, door).unwrap();
    let aggregator = Operators::enrolled(&authority.url, &ca_file, &token_file);
    let refused = aim(dir.path(), &aggregator.path());
    assert_eq!(refusal(&refused), (Some(1), "not_staging"), "{refused:?}");
    assert!(refused.0["error"]["message"].as_str().unwrap().contains("of fleet production"));
    assert_eq!(rounds_of(&aggregator.path()), 0);
}

#[test]
fn a_directory_without_a_staging_authority_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = aim(dir.path(), dir.path());
    assert_eq!(refusal(&refused), (Some(1), "not_staging"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made there");
}
