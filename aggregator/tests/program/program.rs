//! The real program in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sealsum_test_support::Process;
use serde_json::Value;

use sealsum_loadgen::authority::{Authority, Door};
use sealsum_loadgen::device::{Device, Home};
use sealsum_loadgen::fleet::{DAY, FleetKeys};
use sealsum_protocol::signature::PublicKey;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealsum-aggregator");
/// What aggregators enrol with.
pub(crate) const TOKEN: &str = "the-token-of-this-test";
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A fleet with a running aggregator.
pub(crate) struct Aggregator {
    // Before the directory: the process must be gone before its files are.
    process: Option<Process>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) fleet: Arc<FleetKeys>,
    pub(crate) authority: Authority,
    pub(crate) address: String,
    pub(crate) health: String,
    pub(crate) owner: PublicKey,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// `data` of the JSON envelope.
    pub(crate) fn data(&self) -> Value {
        let envelope: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no envelope: {self:?}"));
        envelope["data"].clone()
    }

    /// The code of the error in the JSON envelope.
    pub(crate) fn code(&self) -> String {
        let envelope: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no envelope: {self:?}"));
        envelope["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Runs a command with `--format json`.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    let output = Command::new(PROGRAM).args(arguments).args(["--format", "json"]).output().unwrap();
    Ran {
        exit: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Aggregator {
    /// Initialised, with an owner's key, not yet running.
    pub(crate) fn new() -> Self {
        let fleet = Arc::new(FleetKeys::new("test").unwrap());
        let authority = Authority::start(Arc::clone(&fleet), Door::on_loopback(TOKEN)).unwrap();
        Self::with(fleet, authority)
    }

    pub(crate) fn with(fleet: Arc<FleetKeys>, authority: Authority) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(text("pinned.pem"), &fleet.ca_pem).unwrap();
        std::fs::write(text("token"), TOKEN).unwrap();
        let initialised = run(&[
            "init",
            "--dir",
            &text("agg"),
            "--authority",
            &authority.url,
            "--authority-ca",
            &text("pinned.pem"),
            "--token-file",
            &text("token"),
            "--listen",
            "127.0.0.1:0",
            "--health",
            "127.0.0.1:0",
        ]);
        assert_eq!(initialised.exit, 0, "{initialised:?}");
        let owner = run(&["owner", "create", "--out", &text("owner.key")]);
        assert_eq!(owner.exit, 0, "{owner:?}");
        let owner = owner.data()["owner"].as_str().unwrap().parse().unwrap();
        let (address, health) = Default::default();
        Self { process: None, dir, fleet, authority, address, health, owner }
    }

    /// Running.
    pub(crate) fn start() -> Self {
        let mut aggregator = Self::new();
        aggregator.launch(&[]);
        aggregator
    }

    /// Starts the program, with more of the environment.
    pub(crate) fn launch(&mut self, environment: &[(&str, &str)]) {
        let ready = self.path("ready.json");
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--ready-file"]).arg(&ready).arg("--dir").arg(self.path("agg"));
        command.envs(environment.iter().copied());
        let _ = std::fs::remove_file(&ready);
        let mut process = Process::start(command, self.path("aggregator.log"));
        let answer = process.wait_ready(&ready, READY_LIMIT);
        self.address = answer["listen"].as_str().unwrap().to_owned();
        self.health = answer["health"].as_str().unwrap().to_owned();
        self.process = Some(process);
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text_path(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Runs a command against this aggregator.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Ran {
        let dir = self.text_path("agg");
        run(&[arguments, &["--dir", &dir]].concat())
    }

    /// Signs and registers a task.
    pub(crate) fn register(&self, task: &str) -> Ran {
        std::fs::write(self.path("task.toml"), task).unwrap();
        let signed = self.text_path("task.signed");
        let key = self.text_path("owner.key");
        let file = self.text_path("task.toml");
        let sign = run(&["task", "sign", &file, "--owner-key", &key, "--out", &signed]);
        assert_eq!(sign.exit, 0, "{sign:?}");
        self.cli(&["task", "create", &signed])
    }

    /// Opens a round of a task; its id.
    pub(crate) fn open_round(&self, task: &str) -> String {
        let started = self.cli(&["round", "start", "--task", task]);
        assert_eq!(started.exit, 0, "{started:?}");
        started.data()["round"].as_str().unwrap().to_owned()
    }

    /// The record of a round.
    pub(crate) fn show(&self, round: &str) -> Value {
        self.cli(&["round", "show", round]).data()
    }

    /// Waits for the end of a round.
    pub(crate) fn wait(&self, round: &str) -> Ran {
        self.cli(&["round", "wait", round, "--timeout", "90"])
    }

    /// The devices 1 to `count`, connected.
    pub(crate) fn devices(&self, count: u32) -> Vec<Device> {
        (1..=count).map(|index| self.device(index)).collect()
    }

    pub(crate) fn device(&self, index: u32) -> Device {
        Device::new(&self.home(), index, DAY).unwrap()
    }

    /// What its devices have in common.
    pub(crate) fn home(&self) -> Arc<Home> {
        let (fleet, tasks) = (Arc::clone(&self.fleet), ["exact".to_owned()]);
        Arc::new(Home::new(fleet, &self.address, self.owner, &tasks, 0).unwrap())
    }

    /// A device whose certificate the authority's log knows nothing of.
    pub(crate) fn device_not_logged(&self, index: u32) -> Device {
        let issue = |id, x25519: &_| self.fleet.device_not_logged(id, x25519, DAY);
        Device::with_leaf(&self.home(), index, issue).unwrap()
    }

    /// The sum that a round wrote.
    pub(crate) fn result(&self, round: &str) -> Vec<f64> {
        let out = self.path("sum.npy");
        let ran = self.cli(&["round", "result", round, "--out", &out.display().to_string()]);
        assert_eq!(ran.exit, 0, "{ran:?}");
        read_npy(&out)
    }
}

pub(crate) fn read_npy(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    npyz::NpyFile::new(&bytes[..]).unwrap().into_vec().unwrap()
}

/// A task without noise, whose sums are exact.
pub(crate) fn exact_task(more: &str) -> String {
    format!(
        r#"
name = "exact"
coordinates = 4
clip = 4096.0
scale = 64
start_when = 6
min_contributors = 4
max_devices = 12
corrupt_share = 0.1
dropout_share = 0.17
max_rounds = 30
not_before = 2020-01-01T00:00:00Z
not_after = 2100-01-01T00:00:00Z
{more}
[privacy]
mechanism = "none"
[deadlines_s]
advertise = 8
share = 8
mask = 8
check = 8
unmask = 8
"#
    )
}
