//! A TPM that hangs, dies, comes back, or is another one.

use std::time::{Duration, Instant};

use sealsum_test_support::wire;

use crate::world::{STOP_LIMIT, World};

#[test]
fn a_hung_tpm_is_an_error_within_ten_seconds_and_sigterm_still_works() {
    let world = World::new();
    let mut device = world.enrolled("device");
    let mut agent = device.start();
    device.tpm.pause();

    let started = Instant::now();
    let renewal = device.run(&["renew"]);
    assert_eq!(renewal.exit, 2, "{renewal:?}");
    assert!(started.elapsed() < Duration::from_secs(12), "took {:?}", started.elapsed());

    let status = device.await_status(Duration::from_secs(10), |answer| {
        answer.json["data"]["tpm"]["reachable"] == false
    });
    status.refused("tpm_unreachable", 2);
    let asked = Instant::now();
    device.run(&["status"]);
    assert!(asked.elapsed() < Duration::from_secs(2), "a status waits for nobody");

    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn an_agent_that_hangs_in_its_start_ends_at_sigterm() {
    let world = World::new();
    let mut device = world.enrolled("device");
    device.tpm.pause();
    let mut agent = device.spawn(&device.dir.join("ready"));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(agent.ended(), None, "it waits for the TPM");
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_tpm_that_comes_back_is_used_again() {
    let world = World::new();
    let mut device = world.enrolled("device");
    let _agent = device.start();
    device.tpm.kill();
    device.await_status(Duration::from_secs(20), |answer| answer.code() == "tpm_unreachable");
    device.tpm.restart();
    device.await_status(Duration::from_secs(30), |answer| {
        answer.json["data"]["tpm"]["reachable"] == true
    });
    device.run(&["renew"]).data();
    assert_eq!(wire::lockout_counter(device.tpm.port()), 0, "a power cut counts as no attack");
}

#[test]
fn a_cleared_tpm_means_new_keys_for_the_same_device() {
    let world = World::new();
    let device = world.enrolled("device");
    let before = device.run(&["identity"]);
    wire::clear(device.tpm.port());
    device.run(&["run"]).refused("not_enrolled", 6);
    let again = world.enrol(&device);
    assert_eq!(again.data()["device"], before.data()["device"]);
    let mut agent = device.start();
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn changed_boot_measurements_lose_the_sealed_key_and_say_so() {
    let world = World::new();
    let device = world.enrolled("device");
    device.tpm.extend_pcr(7, b"another boot");
    let answer = device.run(&["run"]);
    let error = answer.refused("not_enrolled", 6);
    assert!(error["message"].as_str().unwrap().contains("PCRs [7] changed"), "{error}");
    world.enrol(&device).data();
    let mut agent = device.start();
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}
