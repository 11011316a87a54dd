//! One authority, devices with a TPM each, and commands run as a script would run them.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use sealsum_test_support::{Process, SoftwareTpm, TpmFactory};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_sealsum-agent");
/// Five times what a start takes on a busy machine.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);
/// The promise of INTERFACE.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Nobody listens on the port that RFC 1078 took.
pub(crate) const NOBODY: &str = "https://127.0.0.1:1";

/// A fleet with an authority of its own.
pub(crate) struct World {
    pub(crate) url: String,
    /// Where devices that enrol from now on find the aggregator.
    pub(crate) aggregator_url: Option<String>,
    aggregator: Option<Process>,
    authority: Process,
    pub(crate) factory: TpmFactory,
    // Last: the processes are gone before their files.
    pub(crate) dir: TempDir,
}

/// A device: its TPM and its directory.
pub(crate) struct Device {
    pub(crate) tpm: SoftwareTpm,
    pub(crate) dir: PathBuf,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exit: i32,
    pub(crate) json: Value,
}

impl Answer {
    /// The error's code, or an empty text.
    pub(crate) fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }

    /// The data of a command that went well.
    #[track_caller]
    pub(crate) fn data(&self) -> &Value {
        assert_eq!((self.exit, &self.json["status"]), (0, &Value::from("ok")), "{self:?}");
        &self.json["data"]
    }

    /// Asserts a refusal by code and exit code.
    #[track_caller]
    pub(crate) fn refused(&self, code: &str, exit: i32) -> &Value {
        assert_eq!((self.code(), self.exit), (code, exit), "{self:?}");
        &self.json["error"]
    }
}

