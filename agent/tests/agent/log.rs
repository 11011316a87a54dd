//! The authority's log, seen by a device over restarts of everything.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sealsum_attest::tlog::memory::{Evidence, Verdict};
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::witness::{Kept, Witness};
use sealsum_test_support::Process;

use crate::world::{Device, STOP_LIMIT, World};

/// Five times what a look at the log takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn size(device: &Device) -> u64 {
    let kept = fs::read(device.dir.join("state/authority-log.json")).unwrap();
    let kept: Kept = serde_json::from_slice(&kept).unwrap();
    Witness::try_from(&kept).unwrap().last().head().size
}

fn restart(device: &Device, agent: &mut Process) {
    agent.terminate(STOP_LIMIT);
    *agent = device.start();
}

#[test]
fn an_authority_that_takes_entries_back_is_found_and_believed_again_only_by_order() {
    let mut world = World::new().with_aggregator();
    let device = world.enrolled("device");
    let enrolled_at = size(&device);
    world.back_up_authority();
    world.enrolled("forgotten");
    let mut agent = device.start();
    device.await_status(PATIENCE, |_| size(&device) > enrolled_at);
    let seen = size(&device);

    world.restore_authority();
    restart(&device, &mut agent);
    let status = device.await_status(PATIENCE, |answer| answer.code() == "log_fork");
    status.refused("log_fork", 7);
    let data = &status.json["data"];
    assert_eq!(
        (&data["state"], &data["problems"][0]["code"]),
        (&"degraded".into(), &"log_fork".into())
    );
    let vkey = fs::read_to_string(world.dir.path().join("authority/log.vkey")).unwrap();
    let verdict = judge(&device.dir.join("state/log-fork.json"), &vkey);
    assert!(
        matches!(verdict, Verdict::Owed { old, new } if old < new && new == seen),
        "{verdict:?}"
    );

    restart(&device, &mut agent);
    device.run(&["status"]).refused("log_fork", 7);
    device.run(&["renew"]).refused("log_fork", 7);
    let accepted = device.run(&["log", "accept"]);
    assert!(accepted.data()["size"].as_u64().unwrap() < seen);
    device.await_status(PATIENCE, |answer| answer.json["data"]["state"] == "enrolled");
    let aside = fs::read_dir(device.dir.join("state")).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with("log-fork-").then_some(path)
    });
    assert_eq!(judge(&aside.unwrap(), &vkey), verdict, "the evidence is kept");
    device.run(&["renew"]).data();
}

/// As an auditor would, who has the key and the evidence.
fn judge(evidence: &Path, vkey: &str) -> Verdict {
    let evidence: Evidence = serde_json::from_slice(&fs::read(evidence).unwrap()).unwrap();
    evidence.judge(&NoteKey::parse(vkey.trim_end()).unwrap()).unwrap()
}
