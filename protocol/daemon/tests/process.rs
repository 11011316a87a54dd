//! What scripts see of a program: exit codes, stdout, stderr, signals. This binary is both the test
//! and, called with `as-program`, the program under test.
#![allow(clippy::unwrap_used, reason = "a test, although without the harness")]

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use sealsum_daemon::cli::{self, CommonArgs, Text};
use sealsum_daemon::ready::{self, Ready};
use sealsum_daemon::{Failure, Program, codes, config, lock, log, shutdown};
use serde_json::{Value, json};

const AS_PROGRAM: &str = "as-program";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(AS_PROGRAM) {
        return cli::guard(program);
    }
    for (name, test) in TESTS {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

const TESTS: &[(&str, fn())] = &[
    ("help_and_version_succeed", help_and_version_succeed),
    ("a_wrong_command_line_is_4", a_wrong_command_line_is_4),
    ("a_wrong_command_line_in_json_is_an_envelope", a_wrong_command_line_in_json_is_an_envelope),
    ("a_result_is_on_stdout_alone", a_result_is_on_stdout_alone),
    ("an_error_is_one_line_without_colours", an_error_is_one_line_without_colours),
    ("the_environment_overrides_the_file", the_environment_overrides_the_file),
    ("a_bug_is_5", a_bug_is_5),
    ("a_closed_pipe_is_no_error", a_closed_pipe_is_no_error),
    ("the_second_run_is_refused", the_second_run_is_refused),
    ("a_signal_ends_it_with_0", a_signal_ends_it_with_0),
    ("a_hanging_thread_does_not_keep_it", a_hanging_thread_does_not_keep_it),
    ("systemd_is_told", systemd_is_told),
];

// The program

#[derive(Parser)]
#[command(version)]
struct Cli {
    #[arg(hide = true)]
    marker: String,
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Prints the fleet of the configuration
    Fleet,
    /// Meets a bug
    Panic,
    /// Serves nothing until it is stopped
    Run {
        #[arg(long)]
        ready_file: Option<PathBuf>,
        /// With a thread that never ends
        #[arg(long)]
        hang: bool,
    },
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    fleet: String,
}

fn program() -> ExitCode {
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    log::init(cli.common.log_format);
    tracing::info!(marker = cli.marker, "started");
    cli::finish(cli.common.format, act(&cli).map(Text))
}

fn act(cli: &Cli) -> Result<String, Failure> {
    match &cli.command {
        Action::Fleet => {
            let path = cli.common.config_path(Program::Agent);
            Ok(config::load::<Config>(Program::Agent, &path)?.fleet)
        }
        Action::Panic => panic!("two\nlines"),
        Action::Run { ready_file, hang } => {
            let dir = cli.common.dir.clone().unwrap_or_default();
            run(&dir, ready_file.as_deref(), *hang).map(|()| String::new())
        }
    }
}

#[tokio::main]
async fn run(dir: &Path, ready_file: Option<&Path>, hang: bool) -> Result<(), Failure> {
    ready::clear(ready_file)?;
    let _lock = lock::single_instance(dir)?;
    let stop = shutdown::on_signals().map_err(|error| Failure::bug(error.to_string()))?;
    if hang {
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(3600)));
    }
    ready::announce(ready_file, &Ready::new(None, None, None))?;
    stop.wait().await;
    Ok(())
}

// The tests

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(AS_PROGRAM).args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn exit(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn envelope(output: &Output) -> Value {
    let text = stdout(output);
    assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["data", "error", "schema_version", "status"]);
    json
}

fn directory(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("agent.toml"), config).unwrap();
    dir
}

fn help_and_version_succeed() {
    let help = output(&["--help"]);
    assert_eq!(exit(&help), 0);
    assert!(stdout(&help).contains("Usage:"), "{}", stdout(&help));
    assert_eq!(exit(&output(&["run", "--help"])), 0);
    assert_eq!(exit(&output(&["--version"])), 0);
}

fn a_wrong_command_line_is_4() {
    for wrong in [&["run", "--nope"][..], &["nope"], &[], &["fleet", "--format", "yaml"]] {
        let output = output(wrong);
        assert_eq!(exit(&output), 4, "{wrong:?}");
        assert_eq!(stdout(&output), "", "{wrong:?}");
        assert!(!stderr(&output).is_empty(), "{wrong:?}");
    }
    let text = stderr(&output(&["run", "--redy-file", "x"]));
    assert!(text.starts_with("error: command line: "), "{text}");
    assert!(text.contains(". Try: ") && text.contains("--ready-file"), "{text}");
    assert_eq!(text.matches('\n').count(), 1, "{text}");
}

fn a_wrong_command_line_in_json_is_an_envelope() {
    for wrong in [&["run", "--nope", "--format", "json"][..], &["--format=json"]] {
        let output = output(wrong);
        assert_eq!(exit(&output), 4, "{wrong:?}");
        let json = envelope(&output);
        assert_eq!(json["error"]["code"], "usage");
        assert_eq!((&json["status"], &json["data"]), (&json!("error"), &Value::Null));
    }
}

