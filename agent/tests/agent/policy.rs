//! The operator changes the policy of a running authority, and real evidence meets it.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;

use crate::world::{Answer, World};

struct Policy<'a> {
    world: &'a World,
    file: PathBuf,
}

impl Policy<'_> {
    fn apply(&self, edit: impl FnOnce(String) -> String) -> Answer {
        let text = edit(fs::read_to_string(&self.file).unwrap());
        fs::write(&self.file, text).unwrap();
        self.world.authority(&["policy", "apply", self.file.to_str().unwrap()])
    }

    /// The lines that `policy baselines` prints for the state that waits.
    fn waiting_lines(&self) -> String {
        let states = self.world.authority(&["policy", "baselines"]).data()["states"].clone();
        let state = &states[0];
        assert_eq!((&state["known"], &state["approvable"]), (&false.into(), &true.into()));
        assert_eq!(state["waiting"].as_array().unwrap().len(), 1, "{states}");
        format!("[[pcr_baselines]]\n7 = {}\n", state["pcrs"]["7"])
    }
}

#[test]
fn an_enforced_boot_state_is_approved_and_a_changed_one_again() {
    let world = World::new();
    let policy = Policy { file: world.dir.path().join("authority/policy.toml"), world: &world };
    let elsewhere = format!("[[pcr_baselines]]\n7 = \"{}\"\n", "ab".repeat(32));
    let enforce = |text: String| text.replace("\"monitor\"", "\"enforce\"") + &elsewhere;
    assert_eq!(policy.apply(enforce).data()["changed"], true);

    let device = world.device("device");
    let refused = world.enrol(&device);
    let error = refused.refused("evidence_refused", 7);
    assert!(error["message"].as_str().unwrap().contains("pending approval"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("policy baselines"), "{error}");
    let lines = policy.waiting_lines();
    policy.apply(|text| text + &lines).data();
    let id = world.enrol(&device).data()["device"].as_str().unwrap().to_owned();

    // A member whose firmware changed waits too, and succeeds at its next try.
    let mut agent = device.start();
    device.tpm.extend_pcr(7, b"another secure boot policy");
    device.run(&["renew"]);
    let shown = world.authority(&["device", "show", &id]);
    let shown = shown.data();
    assert_eq!((&shown["ek"]["software"], &shown["state"]), (&true.into(), &"active".into()));
    assert!(shown["pending"]["refusals"].as_u64().unwrap() >= 1, "{shown}");
    let lines = policy.waiting_lines();
    policy.apply(|text| text + &lines).data();
    device.run(&["renew"]).data();
    let shown = world.authority(&["device", "show", &id]);
    assert_eq!(shown.data()["pending"], Value::Null);
    agent.kill();
}

#[test]
fn the_life_of_certificates_changes_with_the_next_renewal_and_a_broken_file_changes_nothing() {
    let world = World::new();
    let policy = Policy { file: world.dir.path().join("authority/policy.toml"), world: &world };
    let device = world.enrolled("device");
    let mut agent = device.start();
    let good = fs::read_to_string(&policy.file).unwrap();
    policy.apply(|text| text + "lifetime = 60\n").refused("config_unknown_key", 4);
    policy.apply(|_| good.replace("\"tpm-roots\"", "\"gone\"")).refused("file_not_found", 4);
    device.run(&["renew"]).data();
    policy.apply(|_| good.replace("86400", "3600")).data();
    device.run(&["renew"]).data();
    let identity = device.run(&["identity"]);
    let end: Timestamp =
        identity.data()["certificate"]["not_after"].as_str().unwrap().parse().unwrap();
    assert!(end.duration_since(Timestamp::now()).as_secs() <= 3600, "{end}");
    // Without its own list, no software TPM is a member for longer than its certificate.
    policy.apply(|_| good.replace("software_tpm_roots", "# ")).data();
    device.run(&["renew"]).refused("evidence_refused", 7);
    agent.kill();
}
