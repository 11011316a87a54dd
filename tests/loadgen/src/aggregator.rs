//! The real `sealsum-aggregator`, through its commands.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sealsum_daemon::codes::{self, Code};
use sealsum_daemon::{Failure, files, tls};
use sealsum_protocol::signature::PublicKey;
use sealsum_test_support::{Process, unit_environment};
use serde_json::Value;

use crate::memory::Memory;
use crate::staging::{FLEET, NOT_STAGING, Staging};
use crate::task::TaskText;
use crate::wire::{Connection, client_config};

const NAME: &str = "sealsum-aggregator";
/// How it is packaged.
const UNIT: &str = include_str!("../../../packaging/systemd/sealsum-aggregator.service");
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Longest CA file, in bytes.
const CA_LIMIT: u64 = 64 * 1024;

/// The program.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// `data` of its envelope.
    pub data: Value,
    /// Its error, if it failed.
    pub failure: Option<Failure>,
}

impl Program {
    /// The one named, or the one beside this program.
    ///
    /// # Errors
    /// `file_not_found`.
    pub fn find(named: Option<&Path>) -> Result<Self, Failure> {
        let own = std::env::current_exe().unwrap_or_default();
        let path = named.map_or_else(|| own.with_file_name(NAME), Path::to_path_buf);
        if path.is_file() {
            return Ok(Self(path));
        }
        let message = format!("{}: there is no such program", path.display());
        Err(Failure::new(
            codes::FILE_NOT_FOUND,
            message,
            format!("--aggregator-program PATH/{NAME}"),
        ))
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it cannot be started or says nothing that can be read.
    pub fn run(&self, arguments: &[&str]) -> Result<Said, Failure> {
        let mut command = Command::new(&self.0);
        command.args(arguments).args(["--format", "json"]).stdin(Stdio::null());
        let output = command.output().map_err(|error| self.broken(&error))?;
        let envelope: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| self.broken(&String::from_utf8_lossy(&output.stderr)))?;
        let failure = match &envelope["error"] {
            Value::Null => None,
            error => Some(failure(error, output.status.code().unwrap_or_default())),
        };
        Ok(Said { data: envelope["data"].clone(), failure })
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Failure {
        let message = format!("{}: {why}", self.0.display());
        Failure::new(codes::REFUSED, message, format!("--aggregator-program PATH/{NAME}"))
    }
}

impl Said {
    /// The data, if the command succeeded.
    ///
    /// # Errors
    /// Its error.
    pub fn done(self) -> Result<Value, Failure> {
        self.failure.map_or(Ok(self.data), Err)
    }
}

fn failure(error: &Value, exit: i32) -> Failure {
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    let status = match exit {
        2 => 502,
        3 => 504,
        4 => 400,
        5 => 500,
        _ => 403,
    };
    Failure::new(Code::remote(&text("code"), status), text("message"), text("hint"))
}

/// A running aggregator of the staging fleet.
pub struct Aggregator {
    /// The tool's own process, gone when this is.
    process: Option<Process>,
    scratch: PathBuf,
    program: Program,
    dir: PathBuf,
    owner_key: PathBuf,
    /// Where devices connect.
    pub address: String,
}

impl Aggregator {
    /// Initialises and runs one below `scratch`.
    ///
    /// # Errors
    /// When a command fails, or it does not start.
    pub fn launch(program: Program, staging: &Staging, scratch: &Path) -> Result<Self, Failure> {
        let dir = scratch.join("aggregator");
        let [authority_ca, token] =
            [staging.ca_file(), staging.token_file()].map(|path| text(&path));
        let told = ["--authority", &staging.url, "--authority-ca", &authority_ca];
        let token = ["--token-file", &token, "--dir", &text(&dir)];
        let places = ["--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"];
        program.run(&[&["init"], &told[..], &token, &places].concat())?.done()?;
        let (process, address) = run(&program, &dir, scratch)?;
        let owner_key = owner_key(&program, staging)?;
        let (scratch, process) = (scratch.to_owned(), Some(process));
        Ok(Self { process, scratch, program, dir, owner_key, address })
    }

