//! One running software TPM.

use crate::manufacturer::copy_state;
use crate::process::Process;
use crate::wire;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What to do when a program of swtpm is missing.
pub(crate) const INSTALL: &str = "apt-get install --no-install-recommends swtpm swtpm-tools";

/// How long a start may take on a busy machine; measured: 25 ms.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Pairs of ports tried before giving up.
const PORT_ATTEMPTS: u32 = 50;

/// A software TPM of its own process and state. Dropping it kills the process and deletes the
/// state, unless the state was given with [`SoftwareTpm::run_in`].
#[derive(Debug)]
pub struct SoftwareTpm {
    // Before the directory: the process must be gone before its files are.
    process: Option<Process>,
    port: u16,
    state: PathBuf,
    owned: Option<TempDir>,
}

impl SoftwareTpm {
    /// Starts a TPM on a copy of the state `template`. Two copies of one template are clones:
    /// the same chip twice, with the same EK.
    pub fn from_template(template: &Path) -> Self {
        let owned = tempfile::Builder::new()
            .prefix("swtpm-")
            .tempdir()
            .expect("a temporary directory can be made");
        copy_state(template, owned.path());
        let mut tpm = Self::run_in(owned.path());
        tpm.owned = Some(owned);
        tpm
    }

    /// Starts a TPM on the state directory `state`, which stays when the guard is dropped.
    pub fn run_in(state: &Path) -> Self {
        for _ in 0..PORT_ATTEMPTS {
            let Some(port) = free_pair() else { continue };
            if let Some(process) = start(state, port) {
                measure_boot(port);
                return Self { process: Some(process), port, state: state.into(), owned: None };
            }
        }
        panic!("no two free neighbouring ports found for a software TPM");
    }

    /// The connection string, as in `tpm = "…"` of the agent's configuration.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The port for TPM commands; the control channel is one above.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its non-volatile memory is.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// A second TPM with a copy of this one's memory: what an attacker who copied a virtual TPM
    /// has.
    pub fn clone_state(&self) -> Self {
        Self::from_template(&self.state)
    }

    /// Orderly power-off: TPM2_Shutdown, then the end of the process.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            wire::shutdown(self.port);
            process.terminate(Duration::from_secs(5));
        }
    }

    /// Power cut.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Power on, on the same ports, with the same boot measured. After [`Self::stop`] or
    /// [`Self::kill`], or as a reboot of a running TPM.
    pub fn restart(&mut self) {
        self.stop();
        let started = Instant::now();
        loop {
            if let Some(process) = start(&self.state, self.port) {
                self.process = Some(process);
                return measure_boot(self.port);
            }
            assert!(started.elapsed() < START_LIMIT, "port {} was taken meanwhile", self.port);
            sleep(Duration::from_millis(50));
        }
    }

    /// Puts the chip of `other` in this one's place, on the same ports, as an exchanged board.
    pub fn exchange(&mut self, other: &Self) {
        self.stop();
        copy_state(&other.state, &self.state);
        self.restart();
    }

    /// Makes the TPM hang: it accepts connections and never answers.
    pub fn pause(&mut self) {
        self.running().pause();
    }

    /// Ends [`Self::pause`].
    pub fn resume(&mut self) {
        self.running().resume();
    }

    /// Measures something more into `pcr`, as a changed boot would.
    pub fn extend_pcr(&self, pcr: u8, what: &[u8]) {
        wire::extend_pcr(self.port, pcr, Sha256::digest(what).into());
    }

    fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the software TPM runs")
    }
}

/// Starts swtpm and waits until this very process listens on both ports; `None` when it could
/// not have them.
fn start(state: &Path, port: u16) -> Option<Process> {
    let control = port + 1;
    let mut command = Command::new("swtpm");
    // A relative directory: swtpm splits its options at commas, and paths may hold any.
    command.current_dir(state).args(["socket", "--tpm2", "--tpmstate", "dir=."]);
    command.args(["--server", &format!("type=tcp,port={port},bindaddr=127.0.0.1")]);
    command.args(["--ctrl", &format!("type=tcp,port={control},bindaddr=127.0.0.1")]);
    command.args(["--flags", "not-need-init,startup-clear"]);
    let mut process = Process::start(command, state.join("swtpm.log"));
    let started = Instant::now();
    while !listens(process.id(), &[port, control]) {
        if let Some(status) = process.ended() {
            let log = process.log_text();
            // The shell says 127 when there is no such program.
            assert!(status.code() != Some(127), "swtpm is missing. Try: {INSTALL}");
            assert!(log.contains("bind") || log.contains("Could not open"), "swtpm: {log}");
            return None;
        }
        assert!(started.elapsed() < START_LIMIT, "swtpm does not start: {}", process.log_text());
        sleep(Duration::from_millis(5));
    }
    Some(process)
}

/// A firmware measurement, so that PCR 7 is not zero.
fn measure_boot(port: u16) {
    wire::extend_pcr(port, 7, Sha256::digest(b"sealsum test: secure boot policy").into());
}

/// Two neighbouring ports that nobody listens on just now, below the range that the kernel hands
/// to others. Whoever loses a race for them notices at start and tries again.
pub(crate) fn free_pair() -> Option<u16> {
    let random = RandomState::new().hash_one(std::process::id());
    let port = 20_000 + u16::try_from(random % 5_000).expect("below 5000") * 2;
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (free(port) && free(port + 1)).then_some(port)
}

/// Whether process `id` itself has listening sockets on all `ports` of IPv4.
fn listens(id: u32, ports: &[u16]) -> bool {
    const LISTEN: &str = "0A";
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux lists its TCP sockets");
    let held: HashSet<PathBuf> = fs::read_dir(format!("/proc/{id}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect();
    ports.iter().all(|port| {
        let suffix = format!(":{port:04X}");
        table.lines().any(|line| {
            let field: Vec<&str> = line.split_whitespace().collect();
            matches!(field[..], [_, local, _, LISTEN, _, _, _, _, _, inode, ..]
                if local.ends_with(&suffix)
                    && held.contains(Path::new(&format!("socket:[{inode}]"))))
        })
    })
}
