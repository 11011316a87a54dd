//! The program itself: its commands, exit codes, JSON, files, and how it stops.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use common::{Device, Vendor, rng};
use ed25519_dalek::{Signer as _, SigningKey};
use harness::Https;
use rusqlite::Connection;
use sealsum_attest::inclusion::Consistency;
use sealsum_attest::status::StatusList;
use sealsum_attest::templates::EkAlgorithm;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle::verify_consistency;
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::{Hash, TreeHead};
use sealsum_test_support::Process;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealsum-authority");
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that `init` set up, with ports chosen by the system.
struct Site {
    vendor: Vendor,
    directory: TempDir,
}

/// One command's outcome.
struct Outcome {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Site {
    fn new() -> Self {
        let site = Self { vendor: Vendor::new("vendor"), directory: tempfile::tempdir().unwrap() };
        let root = site.directory.path().join("root.der");
        fs::write(&root, &site.vendor.root).unwrap();
        let roots = root.to_str().unwrap();
        let outcome = site.command(&["init", "--fleet", "demo", "--tpm-roots", roots]);
        assert_eq!(outcome.exit, 0, "{}", outcome.stderr);
        site.edit("authority.toml", |text| text.replace(":8441", ":0").replace(":8451", ":0"));
        site.edit("policy.toml", harness::for_software_devices);
        site
    }

    fn dir(&self) -> PathBuf {
        self.directory.path().join("authority")
    }

    fn edit(&self, file: &str, edit: impl FnOnce(String) -> String) {
        let path = self.dir().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, edit(text)).unwrap();
    }

    fn policy_file(&self) -> String {
        self.dir().join("policy.toml").to_str().unwrap().to_owned()
    }

    /// Runs a command on this directory to its end.
    fn command(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(PROGRAM);
        command.arg("--dir").arg(self.dir()).args(arguments);
        outcome(command.output().unwrap())
    }

    /// Runs a command with `--format json` and returns its data; demands success.
    fn json(&self, arguments: &[&str]) -> Value {
        let outcome = self.command(&[arguments, &["--format", "json"]].concat());
        assert_eq!(outcome.exit, 0, "{}{}", outcome.stdout, outcome.stderr);
        let envelope = outcome.envelope();
        assert_eq!((envelope["status"].as_str(), &envelope["error"]), (Some("ok"), &Value::Null));
        envelope["data"].clone()
    }

    /// Demands that a command fails with this code, in text and in JSON.
    #[track_caller]
    fn fails(&self, arguments: &[&str], exit: i32, code: &str) -> String {
        let text = self.command(arguments);
        assert_eq!(text.exit, exit, "{}", text.stderr);
        assert_eq!(text.stdout, "");
        let line = text.stderr.lines().last().unwrap_or_default().to_owned();
        assert!(line.starts_with("error: ") && line.contains("Try: "), "{line}");
        let json = self.command(&[arguments, &["--format", "json"]].concat());
        let envelope = json.envelope();
        assert_eq!((json.exit, envelope["error"]["code"].as_str()), (exit, Some(code)));
        assert_eq!((envelope["status"].as_str(), &envelope["data"]), (Some("error"), &Value::Null));
        line
    }

    fn run(&self) -> Running {
        let ready_file = self.directory.path().join("ready.json");
        let _ = fs::remove_file(&ready_file);
        let mut command = Command::new(PROGRAM);
        command.arg("--dir").arg(self.dir()).arg("run").arg("--ready-file").arg(&ready_file);
        let mut process = Process::start(command, self.directory.path().join("run.log"));
        let ready = process.wait_ready(&ready_file, PATIENCE);
        let https = Https {
            address: ready["listen"].as_str().unwrap().parse().unwrap(),
            ca: self.dir().join("ca.pem"),
        };
        self.json(&["policy", "apply", &self.policy_file()]);
        Running { process, https, health: ready["health"].as_str().unwrap().to_owned() }
    }

