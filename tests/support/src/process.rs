//! A child process that ends with its guard.

use crate::child;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The environment that a systemd unit gives its program: each `Environment=NAME=VALUE` of its text.
pub fn unit_environment(unit: &str) -> impl Iterator<Item = (&str, &str)> {
    unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
}

/// A running program; dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with no input and both output streams appended to the file `log`.
    /// Standard streams set on `command` itself are ignored.
    ///
    /// # Panics
    /// When the log cannot be opened or `setpriv` (package util-linux) cannot be run.
    pub fn start(command: Command, log: impl Into<PathBuf>) -> Self {
        let log = log.into();
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap_or_else(|error| panic!("cannot write the log {}: {error}", log.display()));
        let errors = output.try_clone().expect("a file handle can be duplicated");
        let mut bound = child::bound_to_parent(&command);
        bound.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = child::spawn(bound).unwrap_or_else(|error| {
            panic!("cannot start {name} through setpriv (package util-linux): {error}")
        });
        Self { child, name, log }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready_file` appears and returns the JSON in it.
    ///
    /// # Panics
    /// With the program's log, when it ends first or takes longer than `limit`.
    pub fn wait_ready(&mut self, ready_file: &Path, limit: Duration) -> serde_json::Value {
        let started = Instant::now();
        loop {
            if let Ok(text) = fs::read_to_string(ready_file) {
                return serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("{}: {error}", ready_file.display()));
            }
            if let Some(status) = self.ended() {
                panic!("{} ended before it was ready ({status}):\n{}", self.name, self.log_text());
            }
            if started.elapsed() > limit {
                panic!("{} is not ready after {limit:?}:\n{}", self.name, self.log_text());
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked whether it ended")
    }

    /// Waits for the end; `None` when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if started.elapsed() > limit {
                return None;
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGTERM and waits for the end; `None` when it still runs after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// SIGKILL, then waits until it is gone.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it where it stands (SIGSTOP), as a machine that hangs, and returns once it stands.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        while self.ended().is_none() && !self.is_stopped() {
            sleep(Duration::from_millis(1));
        }
    }

    /// Lets a paused process go on (SIGCONT).
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Sends `signal`, unless the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let id = Pid::from_child(&self.child);
            kill_process(id, signal).expect("a child that was not waited for can be signalled");
        }
    }

    /// Whether the kernel lists it in state T (proc_pid_stat(5)).
    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The state follows the program's name, which stands in parentheses.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it has written so far.
    pub fn log_text(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