    /// An operator's, which must be the staging fleet's; files on the way are below `scratch`.
    ///
    /// # Errors
    /// `not_staging` unless it is; when it does not run or is not ready.
    pub fn of_operator(
        program: Program,
        dir: &Path,
        staging: &Staging,
        scratch: &Path,
    ) -> Result<Self, Failure> {
        let status = ready_status(&program, dir, staging)?;
        let address = address(&status)?;
        demand_pinned_ca(staging, &address)?;
        let owner_key = owner_key(&program, staging)?;
        let (scratch, dir) = (scratch.to_owned(), dir.to_owned());
        Ok(Self { process: None, scratch, program, dir, owner_key, address })
    }

    /// How much memory it takes, if it is the tool's own.
    pub fn memory(&self) -> Option<Memory> {
        Memory::of(self.process.as_ref()?.id())
    }

    fn cli(&self, arguments: &[&str]) -> Result<Said, Failure> {
        self.program.run(&[arguments, &["--dir", &text(&self.dir)]].concat())
    }

    /// Signs and registers a task; its owner.
    ///
    /// # Errors
    /// When either command fails.
    pub fn register(&self, task: &TaskText) -> Result<PublicKey, Failure> {
        let in_scratch = |name: &str| self.scratch.join(format!("{}.{name}", task.name));
        let (file, signed) = (in_scratch("toml"), in_scratch("signed"));
        files::write_private(&file, task.toml.as_bytes())?;
        let (file, signed, key) = (text(&file), text(&signed), text(&self.owner_key));
        let sign = ["task", "sign", &file, "--owner-key", &key, "--out", &signed];
        let said = self.program.run(&sign)?.done()?;
        self.cli(&["task", "create", &signed])?.done()?;
        let owner = said["owner"].as_str().unwrap_or_default();
        owner.parse().map_err(|error| Failure::bug(format!("owner {owner}: {error}")))
    }