    fn device(&self, seed: u64) -> Device {
        Device::new(&self.vendor, EkAlgorithm::P256, &mut rng(seed))
    }

    fn token(&self) -> String {
        let outcome = self.command(&["token", "create", "--role", "device"]);
        assert_eq!(outcome.exit, 0, "{}", outcome.stderr);
        outcome.stdout.trim_end().to_owned()
    }
}

struct Running {
    process: Process,
    https: Https,
    health: String,
}

impl Running {
    fn health(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.health);
        ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
    }

    fn stop(mut self) {
        let status = self.process.terminate(Duration::from_secs(10)).expect("still running");
        assert_eq!(status.code(), Some(0), "{}", self.process.log_text());
    }
}

impl Outcome {
    fn envelope(&self) -> Value {
        let envelope: Value = serde_json::from_str(&self.stdout).expect(&self.stdout);
        assert_eq!(envelope["schema_version"], "1");
        envelope
    }
}

fn outcome(output: Output) -> Outcome {
    Outcome {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn an_operator_runs_a_fleet() {
    let site = Site::new();
    let running = site.run();
    let status = site.json(&["status"]);
    assert_eq!(status["ready"], true);
    assert_eq!(status["devices"], serde_json::json!({"active": 0, "revoked": 0, "cloned": 0}));
    assert_eq!(status["rounds"], Value::Null);
    assert_eq!(status["log"]["root"].as_str().unwrap().len(), 64);
    assert_eq!(site.json(&["device", "list"]), serde_json::json!({"devices": []}));

    let token = site.json(&["token", "create", "--role", "device", "--ttl", "1h", "--name", "a"]);
    for key in ["token", "role", "expires_at", "uses"] {
        assert!(!token[key].is_null(), "{token}");
    }
    let device = site.device(1);
    let grant = running.https.enrol(&device, token["token"].as_str().unwrap());
    let id = grant.device.to_string();

    let list = site.json(&["device", "list"]);
    assert_eq!(list["devices"][0]["device"], id.as_str());
    assert_eq!(list["devices"][0]["state"], "active");
    let shown = site.json(&["device", "show", &id[..8]]);
    let promised = "device name state epoch enrolled_at ek ak_name device_key_name x25519 \
                    certificate attestation pending revoked log_index";
    for key in promised.split_whitespace() {
        assert!(shown.get(key).is_some(), "{key} is missing in {shown}");
    }
    assert_eq!(shown["revoked"], Value::Null);
    assert!(site.command(&["device", "show", &id]).stdout.contains(&id));

    let out = site.directory.path().join("evidence");
    let written = site.json(&["device", "evidence", &id, "--out", out.to_str().unwrap()]);
    assert_eq!(written["files"].as_array().unwrap().len(), 13);
    assert_eq!(fs::read(out.join("ek.pub")).unwrap(), device.ek_public.to_bytes());
    site.fails(&["device", "evidence", &id, "--out", out.to_str().unwrap()], 4, "file_exists");

    let revoked = site.json(&["device", "revoke", &id[..10], "--reason", "stolen"]);
    assert_eq!(
        (revoked["state"].as_str(), &revoked["revoked"]["reason"]),
        (Some("revoked"), &Value::from("stolen"))
    );
    let list = running.https.get("/v1/status-list").body;
    let trust = running.https.trust();
    let list = StatusList::verify(&list, &trust, jiff::Timestamp::now(), None).unwrap();
    assert!(list.revoked_devices.contains(&grant.device));
    running.https.begin(&device, &site.token()).refused(403, "revoked", Some("46"));
    assert_eq!(site.json(&["status"])["devices"]["revoked"], 1);
    running.stop();
}

#[test]
fn evidence_is_judged_again_offline_with_trust_from_outside() {
    let site = Site::new();
    let running = site.run();
    let grant = running.https.enrol(&site.device(1), &site.token());
    let id = grant.device.to_string();
    let at = |name: &str| site.directory.path().join(name).to_str().unwrap().to_owned();
    let out = at("evidence");
    site.json(&["device", "evidence", &id, "--out", &out]);
    running.stop();

    let (roots, ca) = (at("root.der"), at("authority/ca.pem"));
    let verify = ["evidence", "verify", &out, "--tpm-roots", &roots, "--authority-ca", &ca];
    let report = site.json(&verify);
    assert_eq!((&report["device"], &report["fleet"]), (&id.as_str().into(), &"demo".into()));
    assert_eq!((&report["epoch"], &report["software"]), (&1.into(), &false.into()));
    assert!(site.command(&verify).stdout.contains(&id));

    let refused = |check: &str| {
        site.fails(&verify, 7, "evidence_refused");
        let envelope = site.command(&[&verify[..], &["--format", "json"]].concat()).envelope();
        assert_eq!(envelope["error"]["check"], check, "{envelope}");
    };
    // A byte of each file; then a root of its own.
    for entry in fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bent = good.clone();
        bent[good.len() / 2] ^= 1;
        fs::write(&path, bent).unwrap();
        refused("54");
        fs::write(&path, good).unwrap();
    }
    fs::copy(&roots, format!("{out}/roots.der")).unwrap();
    refused("55");
    fs::remove_file(format!("{out}/roots.der")).unwrap();

    // Trust is not optional, and not whatever the bundle would need.
    let with = |roots: &str, ca: &str| {
        let outcome = site.command(&[
            "evidence",
            "verify",
            &out,
            "--tpm-roots",
            roots,
            "--authority-ca",
            ca,
            "--format",
            "json",
        ]);
        (outcome.exit, outcome.envelope()["error"]["check"].clone())
    };
    fs::write(at("stranger.der"), Vendor::new("stranger").root).unwrap();
    assert_eq!(with(&at("stranger.der"), &ca), (7, "1".into()));
    let other = Site::new();
    let other_ca = other.dir().join("ca.pem");
    assert_eq!(with(&roots, other_ca.to_str().unwrap()), (7, "54".into()));
    site.fails(&["evidence", "verify", &out, "--authority-ca", &ca], 4, "usage");
    site.fails(&["evidence", "verify", &out, "--tpm-roots", &roots], 4, "usage");
    let nowhere = ["evidence", "verify", &at("x"), "--tpm-roots", &roots, "--authority-ca", &ca];
    site.fails(&nowhere, 4, "file_not_found");
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let site = Site::new();
    let mut running = site.run();
    let (token, unused) = (site.token(), site.token());
    let grant = running.https.enrol(&site.device(1), &token);
    running.process.kill();
    let running = site.run();
    assert_eq!(site.json(&["device", "list"])["devices"][0]["device"], grant.device.to_string());
    running.https.begin(&site.device(2), &token).refused(403, "token_invalid", Some("9"));
    running.https.enrol(&site.device(2), &unused);
    running.stop();
}

#[test]
fn the_log_never_goes_back_over_kills() {
    let site = Site::new();
    let vkey = fs::read_to_string(site.dir().join("log.vkey")).unwrap();
    let key = NoteKey::parse(vkey.trim_end()).unwrap();
    let mut memory = None;
    for seed in 1..=4 {
        let mut running = site.run();
        let grant = running.https.enrol(&site.device(seed), &site.token());
        // Entries that no head covers when the process dies.
        site.token();
        site.token();
        running.process.kill();
        let seen = SignedCheckpoint::verify(grant.log.checkpoint.as_bytes(), &key).unwrap();
        let running = site.run();
        let now = running.https.get("/v1/log/checkpoint").body;
        let now = SignedCheckpoint::verify(&now, &key).unwrap();
        assert!(now.head().size >= seen.head().size + 2);
        for old in [memory.as_ref().unwrap_or(&seen), &seen] {
            let sizes = format!("from={}&to={}", old.head().size, now.head().size);
            let grown: Consistency =
                running.https.get(&format!("/v1/log/consistency?{sizes}")).parsed();
            assert_eq!(verify_consistency(old.head(), now.head(), &grown.proof), Ok(()));
        }
        memory = Some(now);
        running.stop();
    }
}

#[test]
fn an_auditor_verifies_the_log_offline() {
    let site = Site::new();
    let running = site.run();
    let grant = running.https.enrol(&site.device(1), &site.token());
    let path = |name: &str| site.directory.path().join(name).to_str().unwrap().to_owned();
    let (out, copy, proof) = (path("export"), path("copy"), path("proof"));
    let (key, older) = (path("authority/log.vkey"), path("older"));

    let head = site.json(&["log", "checkpoint"]);
    assert_eq!(head["origin"], "demo/authority-log");
    assert_eq!(site.json(&["status"])["log"]["root"], head["root"]);
    fs::write(&older, site.command(&["log", "checkpoint"]).stdout).unwrap();
    site.token();
    let exported = site.json(&["log", "export", "--out", &out]);
    assert_eq!(exported["size"].as_u64(), head["size"].as_u64().map(|size| size + 1));
    let index = grant.log_index.to_string();
    let proved = site.json(&["log", "prove", &index, "--out", &proof]);
    assert_eq!(proved["entry"]["type"], "certificate.issued");
    site.fails(&["log", "prove", "1000"], 1, "not_found");
    site.fails(&["log", "export", "--out", &out], 4, "file_exists");
    running.stop();

    // From here on nothing runs.
    let verify = ["log", "verify", &out, "--log-key", &key];
    let verified = site.json(&verify);
    assert_eq!(
        (&verified["root"], &verified["entries"]["device.enrolled"]),
        (&exported["root"], &1.into())
    );
    assert_eq!(site.json(&[&verify[..], &["--older", &older]].concat())["older"], head["size"]);
    assert!(site.command(&verify).stdout.contains("verified"));
    let shown = site.json(&["log", "verify", &proof, "--log-key", &key]);
    assert_eq!(shown["entry"]["subject"], grant.device.to_string());
    let from = ["--from", &out, "--log-key", &key];
    let offline = site.command(&[&["log", "prove", &index], &from[..]].concat());
    let text = fs::read_to_string(&proof).unwrap();
    assert_eq!(offline.stdout.lines().nth(1), text.lines().nth(1), "the same entry");
    let again = site.json(&[&["log", "checkpoint"], &from[..]].concat());
    assert_eq!(again["root"], exported["root"]);
    site.json(&[&["log", "export", "--out", &copy], &from[..]].concat());
    assert_eq!(site.json(&["log", "verify", &copy, "--log-key", &key])["root"], exported["root"]);

    refuse_bad_exports(&site, &out, &key, &older);
}

/// What an auditor must not be told is fine.
fn refuse_bad_exports(site: &Site, out: &str, key: &str, older: &str) {
    let verify = ["log", "verify", out, "--log-key", key];
    // A bundle with its own key is refused without one from outside, and with its own.
    let own = format!("{out}/log.vkey");
    fs::copy(key, &own).unwrap();
    site.fails(&["log", "verify", out], 4, "usage");
    site.fails(&["log", "verify", out, "--log-key", &own], 4, "usage");
    site.fails(&["log", "checkpoint", "--from", out], 4, "usage");
    fs::remove_file(own).unwrap();

    let bundle = fs::read_dir(format!("{out}/tile/entries/000.p")).unwrap().next().unwrap();
    let bundle = bundle.unwrap().path();
    let mut bytes = fs::read(&bundle).unwrap();
    bytes[100] ^= 1;
    fs::write(&bundle, &bytes).unwrap();
    site.fails(&verify, 7, "log_invalid");
    bytes[100] ^= 1;
    fs::write(&bundle, &bytes).unwrap();

    // A head that the log's key signed over another history.
    let seed = fs::read(site.dir().join("log.key")).unwrap();
    let signer = SigningKey::from_bytes(&seed.try_into().unwrap());
    let vkey = NoteKey::parse(fs::read_to_string(key).unwrap().trim_end()).unwrap();
    let fork = TreeHead { size: 2, root: Hash([9; 32]) };
    let sign = |text: &[u8]| Ok::<_, std::convert::Infallible>(signer.sign(text).to_bytes());
    let fork = SignedCheckpoint::sign(fork, &vkey, sign).unwrap();
    fs::write(older, fork.to_string()).unwrap();
    let line = site.fails(&[&verify[..], &["--older", older]].concat(), 7, "log_fork");
    assert!(line.contains("evidence"), "{line}");
    site.json(&verify);
}

#[test]
fn a_second_run_on_one_directory_is_refused() {
    let site = Site::new();
    let running = site.run();
    site.fails(&["run"], 4, "already_running");
    running.stop();
}

#[test]
fn commands_without_a_running_authority_say_so() {
    let site = Site::new();
    for arguments in
        [&["status"][..], &["device", "list"], &["token", "create", "--role", "device"]]
    {
        site.fails(arguments, 2, "unreachable");
    }
}

#[test]
fn wrong_command_lines_are_usage_errors() {
    let site = Site::new();
    site.fails(&["token", "create"], 4, "usage");
    site.fails(&["token", "create", "--role", "king"], 4, "usage");
    site.fails(&["device", "revoke", "0123456789", "--reason", "boredom"], 4, "usage");
    site.fails(&["init", "--fleet", "No Spaces"], 4, "usage");
    site.fails(&["init"], 4, "file_exists");
    let help = site.command(&["--help"]);
    assert_eq!((help.exit, help.stderr.as_str()), (0, ""));

    let running = site.run();
    site.fails(&["token", "create", "--role", "device", "--ttl", "30d"], 4, "usage");
    site.fails(&["token", "create", "--role", "device", "--uses", "0"], 4, "usage");
    site.fails(&["device", "show", "0123"], 4, "usage");
    site.fails(&["device", "show", "../tokens"], 4, "usage");
    site.fails(&["device", "show", "0123456789"], 1, "not_found");
    running.stop();
}

#[test]
fn a_wrong_configuration_is_named() {
    let site = Site::new();
    let good = fs::read_to_string(site.dir().join("authority.toml")).unwrap();
    site.edit("authority.toml", |_| format!("{good}listn = \"127.0.0.1:0\"\n"));
    let line = site.fails(&["run"], 4, "config_unknown_key");
    assert!(line.contains("did you mean `listen`"), "{line}");
    site.edit("authority.toml", |_| format!("{good}[enrolment]\nsessions_per_address = 0\n"));
    site.fails(&["run"], 4, "config_invalid");
    fs::remove_file(site.dir().join("authority.toml")).unwrap();
    site.fails(&["run"], 4, "file_not_found");
}

#[test]
fn an_altered_log_stops_the_authority() {
    let site = Site::new();
    site.run().stop();
    let raw = Connection::open(site.dir().join("registry.db")).unwrap();
    raw.execute_batch(
        "DROP TRIGGER log_rows_are_final;
         UPDATE log SET entry = CAST(replace(CAST(entry AS TEXT), 'demo', 'dema') AS BLOB)
         WHERE position = 0",
    )
    .unwrap();
    drop(raw);
    let line = site.fails(&["run"], 7, "log_invalid");
    assert!(line.contains("entry 0"), "{line}");
}

#[test]
fn an_operator_changes_the_policy_and_it_outlives_the_process() {
    let site = Site::new();
    let file = site.policy_file();
    let check = || site.json(&["policy", "check", &file]);
    let offline = check();
    assert_eq!((&offline["in_force"], &offline["changes"]), (&Value::Null, &Value::Array(vec![])));
    assert!(offline["notes"][0].as_str().unwrap().contains("software"), "{offline}");
    assert!(site.command(&["policy", "check", &file]).stdout.contains("Not compared"));
    site.fails(&["policy", "apply", &file], 2, "unreachable");
    site.fails(&["policy", "check", "nowhere.toml"], 4, "file_not_found");

    let running = site.run();
    assert_eq!(check()["in_force"], offline["policy"]["sha256"]);
    assert!(site.command(&["policy", "check", &file]).stdout.contains("This policy is in force."));
    let good = fs::read_to_string(&file).unwrap();
    site.edit("policy.toml", |text| text.replace("lifetime_s", "lifetime"));
    for command in ["check", "apply"] {
        let line = site.fails(&["policy", command, &file], 4, "config_unknown_key");
        assert!(line.contains("did you mean `lifetime_s`"), "{line}");
    }
    assert_eq!(site.json(&["policy", "show"])["source"], good.as_str());

    site.edit("policy.toml", |_| good.replace("86400", "7200"));
    let text = site.command(&["policy", "check", &file]).stdout;
    assert!(text.contains("lifetime_s: 86400 -> 7200"), "{text}");
    let applied = site.json(&["policy", "apply", &file]);
    assert_eq!(applied["old_sha256"], offline["policy"]["sha256"]);
    let again = site.command(&["policy", "apply", &file]).stdout;
    assert!(again.contains("in force already"), "{again}");
    let shown = site.command(&["policy", "show"]).stdout;
    assert!(shown.contains(applied["new_sha256"].as_str().unwrap()), "{shown}");
    let file_again: toml::Table = toml::from_str(&shown).unwrap();
    assert_eq!(file_again["lifetime_s"].as_integer(), Some(7200));
    running.https.enrol(&site.device(1), &site.token());
    let baselines = site.command(&["policy", "baselines"]).stdout;
    let lines: toml::Table = toml::from_str(&baselines).unwrap();
    assert_eq!(lines["pcr_baselines"][0]["7"].as_str(), Some(&*"77".repeat(32)));
    running.stop();

    // The file may go, and so may what it names: the registry has all of it.
    fs::remove_file(&file).unwrap();
    fs::remove_dir_all(site.dir().join("tpm-roots")).unwrap();
    let ready_file = site.directory.path().join("again.json");
    let mut command = Command::new(PROGRAM);
    command.arg("--dir").arg(site.dir()).arg("run").arg("--ready-file").arg(&ready_file);
    let mut process = Process::start(command, site.directory.path().join("again.log"));
    process.wait_ready(&ready_file, PATIENCE);
    let restarted = site.json(&["policy", "show"]);
    assert_eq!(restarted["policy"]["sha256"], applied["new_sha256"]);
    assert_eq!(restarted["log_index"], applied["log_index"]);
    process.terminate(Duration::from_secs(10)).expect("still running");
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let site = Site::new();
    let key = site.dir().join("ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let line = site.fails(&["run"], 4, "file_permissions");
    assert!(line.contains("ca.key"), "{line}");
}

#[test]
fn health_and_metrics_are_served_without_naming_devices() {
    let site = Site::new();
    let running = site.run();
    let grant = running.https.enrol(&site.device(1), &site.token());
    running.https.begin(&site.device(2), "wrong").refused(403, "token_invalid", Some("9"));
    running.health("/livez");
    let ready: Value = serde_json::from_str(&running.health("/readyz")).unwrap();
    assert_eq!(ready, serde_json::json!({"ready": true, "reasons": []}));
    let metrics = running.health("/metrics");
    for line in [
        "sealsum_devices{state=\"active\"} 1",
        "sealsum_attestation_verdicts_total{verdict=\"accepted\",reason=\"none\"} 1",
        "sealsum_attestation_verdicts_total{verdict=\"refused\",reason=\"token_invalid_9\"} 1",
        "sealsum_log_size ",
        "sealsum_certificate_expiry_seconds ",
        "sealsum_build_info{",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(!metrics.contains(&grant.device.to_string()[..8]));
    running.stop();
}
