//! Peers that are programs, and ours as one: run, timed as a whole, and their line of JSON read.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealsum_protocol::mask::Suite;

use crate::clock::children_cpu_s;
use crate::outcome::Outcome;
use crate::summary::target;

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
const REQUIREMENTS: &str = include_str!("../requirements.txt");
const PRIO: &str = include_str!("../peers/prio/Cargo.toml");

/// A finished process.
pub(crate) struct Ran {
    /// CPU seconds, from its start to its end.
    pub(crate) process_s: f64,
    pub(crate) outcome: Outcome,
}

/// A Python peer of `peers/NAME.py`, by the packages that `packaging/deps.sh bench` installed.
pub(crate) fn python(name: &str, arguments: &[usize]) -> Ran {
    let script = Path::new(PEERS).join(name).with_extension("py");
    run(Command::new(target().join("bench/venv/bin/python3")).arg("-B").arg(script), arguments)
}

/// Prio3 SumVec, which `make bench` builds.
pub(crate) fn prio(arguments: &[usize]) -> Ran {
    run(&mut Command::new(target().join("bench/prio/release/sealsum-bench-prio")), arguments)
}

/// This program as `sealsum-bench round`.
pub(crate) fn ours(arguments: &[usize], suite: Suite) -> Ran {
    let own: PathBuf = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(own);
    command.arg("round").args(arguments.iter().map(usize::to_string)).arg(suite.name());
    run(&mut command, &[])
}

fn run(command: &mut Command, arguments: &[usize]) -> Ran {
    let before = children_cpu_s();
    let output = command
        .args(arguments.iter().map(usize::to_string))
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| {
            panic!("the peer {command:?} is missing: {error}; make bench builds it")
        });
    assert!(output.status.success(), "{command:?}: {}", output.status);
    let outcome = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{command:?} did not print a line of JSON: {error}"));
    Ran { process_s: children_cpu_s() - before, outcome }
}

/// `NAME VERSION` of a Python package that is pinned.
pub(crate) fn version(package: &str) -> String {
    let pinned =
        REQUIREMENTS.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
    let version = pinned.and_then(|rest| rest.split_whitespace().next()).expect("a pinned package");
    format!("{package} {version}")
}

/// `prio VERSION`.
pub(crate) fn prio_version() -> String {
    let version = PRIO.lines().find_map(|line| line.strip_prefix("prio = \"="));
    format!("prio {}", version.expect("a pinned crate").trim_end_matches('"'))
}
