//! A TPM that hangs, dies, comes back, or is another one.

use std::fs;
use std::time::{Duration, Instant};

use sealsum_test_support::wire;
use serde_json::Value;

use crate::world::{Answer, Device, START_LIMIT, STOP_LIMIT, World};

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
fn twenty_power_cuts_under_a_running_agent_leave_no_trace() {
    let world = World::new();
    let mut device = world.enrolled("device");
    device.edit("check_s", "1");
    let before = device.run(&["identity"]);
    let mut agent = device.start();
    for _ in 0..20 {
        device.tpm.kill();
        device.tpm.restart();
        device.await_answer(&["renew"], Duration::from_secs(30), |answer| answer.exit == 0);
    }
    assert_eq!(wire::lockout_counter(device.tpm.port()), 0);
    let after = device.run(&["identity"]);
    assert_eq!(after.data()["epoch"], before.data()["epoch"], "nothing was lost");
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_cleared_tpm_means_new_keys_for_the_same_device() {
    let world = World::new();
    let device = world.enrolled("device");
    let before = device.run(&["identity"]);
    wire::clear(device.tpm.port());
    let mut agent = device.start();
    assert_enrolled_again(&device, &before);
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn changed_boot_measurements_lose_the_sealed_key_and_nothing_else() {
    let world = World::new();
    let device = world.enrolled("device");
    let before = device.run(&["identity"]);
    device.tpm.extend_pcr(7, b"another boot");
    let mut agent = device.start();
    assert!(agent.log_text().contains("PCRs [7] changed"), "{}", agent.log_text());
    assert_enrolled_again(&device, &before);
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
    // Sealed to the boot as it is now.
    let mut agent = device.start();
    assert_eq!(device.run(&["identity"]).data()["epoch"], 2);
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_damaged_key_file_is_made_good_without_an_agent_too() {
    let world = World::new();
    let device = world.enrolled("device");
    let before = device.run(&["identity"]);
    let path = device.dir.join("state/identity.json");
    let mut stored: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    stored["keys"]["sealed_private"] = "AAAA".into();
    fs::write(&path, stored.to_string()).unwrap();
    device.run(&["renew"]).data();
    assert_enrolled_again(&device, &before);
}

#[test]
fn a_running_agent_enrols_again_after_a_clear() {
    let world = World::new();
    let device = world.enrolled("device");
    device.edit("check_s", "1");
    let before = device.run(&["identity"]);
    let mut agent = device.start();
    wire::clear(device.tpm.port());
    let enrolled = |answer: &Answer| answer.json["data"]["epoch"] == 2;
    device.await_answer(&["identity"], START_LIMIT, enrolled);
    assert_enrolled_again(&device, &before);
    // The new certificate works, and the agent knows that all is well but the aggregator.
    device.run(&["renew"]).data();
    device.await_status(START_LIMIT, |answer| answer.code() == "unreachable");
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_running_agent_seals_anew_when_the_boot_measurements_change() {
    let world = World::new();
    let device = world.enrolled("device");
    device.edit("check_s", "1");
    let before = device.run(&["identity"]);
    let mut agent = device.start();
    device.tpm.extend_pcr(7, b"a driver loaded later");
    device.await_answer(&["identity"], START_LIMIT, |answer| answer.json["data"]["epoch"] == 2);
    assert_enrolled_again(&device, &before);
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn keys_that_are_old_enough_are_replaced_by_the_running_agent() {
    let world = World::new();
    let device = world.enrolled("device");
    let before = device.run(&["identity"]);
    device.edit("rotate_s", "1");
    let mut agent = device.start();
    device.await_answer(&["identity"], START_LIMIT, |answer| answer.json["data"]["epoch"] == 2);
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
    let after = device.run(&["identity"]);
    for key in ["device_key_name", "x25519"] {
        assert_ne!(before.data()[key], after.data()[key], "{key}");
    }
    for key in ["device", "ak_name", "enrolled_at"] {
        assert_eq!(before.data()[key], after.data()[key], "{key}");
    }
    // The replaced keys are gone, the new ones work.
    device.edit("rotate_s", "2592000");
    device.run(&["renew"]).data();
    assert_eq!(device.run(&["identity"]).data()["epoch"], 2);
}

#[test]
fn an_exchanged_tpm_is_the_operators_to_decide() {
    let world = World::new();
    let mut device = world.enrolled("device");
    device.edit("check_s", "1");
    let before = device.run(&["identity"]);
    let mut agent = device.start();
    let other = world.factory.tpm();
    device.tpm.exchange(&other);
    let status = device.await_status(START_LIMIT, |answer| answer.exit == 6);
    status.refused("identity_lost", 6);
    assert_eq!(status.json["data"]["state"], "identity_lost");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(world.devices().len(), 1, "the other TPM did not enrol");
    assert_eq!(device.run(&["identity"]).data()["epoch"], before.data()["epoch"]);
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
    assert_eq!(device.run(&["run"]).refused("evidence_refused", 7)["check"], "44");
}

#[test]
fn a_revoked_device_does_not_come_back_by_itself() {
    let world = World::new();
    let device = world.enrolled("device");
    let id = device.run(&["identity"]).data()["device"].as_str().unwrap().to_owned();
    world.revoke(&id);
    wire::clear(device.tpm.port());
    let mut agent = device.spawn(&device.dir.join("ready"));
    let status =
        device.await_status(START_LIMIT, |answer| answer.json["data"]["state"] == "revoked");
    status.refused("revoked", 6);
    assert_eq!(status.json["data"]["problems"][1]["code"], "keys_lost");
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_device_and_its_copy_are_both_cut_off() {
    let world = World::new();
    let device = world.enrolled("device");
    let copy = Device { tpm: device.tpm.clone_state(), dir: world.dir.path().join("copy") };
    crate::enrolment::copy(&device.dir, &copy.dir);
    copy.edit("tpm", &format!("{:?}", copy.tpm.tcti()));
    let (_first, _second) = (device.start(), copy.start());
    // The copy was started once more than the original: its counters are ahead.
    copy.run(&["renew"]).data();
    assert_eq!(device.run(&["renew"]).exit, 7);
    for holder in [&device, &copy] {
        let status = holder.await_status(Duration::from_secs(60), |answer| answer.exit == 6);
        status.refused("revoked", 6);
    }
    let shown = world.devices();
    assert_eq!(shown[0]["state"], "revoked");
}

/// The same device under other keys, its older certificate replaced.
#[track_caller]
fn assert_enrolled_again(device: &Device, before: &Answer) {
    let after = device.run(&["identity"]);
    assert_eq!(after.data()["device"], before.data()["device"]);
    assert_eq!(after.data()["epoch"], 2);
    for key in ["ak_name", "device_key_name", "x25519"] {
        assert_ne!(before.data()[key], after.data()[key], "{key}");
    }
}
