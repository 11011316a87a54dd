//! The programs as they are installed, and the least fleet of them: an authority, an aggregator.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sealsum_demo::{command, words};
use sealsum_test_support::{Process, SoftwareTpm, TpmFactory, unit_environment};
use serde_json::Value;
use tempfile::TempDir;

use crate::summary::target;

/// How the agent is packaged.
const AGENT_UNIT: &str = include_str!("../../../packaging/systemd/sealsum-agent.service");
const START_LIMIT: Duration = Duration::from_secs(30);

/// One of them: a release build, which `make bench` makes before this runs.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = std::path::absolute(target()).expect("a folder").join("release");
    let program = folder.join(name);
    assert!(program.exists(), "{} is missing; make bench builds it", program.display());
    program
}

/// Both servers, and who makes the devices' TPMs.
pub(crate) struct Servers {
    authority_url: String,
    aggregator_url: String,
    chips: TpmFactory,
    _processes: [Process; 2],
    // Last: the processes are gone before their files.
    dir: TempDir,
}

/// A device that may enrol.
pub(crate) struct Device {
    pub(crate) dir: PathBuf,
    tpm: SoftwareTpm,
    token: PathBuf,
}

impl Servers {
    /// Starts both, on ports that the system chooses.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let chips = TpmFactory::trusted();
        // The maker's certificates exist once it made a TPM.
        drop(chips.tpm());
        let [root, intermediate] = chips.anchors();
        let roots = words!["--tpm-roots", &root, "--tpm-roots", &intermediate];
        ran("authority", dir.path(), &[&words!["init", "--fleet", "bench"][..], &roots].concat());
        let (authority, authority_url) = serve("authority", dir.path());
        let (ca, token) = (ca(dir.path()), token("aggregator", dir.path()));
        let to = words!["init", "--authority", &authority_url, "--authority-ca", &ca];
        ran("aggregator", dir.path(), &[&to[..], &words!["--token-file", &token]].concat());
        let (aggregator, aggregator_url) = serve("aggregator", dir.path());
        let _processes = [authority, aggregator];
        Self { authority_url, aggregator_url, chips, _processes, dir }
    }

    /// A new one: its chip runs, its directory is there, its token is made.
    pub(crate) fn device(&self, name: &str) -> Device {
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).expect("a new directory");
        Device { dir, tpm: self.chips.tpm(), token: token("device", self.dir.path()) }
    }

    /// Enrols it.
    pub(crate) fn enrol(&self, device: &Device) {
        let (ca, tcti) = (ca(self.dir.path()), device.tpm.tcti());
        let servers =
            words!["--authority", &self.authority_url, "--aggregator", &self.aggregator_url];
        let own = words!["--authority-ca", &ca, "--token-file", &device.token, "--tpm", &tcti];
        let arguments = [&words!["enroll"][..], &servers, &own].concat();
        command::run(&program("sealsum-agent"), &device.dir, &arguments).expect("enrolment");
    }
}

impl Device {
    /// Starts its agent and waits until it serves.
    pub(crate) fn run(&self) -> Process {
        let packaged = |command: &mut Command| {
            command.envs(unit_environment(AGENT_UNIT));
        };
        start("sealsum-agent", &self.dir, packaged).0
    }
}

/// Runs a command of a server in its directory.
fn ran(server: &str, dir: &Path, arguments: &[&OsStr]) -> Value {
    let program = program(&format!("sealsum-{server}"));
    let answer = command::run(&program, &dir.join(server), arguments);
    answer.unwrap_or_else(|refusal| panic!("{server}: {refusal}"))
}

fn serve(server: &str, dir: &Path) -> (Process, String) {
    let (process, ready) = start(&format!("sealsum-{server}"), &dir.join(server), |command| {
        let prefix = format!("SEALSUM_{}", server.to_uppercase());
        command.env(format!("{prefix}_LISTEN"), "127.0.0.1:0");
        command.env(format!("{prefix}_HEALTH__LISTEN"), "127.0.0.1:0");
    });
    let listen = ready["listen"].as_str().expect("a server's address");
    (process, format!("https://{listen}"))
}

fn start(name: &str, dir: &Path, prepare: impl FnOnce(&mut Command)) -> (Process, Value) {
    let ready_file = dir.join("ready");
    let mut command = Command::new(program(name));
    command.arg("run").arg("--dir").arg(dir).arg("--ready-file").arg(&ready_file);
    prepare(&mut command);
    let mut process = Process::start(command, dir.join("log"));
    let ready = process.wait_ready(&ready_file, START_LIMIT);
    (process, ready)
}

/// The file of a fresh token.
fn token(role: &str, dir: &Path) -> PathBuf {
    let created = ran("authority", dir, &words!["token", "create", "--role", role]);
    let token = created["token"].as_str().expect("a token");
    let file = tempfile::NamedTempFile::new_in(dir).expect("a new file");
    let path = file.into_temp_path().keep().expect("a file that stays");
    std::fs::write(&path, token).expect("a file that can be written");
    path
}

fn ca(dir: &Path) -> PathBuf {
    dir.join("authority/ca.pem")
}
