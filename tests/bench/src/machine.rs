//! What it was measured on, and with.

use std::process::Command;
use std::time::Instant;

use crate::clock::{children_cpu_s, process_cpu_s};
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

/// Who has used the CPUs up to a moment.
pub(crate) struct Used {
    at: Instant,
    /// CPU seconds of everybody since the machine started.
    everybody_s: f64,
    /// Those of this process and of all that it started and waited for.
    own_s: f64,
}

impl Used {
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), everybody_s: everybody_s(), own_s: own_s() }
    }

    /// Cores that others kept busy since then.
    pub(crate) fn by_others(&self) -> f64 {
        let everybody_s = everybody_s() - self.everybody_s;
        (everybody_s - (own_s() - self.own_s)).max(0.0) / self.at.elapsed().as_secs_f64()
    }
}

/// From proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal, in hundredths.
fn everybody_s() -> f64 {
    let cpu = first_line("/proc/stat");
    let hundredths = cpu.split_whitespace().filter_map(|number| number.parse::<f64>().ok());
    let busy = hundredths.take(8).enumerate().filter(|(place, _)| ![3, 4].contains(place));
    busy.map(|(_, hundredths)| hundredths / 100.0).sum()
}

fn own_s() -> f64 {
    process_cpu_s() + children_cpu_s()
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
