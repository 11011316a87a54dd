//! That every member of a round is in the authority's log: shown to devices, demanded before, and
//! the end of a round that cannot show it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealsum_attest::inclusion::Consistency;
use sealsum_attest::roster_proof::RosterProof;
use sealsum_attest::tlog::TreeHead;
use sealsum_attest::tlog::memory::{Evidence, Verdict};
use sealsum_attest::tlog::merkle::{root, verify_consistency};
use sealsum_protocol::messages::Roster;

use crate::program::{Aggregator, TOKEN, exact_task, run};
use sealsum_loadgen::authority::{Authority, Door};
use sealsum_loadgen::fleet::FleetKeys;
use sealsum_loadgen::wire::Answer;

/// An aggregator with an open round, and the devices that entered it.
fn entered(task: &str) -> (Aggregator, String, Vec<sealsum_loadgen::device::Device>) {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(task).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(6);
    devices.iter_mut().for_each(|device| drop(device.enter().unwrap()));
    (aggregator, round, devices)
}

fn json<T: serde::de::DeserializeOwned>(answer: &Answer) -> T {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_certificate_that_the_log_does_not_show_is_not_taken() {
    let fleet = Arc::new(FleetKeys::new("test").unwrap());
    let authority = Authority::start(Arc::clone(&fleet), Door::on_loopback(TOKEN)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(text("ca"), &fleet.ca_pem).unwrap();
    std::fs::write(text("token"), TOKEN).unwrap();
    let init = || {
        let (ca, token) = (text("ca"), text("token"));
        let from = ["--authority", &authority.url, "--authority-ca", &ca, "--token-file", &token];
        run(&[&["init", "--dir", &text("agg")], &from[..]].concat())
    };
    authority.misplace();
    let refused = init();
    assert_eq!((refused.exit, refused.code().as_str()), (7, "log_invalid"), "{refused:?}");
    for name in ["authority-log.json", "tls.pem"] {
        assert!(!dir.path().join("agg").join(name).exists(), "{name}");
    }
}

#[test]
fn members_get_the_proof_for_their_roster_and_strangers_do_not() {
    let (aggregator, round, mut devices) = entered(&exact_task(""));
    let proof = devices[0].poll(&format!("/v1/rounds/{round}/log?wait=20")).unwrap();
    let proof: RosterProof = json(&proof);
    let roster: Roster = devices[0].fetch(round.parse().unwrap(), "roster").unwrap();
    let certificates: Vec<&[u8]> =
        roster.entries.iter().map(|signed| signed.certificate.as_slice()).collect();
    let log = &aggregator.fleet.log;
    let (checkpoint, proven) = proof.verify(&certificates, &log.key).unwrap();
    assert_eq!((checkpoint.head(), proven.len()), (&log.tree().head(), 6));

    let mut stranger = aggregator.device(9);
    let refused = stranger.get(&format!("/v1/rounds/{round}/log")).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (403, "not_in_roster"));
    // The stranger's certificate made the log grow; from any size to the one that was proven.
    let head = |size| TreeHead { size, root: root(&log.tree(), size).unwrap() };
    for from in [0, 1, 2, 5, checkpoint.head().size] {
        let to = checkpoint.head().size;
        let answer = stranger.get(&format!("/v1/log/consistency?from={from}&to={to}")).unwrap();
        let shown: Consistency = json(&answer);
        verify_consistency(&head(from), &head(to), &shown.proof).unwrap();
    }
    let unseen = stranger.get("/v1/log/consistency?from=1&to=1000").unwrap();
    assert_eq!((unseen.status, unseen.code().as_str()), (404, "not_found"));
}

#[test]
fn a_round_with_a_member_that_is_not_in_the_log_ends_and_names_its_certificate() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let round = aggregator.open_round("exact");
    let mut devices = aggregator.devices(5);
    devices.push(aggregator.device_not_logged(6));
    devices.iter_mut().for_each(|device| drop(device.enter().unwrap()));
    let waited = aggregator.wait(&round);
    assert_eq!((waited.exit, waited.code().as_str()), (1, "log_unproven"), "{waited:?}");
    let certificate =
        sealsum_attest::hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(&devices[5].leaf.der));
    let message = aggregator.show(&round)["abort"]["message"].to_string();
    assert!(message.contains(&certificate), "{message}");
    let gone = devices[0].get(&format!("/v1/rounds/{round}/log")).unwrap();
    assert_eq!((gone.status, gone.code().as_str()), (410, "log_unproven"));
}

#[test]
fn an_authority_that_cannot_be_reached_ends_the_round_before_devices_are_late() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("").replace("share = 8", "share = 4")).exit, 0);
    let round = aggregator.open_round("exact");
    aggregator.authority.silence();
    let mut devices = aggregator.devices(6);
    devices.iter_mut().for_each(|device| drop(device.enter().unwrap()));
    let waited = aggregator.wait(&round);
    assert_eq!((waited.exit, waited.code().as_str()), (2, "unreachable"), "{waited:?}");
    let message = aggregator.show(&round)["abort"]["message"].to_string();
    assert!(message.contains("log"), "{message}");
}

#[test]
fn a_log_that_was_rewritten_is_refused_with_evidence_until_the_operator_acts() {
    let aggregator = Aggregator::start();
    assert_eq!(aggregator.register(&exact_task("")).exit, 0);
    let round = aggregator.open_round("exact");
    aggregator.fleet.log.rewrite();
    let mut devices = aggregator.devices(6);
    devices.iter_mut().for_each(|device| drop(device.enter().unwrap()));
    let waited = aggregator.wait(&round);
    assert_eq!((waited.exit, waited.code().as_str()), (7, "log_fork"), "{waited:?}");
    let path = aggregator.dir.path().join("agg/log-fork.json");
    let evidence: Evidence = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let Verdict::Owed { old, new } = evidence.judge(&aggregator.fleet.log.key).unwrap() else {
        panic!("{evidence:?}")
    };
    assert!(old < new);
    let refused = aggregator.cli(&["round", "start", "--task", "exact"]);
    assert_eq!((refused.exit, refused.code().as_str()), (7, "log_fork"));
    assert_eq!(aggregator.cli(&["status"]).data()["ready"], false);
    std::fs::remove_file(path).unwrap();
    aggregator.open_round("exact");
    let started = Instant::now();
    while aggregator.cli(&["status"]).data()["ready"] != true {
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