fn a_result_is_on_stdout_alone() {
    let dir = directory("fleet = \"demo\"\n");
    let dir = dir.path().to_str().unwrap();
    let text = output(&["fleet", "--dir", dir]);
    assert_eq!((exit(&text), stdout(&text).as_str()), (0, "demo\n"));
    assert!(stderr(&text).contains("started"), "the log is on stderr");
    let json = output(&["fleet", "--dir", dir, "--format", "json", "--log-format", "json"]);
    assert_eq!(envelope(&json)["data"], "demo");
    let event: Value = serde_json::from_str(stderr(&json).trim()).expect("one JSON event");
    assert_eq!((&event["message"], &event["level"]), (&json!("started"), &json!("INFO")));
    let time = event["timestamp"].as_str().unwrap();
    assert!(time.contains('T') && time.ends_with('Z'), "{time}");
}

fn an_error_is_one_line_without_colours() {
    let dir = directory("fleet = \"demo\"\nflet = 1\n");
    let dir = dir.path().to_str().unwrap();
    let text = output(&["fleet", "--dir", dir]);
    assert_eq!(exit(&text), 4);
    let line = stderr(&text).lines().last().unwrap().to_owned();
    assert!(
        line.starts_with("error: ") && line.contains("(did you mean `fleet`?). Try: "),
        "{line}"
    );
    assert!(!stderr(&text).contains('\u{1b}'), "no terminal, no colours");

    let json = output(&["fleet", "--dir", dir, "--format", "json"]);
    assert_eq!((exit(&json), &envelope(&json)["error"]["code"]), (4, &json!("config_unknown_key")));
    let none = output(&["fleet", "--config", "/nowhere.toml", "--format", "json"]);
    assert_eq!(envelope(&none)["error"]["code"], codes::FILE_NOT_FOUND.name());
}

fn the_environment_overrides_the_file() {
    let dir = directory("fleet = \"demo\"\n");
    let mut command = command(&["fleet", "--dir", dir.path().to_str().unwrap()]);
    let output = command.env("SEALSUM_AGENT_FLEET", "other").output().unwrap();
    assert_eq!(stdout(&output), "other\n");
}

fn a_bug_is_5() {
    let text = output(&["panic"]);
    assert_eq!((exit(&text), stdout(&text).as_str()), (5, ""));
    assert_eq!(stderr(&text).matches('\n').count(), 2, "start and bug: {}", stderr(&text));
    assert!(stderr(&text).contains("two lines"), "{}", stderr(&text));
    let json = output(&["panic", "--format", "json"]);
    assert_eq!((exit(&json), &envelope(&json)["error"]["code"]), (5, &json!("bug")));
}

fn a_closed_pipe_is_no_error() {
    let mut child = command(&["--help"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A running program, killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(dir: &Path, more: &[&str]) -> Running {
        let ready_file = dir.join("ready.json");
        std::fs::write(&ready_file, "of an earlier run").unwrap();
        let mut arguments = vec!["run", "--dir", dir.to_str().unwrap()];
        arguments.extend(["--ready-file", ready_file.to_str().unwrap()]);
        arguments.extend(more);
        let child = command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let running = Running(child);
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(&ready_file).unwrap_or_default();
            if let Ok(json) = serde_json::from_str::<Value>(&text) {
                assert_eq!(json["pid"], running.0.id());
                return running;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "ready: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGTERM; the exit code, and how long it took.
    fn terminate(mut self) -> (Option<i32>, Duration) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(15) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return (status.code(), begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not end");
    }
}

fn the_second_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Running::start(dir.path(), &[]);
    let second = output(&["run", "--dir", dir.path().to_str().unwrap(), "--format", "json"]);
    let error = envelope(&second)["error"].clone();
    assert_eq!((exit(&second), &error["code"]), (4, &json!("already_running")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&format!("process {}", first.0.id())), "{message}");
}

fn a_signal_ends_it_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(dir.path(), &[]);
    let mut log = running.0.stderr.take().unwrap();
    let (code, took) = running.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert!(text.contains("stopping") && text.contains("SIGTERM"), "{text}");
}

fn a_hanging_thread_does_not_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let (code, took) = Running::start(dir.path(), &["--hang"]).terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

fn systemd_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = command(&["run", "--dir", dir.path().to_str().unwrap()]);
    let child = command.env("NOTIFY_SOCKET", &path).stderr(Stdio::null()).spawn().unwrap();
    let running = Running(child);
    let mut buffer = [0; 256];
    let read = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..read], b"READY=1\n");
    assert_eq!(running.terminate().0, Some(0));
    let read = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..read], b"STOPPING=1\n");
}
