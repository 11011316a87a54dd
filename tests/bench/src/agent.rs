//! What a device pays for taking part: how long its enrolment takes, and its agent's memory.

use std::time::Duration;

use crate::alternate::median;
use crate::clock::wall;
use crate::memory;
use crate::programs::{Device, Servers};
use crate::summary::Row;

/// Chips that enrol: how long a TPM looks for primes is luck.
const CHIPS: usize = 5;
/// How long the agent is left alone.
const IDLE: Duration = Duration::from_secs(20);

/// Both rows, with real servers and a software TPM.
pub(crate) fn rows() -> Vec<Row> {
    let servers = Servers::start();
    let devices: Vec<Device> =
        (0..CHIPS).map(|number| servers.device(&format!("device-{number}"))).collect();
    let seconds = devices.iter().map(|device| wall(|| servers.enrol(device)).0).collect();
    let agent = devices[0].run();
    std::thread::sleep(IDLE);
    let [resident, own] = ["VmRSS", "RssAnon"]
        .map(|field| memory::of(agent.id(), field).expect("an agent that still runs"));
    let enrolment = format!("wall time of sealsum-agent enroll, the middle of {CHIPS} swtpm chips");
    let idle = format!(
        "VmRSS of sealsum-agent run, enrolled, {} s without work; {own:.1} MB of it not of files",
        IDLE.as_secs()
    );
    vec![
        row("enrol_seconds_swtpm", median(seconds), "s", enrolment, 3.0),
        row("agent_rss_idle_mb", resident, "MB", idle, 16.0),
    ]
}

/// The figure itself has the target.
fn row(name: &str, value: f64, unit: &str, peer: String, target: f64) -> Row {
    Row {
        name: name.to_owned(),
        value,
        unit: unit.to_owned(),
        peer,
        ratio: value,
        higher_is_better: false,
        target: Some(target),
        backend: String::new(),
    }
}