impl World {
    /// Starts an authority that trusts the makers of the factory's TPMs.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let factory = TpmFactory::trusted();
        // The maker's certificates exist once it made a TPM.
        drop(factory.tpm());
        let [root, intermediate] = factory.anchors();
        let authority_dir = dir.path().join("authority");
        fs::create_dir(&authority_dir).unwrap();
        let initialised = Command::new(authority_program())
            .args(["init", "--fleet", "test", "--dir"])
            .arg(&authority_dir)
            .arg("--tpm-roots")
            .arg(root)
            .arg("--tpm-roots")
            .arg(intermediate)
            .output()
            .unwrap();
        assert!(initialised.status.success(), "{initialised:?}");
        let (authority, url) = start_authority(dir.path(), "127.0.0.1:0");
        Self { url, aggregator_url: None, aggregator: None, authority, factory, dir }
    }

    /// A device that has not enrolled.
    pub(crate) fn device(&self, name: &str) -> Device {
        Device { tpm: self.factory.tpm(), dir: self.dir.path().join(name) }
    }

    /// A device that has.
    pub(crate) fn enrolled(&self, name: &str) -> Device {
        let device = self.device(name);
        self.enrol(&device).data();
        device
    }

    /// Enrols with a fresh token.
    pub(crate) fn enrol(&self, device: &Device) -> Answer {
        self.enrol_with(device, &self.token(), &self.ca())
    }

    /// Enrols with this token and this CA.
    pub(crate) fn enrol_with(&self, device: &Device, token: &Path, ca: &Path) -> Answer {
        let aggregator = self.aggregator_url.as_deref().unwrap_or(NOBODY);
        enrol(device, &self.url, ca, aggregator, token)
    }

    /// Has an aggregator certified.
    pub(crate) fn init_aggregator(&self) {
        let token = self.token_for("aggregator");
        let (url, ca) = (self.url.clone(), self.ca());
        self.aggregator(&[
            OsStr::new("init"),
            "--authority".as_ref(),
            url.as_ref(),
            "--authority-ca".as_ref(),
            ca.as_ref(),
            "--token-file".as_ref(),
            token.as_ref(),
        ])
        .data();
    }

    /// Starts an aggregator; devices that enrol from now on know it.
    pub(crate) fn with_aggregator(mut self) -> Self {
        self.init_aggregator();
        let ready_file = self.dir.path().join("aggregator.ready");
        let mut command = Command::new(program("sealsum-aggregator"));
        command.args(["run", "--dir"]).arg(self.aggregator_dir());
        command.arg("--ready-file").arg(&ready_file);
        command.env("SEALSUM_AGGREGATOR_LISTEN", "127.0.0.1:0");
        command.env("SEALSUM_AGGREGATOR_HEALTH__LISTEN", "127.0.0.1:0");
        let mut process = Process::start(command, self.dir.path().join("aggregator.log"));
        let ready = process.wait_ready(&ready_file, START_LIMIT);
        self.aggregator_url = Some(format!("https://{}", ready["listen"].as_str().unwrap()));
        self.aggregator = Some(process);
        self
    }

    /// Runs a command of the aggregator.
    pub(crate) fn aggregator<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Answer {
        let mut command = Command::new(program("sealsum-aggregator"));
        command.args(arguments).args(["--format", "json", "--dir"]).arg(self.aggregator_dir());
        answer(command)
    }

    /// Runs a command of the authority.
    pub(crate) fn authority<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Answer {
        let mut command = Command::new(authority_program());
        command.args(arguments).args(["--format", "json", "--dir"]);
        command.arg(self.dir.path().join("authority"));
        answer(command)
    }

    /// Where an aggregator keeps its state.
    pub(crate) fn aggregator_dir(&self) -> PathBuf {
        self.dir.path().join("aggregator")
    }

    /// The file of a fresh token for a device.
    pub(crate) fn token(&self) -> PathBuf {
        self.token_for("device")
    }

    fn token_for(&self, role: &str) -> PathBuf {
        let created = Command::new(authority_program())
            .args(["token", "create", "--role", role, "--dir"])
            .arg(self.dir.path().join("authority"))
            .output()
            .unwrap();
        assert!(created.status.success(), "{created:?}");
        let mut file = tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        file.write_all(&created.stdout).unwrap();
        file.into_temp_path().keep().unwrap()
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("authority/ca.pem")
    }

    /// What the authority has on record, a line for each device.
    pub(crate) fn devices(&self) -> Vec<Value> {
        let mut command = Command::new(authority_program());
        command.args(["device", "list", "--format", "json", "--dir"]);
        command.arg(self.dir.path().join("authority"));
        answer(command).data()["devices"].as_array().unwrap().clone()
    }

    /// Revokes a device.
    pub(crate) fn revoke(&self, device: &str) {
        let revoked = Command::new(authority_program())
            .args(["device", "revoke", device, "--reason", "stolen", "--dir"])
            .arg(self.dir.path().join("authority"))
            .output()
            .unwrap();
        assert!(revoked.status.success(), "{revoked:?}");
    }

    /// The authority's state as it is now: stopped, copied, started again.
    pub(crate) fn back_up_authority(&mut self) {
        self.authority.terminate(STOP_LIMIT);
        copy_dir(&self.dir.path().join("authority"), &self.dir.path().join("backup"));
        self.restart_authority();
    }

    /// The authority goes on from its backup.
    pub(crate) fn restore_authority(&mut self) {
        self.authority.terminate(STOP_LIMIT);
        fs::remove_dir_all(self.dir.path().join("authority")).unwrap();
        copy_dir(&self.dir.path().join("backup"), &self.dir.path().join("authority"));
        self.restart_authority();
    }

    fn restart_authority(&mut self) {
        let address = self.url.strip_prefix("https://").unwrap();
        self.authority = start_authority(self.dir.path(), address).0;
    }

    /// The authority is gone.
    pub(crate) fn stop_authority(&mut self) {
        self.authority.kill();
    }
}

