//! From a token to a certificate, and what is refused on the way.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::world::{Device, NOBODY, STOP_LIMIT, World, enrol};

#[test]
fn a_device_enrols_runs_renews_and_leaves() {
    let world = World::new();
    let device = world.device("device");
    fs::create_dir(&device.dir).unwrap();
    let status = device.run(&["status"]);
    status.refused("not_enrolled", 6);
    assert_eq!(status.json["data"]["state"], "not_enrolled");

    let enrolled = world.enrol(&device);
    let id = enrolled.data()["device"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 64);
    assert_eq!(enrolled.data()["epoch"], 1);

    let mut agent = device.start();
    // No aggregator listens here, and the status says so; everything else is well.
    let status = device.await_status(Duration::from_secs(20), |answer| {
        answer.json["data"]["authority"]["reachable"] == true
            && answer.json["data"]["aggregator"]["reachable"] == false
    });
    status.refused("unreachable", 2);
    let data = &status.json["data"];
    assert_eq!(data["device"], id);
    assert_eq!((&data["fleet"], &data["state"]), (&"test".into(), &"degraded".into()));
    assert_eq!(data["tpm"]["reachable"], true);
    assert_eq!(data["tpm"]["lockout"], false);
    assert_eq!((&data["round"], &data["last_round"]), (&Value::Null, &Value::Null));
    assert_eq!(data["pending"].as_array().unwrap().len(), 0);
    assert_eq!(data["privacy"].as_array().unwrap().len(), 0);

    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "no core dump: {core}");

    device.run(&["run"]).refused("already_running", 4);
    world.enrol(&device).refused("already_running", 4);

    let before = device.run(&["identity"]);
    device.run(&["renew"]).data();
    let after = device.run(&["identity"]);
    let serial = |answer: &crate::world::Answer| answer.data()["certificate"]["serial"].clone();
    assert_ne!(serial(&before), serial(&after), "a renewal gives a new certificate");
    assert_eq!(before.data()["x25519"], after.data()["x25519"], "a renewal keeps the keys");

    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
    assert!(!device.dir.join("api.sock").exists(), "the socket is gone");
    device.run(&["status"]).refused("agent_not_running", 2);

    // Without an agent, a renewal is made by the command itself.
    device.run(&["renew"]).data();
    device.run(&["leave"]).data();
    device.run(&["status"]).refused("not_enrolled", 6);
    device.run(&["identity"]).refused("not_enrolled", 6);
}

#[test]
fn a_server_of_another_role_is_no_aggregator() {
    let world = World::new();
    let device = world.enrolled("device");
    let path = device.dir.join("agent.toml");
    let config = fs::read_to_string(&path).unwrap();
    assert!(config.contains(NOBODY));
    // The authority has a good certificate of the same fleet, for another role.
    fs::write(&path, config.replace(NOBODY, &world.url)).unwrap();
    let _agent = device.start();
    let status = device.await_status(Duration::from_secs(20), |answer| answer.exit != 0);
    let error = status.refused("tls", 2);
    assert!(error["message"].as_str().unwrap().contains("it is authority"), "{error}");
}

#[test]
fn health_is_served_where_the_configuration_says() {
    let world = World::new();
    let device = world.enrolled("device");
    let path = device.dir.join("agent.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config + "\n[health]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let _agent = device.start();
    let ready: Value =
        serde_json::from_slice(&fs::read(device.dir.join("ready")).unwrap()).unwrap();
    assert_eq!(ready["listen"], Value::Null, "an agent serves no network");
    let address = ready["health"].as_str().unwrap();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/livez").starts_with("HTTP/1.1 200"));
    let metrics = get("/metrics");
    for name in ["sealsum_build_info", "sealsum_certificate_expiry_seconds"] {
        assert!(metrics.contains(name), "{metrics}");
    }
    let id = device.run(&["identity"]).data()["device"].as_str().unwrap().to_owned();
    assert!(!metrics.contains(&id), "no label names a device");
    device.await_status(Duration::from_secs(20), |answer| answer.code() == "unreachable");
    let readiness = get("/readyz");
    assert!(readiness.starts_with("HTTP/1.1 503"), "{readiness}");
    assert!(readiness.contains("aggregator"), "{readiness}");
}

#[test]
fn enrolling_again_keeps_the_policy_and_makes_new_keys() {
    let world = World::new();
    let device = world.enrolled("device");
    device.edit("min_contributors", "9");
    device.edit("allow_without_noise", "[\"histogram\"]");
    let before = device.run(&["identity"]);
    let again = world.enrol(&device);
    assert_eq!(again.data()["epoch"], 2);
    assert_eq!(again.data()["device"], before.data()["device"], "the same TPM, the same device");
    let after = device.run(&["identity"]);
    for key in ["ak_name", "device_key_name", "x25519"] {
        assert_ne!(before.data()[key], after.data()[key], "{key}");
    }
    let config = fs::read_to_string(device.dir.join("agent.toml")).unwrap();
    assert!(config.contains("min_contributors = 9\n"), "{config}");
    assert!(config.contains("allow_without_noise = [\"histogram\"]\n"), "{config}");
}

#[test]
fn a_token_opens_the_door_once() {
    let world = World::new();
    let token = world.token();
    let (first, second) = (world.device("first"), world.device("second"));
    world.enrol_with(&first, &token, &world.ca()).data();
    world.enrol_with(&second, &token, &world.ca()).refused("token_invalid", 1);
    assert!(!second.dir.join("agent.toml").exists(), "a refusal writes no configuration");
    assert!(!second.dir.join("state/identity.json").exists(), "and no identity");
}

#[test]
fn a_tpm_of_an_unknown_maker_is_refused_by_check_1() {
    let world = World::new();
    let foreign = sealsum_test_support::TpmFactory::foreign();
    let device = Device { tpm: foreign.tpm(), dir: world.dir.path().join("foreign") };
    let answer = world.enrol(&device);
    assert_eq!(answer.refused("evidence_refused", 7)["check"], "1");
}

#[test]
fn an_authority_of_another_ca_gets_no_token() {
    let world = World::new();
    let other = World::new();
    let device = world.device("device");
    enrol(&device, &other.url, &world.ca(), NOBODY, &world.token()).refused("wrong_ca", 2);
    assert!(!device.dir.join("agent.toml").exists());
}

#[test]
fn copied_state_is_refused_on_another_tpm() {
    let world = World::new();
    let device = world.enrolled("device");
    let thief = Device { tpm: world.factory.tpm(), dir: world.dir.path().join("copy") };
    copy(&device.dir, &thief.dir);
    thief.edit("tpm", &format!("{:?}", thief.tpm.tcti()));
    let answer = thief.run(&["run"]);
    assert_eq!(answer.refused("evidence_refused", 7)["check"], "44");
    let answer = world.enrol(&thief);
    assert_eq!(answer.refused("evidence_refused", 7)["check"], "44");
    // The original is untouched by all this.
    let mut agent = device.start();
    assert_eq!(agent.terminate(STOP_LIMIT).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_revoked_device_says_so_and_cannot_renew() {
    let world = World::new();
    let device = world.enrolled("device");
    let id = device.run(&["identity"]).data()["device"].as_str().unwrap().to_owned();
    world.revoke(&id);
    device.run(&["renew"]).refused("revoked", 6);
    let _agent = device.start();
    let status = device.await_status(Duration::from_secs(90), |answer| answer.exit == 6);
    status.refused("revoked", 6);
    assert_eq!(status.json["data"]["state"], "revoked");
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