    /// Opens the next round of a task; its id.
    ///
    /// # Errors
    /// When the aggregator refuses.
    pub fn start_round(&self, task: &str) -> Result<String, Failure> {
        let started = self.cli(&["round", "start", "--task", task])?.done()?;
        Ok(started["round"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits for the end of a round, and ends it if it does not come; its record.
    ///
    /// # Errors
    /// When the aggregator does not answer.
    pub fn record_at_end(&self, round: &str, limit_s: usize) -> Result<Value, Failure> {
        let limit = limit_s.to_string();
        let waited = self.cli(&["round", "wait", round, "--timeout", &limit])?;
        if waited.failure.is_some_and(|failure| failure.code == codes::DEADLINE) {
            // It may have ended by itself since; what came of it is in the record.
            self.cli(&["round", "abort", round])?;
        }
        self.cli(&["round", "show", round])?.done()
    }

    /// The sum of a finished round.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read.
    pub fn sum(&self, round: &str) -> Result<Vec<f64>, Failure> {
        let out = self.scratch.join(format!("{round}.npy"));
        self.cli(&["round", "result", round, "--out", &text(&out)])?.done()?;
        let wrong = |error: std::io::Error| {
            let message = format!("{}: {error}", out.display());
            Failure::new(codes::FILE_FORMAT, message, "sealsum-aggregator round result")
        };
        let bytes = std::fs::read(&out).map_err(wrong)?;
        files::remove(&out)?;
        npyz::NpyFile::new(&bytes[..]).and_then(|file| file.into_vec()).map_err(wrong)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The owner of the tool's tasks, the same as long as the staging authority is.
fn owner_key(program: &Program, staging: &Staging) -> Result<PathBuf, Failure> {
    let key = staging.owner_key();
    if !key.exists() {
        program.run(&["owner", "create", "--out", &text(&key)])?.done()?;
    }
    Ok(key)
}

/// Runs it until it serves; where devices connect.
fn run(program: &Program, dir: &Path, scratch: &Path) -> Result<(Process, String), Failure> {
    let ready = scratch.join("ready.json");
    let mut command = Command::new(&program.0);
    command.args(["run", "--ready-file"]).arg(&ready).arg("--dir").arg(dir);
    command.envs(unit_environment(UNIT));
    let mut process = Process::start(command, scratch.join("aggregator.log"));
    let until = Instant::now() + READY_LIMIT;
    while !ready.exists() {
        if process.ended().is_some() || Instant::now() > until {
            let log = process.log_text();
            let last = log.lines().last().unwrap_or("it says nothing");
            let message = format!("{NAME} run: does not start: {last}");
            return Err(Failure::new(codes::UNREACHABLE, message, "sealsum-aggregator run"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let said: Value = serde_json::from_str(&files::read_text(&ready, CA_LIMIT)?)
        .map_err(|error| Failure::bug(format!("ready file: {error}")))?;
    Ok((process, said["listen"].as_str().unwrap_or_default().to_owned()))
}

/// What the operator's aggregator says of itself, once it has heard from the authority that this
/// process runs now; refuses one of another fleet at once.
fn ready_status(program: &Program, dir: &Path, staging: &Staging) -> Result<Value, Failure> {
    demand_configured_ca(dir, staging)?;
    let until = Instant::now() + READY_LIMIT;
    loop {
        let status = program.run(&["status", "--dir", &text(dir)])?.done()?;
        let fleet = status["fleet"].as_str().unwrap_or_default();
        if fleet != FLEET {
            return Err(not_staging(&format!("{}: it is of fleet {fleet}", dir.display())));
        }
        if status["ready"] == true {
            return Ok(status);
        }
        if Instant::now() > until {
            let message = format!("{}: it is not ready: {}", dir.display(), status["reasons"]);
            return Err(Failure::new(codes::UNREACHABLE, message, "sealsum-aggregator status"));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Reads `authority.ca` of its configuration, before anything is asked of it.
fn demand_configured_ca(dir: &Path, staging: &Staging) -> Result<(), Failure> {
    let file = dir.join("aggregator.toml");
    let config: toml::Value = toml::from_str(&files::read_text(&file, CA_LIMIT)?)
        .map_err(|error| Failure::new(codes::CONFIG_INVALID, error.to_string(), text(&file)))?;
    let named = config.get("authority").and_then(|authority| authority.get("ca")?.as_str());
    let ca = dir.join(named.unwrap_or_default());
    if tls::read_chain(&ca)? == tls::chain_from_pem(staging.keys.ca_pem.as_bytes(), "CA")? {
        return Ok(());
    }
    let why = format!("{}: is not the CA of {}", ca.display(), staging.dir.display());
    Err(not_staging(&why))
}

/// What it shows to devices must be certified by the staging CA, whatever it says of itself.
fn demand_pinned_ca(staging: &Staging, address: &str) -> Result<(), Failure> {
    let config = client_config(&staging.keys, None)?;
    // In TLS 1.3 a server may still refuse a client without a certificate after this handshake.
    match Connection::open(address, config) {
        Ok(_) => Ok(()),
        Err(error) => Err(not_staging(&format!(
            "{address}: is no aggregator under the CA of {}: {error}",
            staging.dir.display()
        ))),
    }
}

/// Where devices on this machine reach it: over loopback, and nowhere else.
fn address(status: &Value) -> Result<String, Failure> {
    let listen = status["listen"].as_str().unwrap_or_default();
    let address: Option<SocketAddr> = listen.parse().ok();
    match address {
        Some(address) if address.ip().is_loopback() => Ok(address.to_string()),
        Some(address) if address.ip().is_unspecified() => {
            let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
            Ok(SocketAddr::new(loopback, address.port()).to_string())
        }
        _ => Err(not_staging(&format!("{listen}: is not on loopback"))),
    }
}

fn not_staging(why: &str) -> Failure {
    let hint = "an aggregator that was initialised as sealsum-loadgen authority prints it";
    Failure::new(NOT_STAGING, format!("aggregator {why}"), hint)
}
