//! Start, stop, restart, renewal and health.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::program::{Aggregator, exact_task, run};
use sealsum_loadgen::fleet::{DAY, Validity};

pub(crate) fn health(aggregator: &Aggregator, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(&aggregator.health).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[test]
fn it_is_ready_healthy_and_stops_in_time_even_within_a_round() {
    let mut aggregator = Aggregator::start();
    assert_eq!(health(&aggregator, "/livez").0, 200);
    assert_eq!(health(&aggregator, "/readyz").0, 200);
    let metrics = health(&aggregator, "/metrics").1;
    for name in [
        "sealsum_build_info",
        "sealsum_devices",
        "sealsum_certificate_expiry_seconds",
        "sealsum_rounds",
        "sealsum_round_devices",
        "sealsum_attestation_verdicts",
    ] {
        assert!(metrics.contains(name), "{name} is missing: {metrics}");
    }
    let status = aggregator.cli(&["status"]);
    assert_eq!(status.exit, 0);
    let status = status.data();
    assert_eq!(status["ready"], true);
    assert_eq!(status["fleet"], "test");
    assert_eq!(status["rounds"], serde_json::json!({"running": 0, "finished": 0, "aborted": 0}));

    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    aggregator.open_round("exact");
    let mut device = aggregator.device(1);
    let (round, _) = device.enter().unwrap();
    let waiting = std::thread::spawn(move || {
        device.connection.request("GET", &format!("/v1/rounds/{round}/roster?wait=30"), &[])
    });
    std::thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    let end = aggregator.process().terminate(Duration::from_secs(10));
    assert_eq!(end.expect("it ends within 10 s").code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "a waiting device holds up the end");
    if let Ok(answer) = waiting.join().unwrap() {
        assert_eq!((answer.status, answer.code().as_str()), (410, "aggregator_restarted"));
    }
}

#[test]
fn a_round_within_which_it_was_killed_is_aborted_at_the_next_start() {
    let mut aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let round = aggregator.open_round("exact");
    let mut device = aggregator.device(1);
    device.enter().unwrap();
    aggregator.process().kill();
    let unreachable = aggregator.cli(&["status"]);
    assert_eq!((unreachable.exit, unreachable.code().as_str()), (2, "unreachable"));

    aggregator.launch(&[]);
    let record = aggregator.show(&round);
    assert_eq!(record["state"], "aborted");
    assert_eq!(record["abort"]["code"], "aggregator_restarted");
    assert!(aggregator.process().log_text().contains("restarted within it"));
    let waited = aggregator.wait(&round);
    assert_eq!((waited.exit, waited.code().as_str()), (1, "aggregator_restarted"));
    let mut device = aggregator.device(2);
    let answer = device.get(&format!("/v1/rounds/{round}/roster")).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (410, "aggregator_restarted"));
    let next = aggregator.open_round("exact");
    assert_eq!(aggregator.show(&next)["number"], 2, "the number stays used up");
}

#[test]
fn a_second_run_on_one_directory_is_refused() {
    let aggregator = Aggregator::start();
    let second = aggregator.cli(&["run"]);
    assert_eq!((second.exit, second.code().as_str()), (4, "already_running"));
    assert_eq!(aggregator.cli(&["status"]).exit, 0, "the first is not disturbed");
}

#[test]
fn its_certificate_is_renewed_before_it_ends_and_swapped_while_it_runs() {
    let mut aggregator = Aggregator::new();
    // Past two thirds of its life when the program starts.
    aggregator.authority.issue_for(Validity { from_s: -600, to_s: 120 });
    let dir = aggregator.text_path("second");
    let init = run(&[
        "init",
        "--dir",
        &dir,
        "--authority",
        &aggregator.authority.url.clone(),
        "--authority-ca",
        &aggregator.text_path("pinned.pem"),
        "--token-file",
        &aggregator.text_path("token"),
        "--listen",
        "127.0.0.1:0",
        "--health",
        "127.0.0.1:0",
    ]);
    assert_eq!(init.exit, 0, "{init:?}");
    std::fs::remove_dir_all(aggregator.path("agg")).unwrap();
    std::fs::rename(aggregator.path("second"), aggregator.path("agg")).unwrap();
    aggregator.authority.issue_for(DAY);
    aggregator.launch(&[]);
    let started = Instant::now();
    while aggregator.authority.renewals() == 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "it was not renewed");
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut served = false;
    while !served && started.elapsed() < Duration::from_secs(20) {
        let device = aggregator.device(1);
        let shown = &device.connection.server_certificate().unwrap();
        let identity = sealsum_attest::certificate::Identity::parse(shown).unwrap();
        let left = identity.not_after.duration_since(jiff::Timestamp::now());
        served = left.as_secs() > 3600;
    }
    assert!(served, "the renewed certificate is not shown");
}
