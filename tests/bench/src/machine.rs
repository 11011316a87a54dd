//! What it was measured on, and with.

use std::process::Command;

use crate::peers::{prio_version, version};
use crate::summary::cpu_flags;

/// Name and value, for a table.
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    vec![
        ("day", output("date", "+%F")),
        ("CPU", cpu()),
        ("flags", cpu_flags().join(" ")),
        ("kernel", kernel()),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("rustc", output("rustc", "--version")),
        ("OpenSSL", openssl::version::version().to_owned()),
        ("Python", output("python3", "--version")),
        ("peers", peers()),
    ]
}

/// The load of the last minutes, if others than one measurement computed.
pub(crate) fn shared() -> Option<f64> {
    let loads = first_line("/proc/loadavg");
    let load: f64 = loads.split_whitespace().nth(1)?.parse().ok()?;
    (load > 1.5).then_some(load)
}

fn peers() -> String {
    let python = ["flwr", "numpy", "tenseal", "fedml"].map(version);
    let mut all = python.to_vec();
    all.push(prio_version());
    all.join(", ")
}

fn cpu() -> String {
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    format!("{}, {cores} cores", field("/proc/cpuinfo", "model name"))
}

/// The version, without what a distribution or a host adds to it.
fn kernel() -> String {
    let release = first_line("/proc/sys/kernel/osrelease");
    release.split('-').next().unwrap_or_default().to_owned()
}

fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn field(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
    line.unwrap_or("unknown").trim().to_owned()
}

fn output(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    output
        .map_or("unknown".to_owned(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