impl Device {
    /// Runs a command of the agent on this device's directory.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Answer {
        agent(&self.dir, arguments)
    }

    /// Starts the agent and waits until it is ready.
    pub(crate) fn start(&self) -> Process {
        let ready_file = self.dir.join("ready");
        // Of an earlier run, which must not be taken for this one's.
        let _ = fs::remove_file(&ready_file);
        let mut process = self.spawn(&ready_file);
        process.wait_ready(&ready_file, START_LIMIT);
        process
    }

    /// Starts the agent.
    pub(crate) fn spawn(&self, ready_file: &Path) -> Process {
        let mut command = Command::new(AGENT);
        command.args(["run", "--format", "json", "--dir"]).arg(&self.dir);
        command.arg("--ready-file").arg(ready_file);
        Process::start(command, self.dir.join("log"))
    }

    /// Waits until `status` satisfies `wanted`.
    #[track_caller]
    pub(crate) fn await_status(&self, limit: Duration, wanted: impl Fn(&Answer) -> bool) -> Answer {
        self.await_answer(&["status"], limit, wanted)
    }

    /// Waits until what a command answers satisfies `wanted`.
    #[track_caller]
    pub(crate) fn await_answer(
        &self,
        arguments: &[&str],
        limit: Duration,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let started = std::time::Instant::now();
        loop {
            let answer = self.run(arguments);
            if wanted(&answer) {
                return answer;
            }
            assert!(started.elapsed() < limit, "after {limit:?} still {answer:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sets a key of agent.toml, as an operator would in an editor.
    pub(crate) fn edit(&self, key: &str, value: &str) {
        let path = self.dir.join("agent.toml");
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{key} ="))).unwrap();
        fs::write(&path, text.replace(line, &format!("{key} = {value}"))).unwrap();
    }
}

/// `enroll` against any authority.
pub(crate) fn enrol(
    device: &Device,
    url: &str,
    ca: &Path,
    aggregator: &str,
    token: &Path,
) -> Answer {
    fs::create_dir_all(&device.dir).unwrap();
    let tcti = device.tpm.tcti();
    device.run(&[
        OsStr::new("enroll"),
        "--authority".as_ref(),
        url.as_ref(),
        "--authority-ca".as_ref(),
        ca.as_ref(),
        "--aggregator".as_ref(),
        aggregator.as_ref(),
        "--token-file".as_ref(),
        token.as_ref(),
        "--tpm".as_ref(),
        tcti.as_ref(),
    ])
}

/// Runs one command of the agent.
pub(crate) fn agent<S: AsRef<OsStr>>(dir: &Path, arguments: &[S]) -> Answer {
    let mut command = Command::new(AGENT);
    command.args(arguments).args(["--format", "json", "--dir"]).arg(dir);
    answer(command)
}

/// Runs a command that prints one JSON envelope.
pub(crate) fn answer(mut command: Command) -> Answer {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no envelope ({error}): {output:?}"));
    Answer { exit: output.status.code().unwrap_or(-1), json }
}

/// Runs the authority in `dir/authority`; its address comes beside it.
fn start_authority(dir: &Path, listen: &str) -> (Process, String) {
    let ready_file = dir.join("authority.ready");
    let mut command = Command::new(authority_program());
    command.args(["run", "--dir"]).arg(dir.join("authority"));
    command.arg("--ready-file").arg(&ready_file);
    command.env("SEALSUM_AUTHORITY_LISTEN", listen);
    command.env("SEALSUM_AUTHORITY_HEALTH__LISTEN", "127.0.0.1:0");
    let mut authority = Process::start(command, dir.join("authority.log"));
    let ready = authority.wait_ready(&ready_file, START_LIMIT);
    (authority, format!("https://{}", ready["listen"].as_str().unwrap()))
}

/// Copies the files below a directory, with their permissions; sockets are left out.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_dir(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn authority_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| program("sealsum-authority"))
}

/// A real server, from the same build; built if nobody did.
fn program(name: &str) -> PathBuf {
    let program = Path::new(AGENT).with_file_name(name);
    if !program.exists() {
        let built =
            Command::new(env!("CARGO")).args(["build", "--package", name]).status().unwrap();
        assert!(built.success(), "{name} cannot be built");
    }
    program
}
