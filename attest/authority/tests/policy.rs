//! The policy is changed while devices come and go: in force at once, whole or not at all, logged.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use common::{Device, Vendor, pcrs};
use harness::{Answer, Fleet, client, identity};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{EnrolChallenge, EnrolGrant, RenewChallenge};
use sealsum_authority::devices::State;
use sealsum_daemon::codes;
use serde_json::{Value, json};

/// What a good device quotes, as lines of a policy file.
fn baseline(pcr_0: u8, pcr_7: u8) -> String {
    let value = |byte: u8| format!("{byte:02x}").repeat(32);
    format!("[[pcr_baselines]]\n0 = \"{}\"\n7 = \"{}\"\n", value(pcr_0), value(pcr_7))
}

fn enforced(baselines: &str) -> impl FnOnce(String) -> String + '_ {
    move |text| text.replace("\"monitor\"", "\"enforce\"") + baselines
}

fn renew(fleet: &Fleet, device: &Device, grant: &EnrolGrant) -> Answer {
    let certificate = client(device, grant);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    fleet.renewal_answer(&certificate, device, grant, &challenge)
}

/// A whole enrolment that must be refused at its end.
fn refused_enrolment(fleet: &Fleet, device: &Device) -> Answer {
    let challenge: EnrolChallenge = fleet.begin(device, &fleet.token()).parsed();
    fleet.finish(device, &challenge)
}

fn policy_changes(fleet: &Fleet) -> Vec<Value> {
    fleet.events("policy.changed")
}

#[test]
fn an_unknown_boot_state_awaits_approval() {
    let fleet = Fleet::with_policy(enforced(&baseline(0x12, 0x77)));
    let device = fleet.device(1);
    let id = DeviceId::from_ek_public(&device.ek_public.to_bytes());
    for refusals in [1, 2] {
        let answer = refused_enrolment(&fleet, &device);
        answer.refused(403, "evidence_refused", Some("35"));
        let (message, hint) = (answer.json()["message"].clone(), answer.json()["hint"].clone());
        assert!(message.as_str().unwrap().contains("pending approval"), "{message}");
        assert!(hint.as_str().unwrap().contains("policy baselines"), "{hint}");
        let states = fleet.baselines().states;
        let [state] = &states[..] else { panic!("{states:?}") };
        assert_eq!((state.known, state.approvable, state.devices.len()), (false, true, 0));
        assert_eq!(state.pcrs, pcrs(&[(0, 0x11), (7, 0x77)]));
        assert_eq!((state.waiting[0].device, state.waiting[0].refusals), (id, refusals));
    }
    // The file says so, not the registry: what is printed goes into it.
    let printed = sealsum_authority::policy::toml_of(&fleet.baselines().states[0].pcrs);
    assert_eq!(printed, baseline(0x11, 0x77));
    fleet.apply_policy(|text| text + &printed).unwrap();
    assert!(fleet.baselines().states[0].known);
    let grant = fleet.enrol(&device);
    let states = fleet.baselines().states;
    assert_eq!((&states[0].devices, states[0].waiting.len()), (&vec![grant.device], 0));
    assert_eq!(fleet.show(&grant.device).attestation.status, "affirming");
}

#[test]
fn a_member_whose_boot_state_changed_is_pending_once_its_certificate_is_over() {
    let fleet = Fleet::with_policy(enforced(&baseline(0x11, 0x77)));
    let mut device = fleet.device(1);
    let grant = fleet.enrol(&device);
    assert!(fleet.show(&grant.device).pending.is_none());
    device.pcrs = pcrs(&[(0, 0x22), (7, 0x77)]);
    renew(&fleet, &device, &grant).refused(403, "evidence_refused", Some("35"));
    let view = fleet.show(&grant.device);
    assert_eq!(view.state, State::Active);
    assert_eq!(view.pending.unwrap().pcrs, device.pcrs);
    assert_eq!(view.attestation.pcrs["0"], "11".repeat(32));
    fleet.advance(86_401);
    assert_eq!(fleet.show(&grant.device).state, State::Pending);
    assert_eq!(fleet.admin_get("/v1/devices")["devices"][0]["state"], "pending");
    fleet.apply_policy(|text| text + &baseline(0x22, 0x77)).unwrap();
    let grant = fleet.enrol(&device);
    let view = fleet.show(&grant.device);
    assert_eq!((view.state, view.pending.is_none()), (State::Active, true));
}

#[test]
fn a_renewal_with_new_keys_ends_the_wait_for_approval() {
    let fleet = Fleet::with_policy(enforced(&baseline(0x11, 0x77)));
    let (old, mut new) = (fleet.device(1), fleet.device(7));
    let grant = fleet.enrol(&old);
    (new.ek, new.ek_public, new.ek_certificate) = (old.ek, old.ek_public, old.ek_certificate);
    (new.ak, new.ak_public) = (old.ak, old.ak_public);
    new.pcrs = pcrs(&[(0, 0x22), (7, 0x77)]);
    let old = fleet.device(1);
    let rotate = || {
        let certificate = client(&old, &grant);
        let challenge = fleet.rotation_challenge(&certificate, &new).parsed();
        fleet.rotation_answer(&certificate, &fleet.rotation(&new, &grant, &challenge))
    };
    rotate().refused(403, "evidence_refused", Some("35"));
    assert_eq!(fleet.show(&grant.device).pending.unwrap().pcrs, new.pcrs);
    fleet.apply_policy(|text| text + &baseline(0x22, 0x77)).unwrap();
    let rotated: EnrolGrant = rotate().parsed();
    let view = fleet.show(&grant.device);
    assert_eq!((rotated.epoch, view.pending.is_none()), (2, true));
}

#[test]
fn nobody_can_approve_that_nothing_was_measured() {
    let fleet = Fleet::with_policy(enforced(&baseline(0x11, 0x77)));
    let mut device = fleet.device(1);
    device.pcrs = pcrs(&[(0, 0x11), (7, 0)]);
    refused_enrolment(&fleet, &device).refused(403, "evidence_refused", Some("35"));
    assert!(fleet.baselines().states.is_empty());
    let failure = fleet.apply_policy(|text| text + &baseline(0x11, 0)).unwrap_err();
    assert_eq!(failure.code, codes::CONFIG_INVALID);
    // One that is only watched cannot be approved either.
    let fleet = Fleet::new();
    fleet.enrol(&device_of(&fleet, &[(0, 0x11), (7, 0)]));
    let states = fleet.baselines().states;
    assert_eq!((states[0].known, states[0].approvable), (false, false));
}

fn device_of(fleet: &Fleet, values: &[(u8, u8)]) -> Device {
    let mut device = fleet.device(1);
    device.pcrs = pcrs(values);
    device
}

#[test]
fn a_shut_out_device_waits_for_nothing() {
    let fleet = Fleet::with_policy(enforced(&baseline(0x11, 0x77)));
    let mut device = fleet.device(1);
    let grant = fleet.enrol(&device);
    device.pcrs = pcrs(&[(0, 0x22), (7, 0x77)]);
    renew(&fleet, &device, &grant).refused(403, "evidence_refused", Some("35"));
    assert_eq!(fleet.baselines().states.len(), 2);
    fleet.revoke(&grant.device);
    assert!(fleet.baselines().states.is_empty());
}

#[test]
fn a_change_is_logged_with_both_hashes_and_who_made_it() {
    let fleet = Fleet::new();
    let before = policy_changes(&fleet);
    assert_eq!(before[0]["old_sha256"], Value::Null);
    let applied = fleet.apply_policy(|text| text.replace("86400", "7200")).unwrap();
    assert!(applied.changed);
    let keys: Vec<&str> = applied.changes.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys, ["lifetime_s"]);
    assert_eq!(
        (&applied.changes[0].before, &applied.changes[0].after),
        (&json!(86400), &json!(7200))
    );
    let changes = policy_changes(&fleet);
    assert_eq!(changes.len(), before.len() + 1);
    let entry = changes.last().unwrap();
    assert_eq!(entry["old_sha256"], applied.old_sha256);
    assert_eq!(entry["old_sha256"], before.last().unwrap()["new_sha256"]);
    assert_eq!(entry["new_sha256"], applied.new_sha256);
    assert_eq!(entry["actor"], sealsum_daemon::own_uid());
    assert_eq!(entry["seq"], applied.log_index);
    let shown = fleet.admin_get("/v1/policy");
    assert_eq!(shown["policy"]["sha256"], applied.new_sha256);
    assert_eq!((&shown["actor"], &shown["log_index"]), (&entry["actor"], &entry["seq"]));
    // What a result and a row of the log say, is this.
    let grant = fleet.enrol(&fleet.device(1));
    assert_eq!(fleet.show(&grant.device).attestation.policy_sha256, applied.new_sha256);
    // Words around it are no change.
    let again = fleet.apply_policy(|text| format!("# why\n{text}")).unwrap();
    assert_eq!((again.changed, again.new_sha256), (false, applied.new_sha256));
    assert_eq!(again.log_index, applied.log_index);
    assert_eq!(policy_changes(&fleet).len(), changes.len());
}

#[test]
fn another_root_is_another_policy() {
    let fleet = Fleet::new();
    let stranger = Vendor::new("another");
    std::fs::write(fleet.dir().join("tpm-roots/another.der"), &stranger.root).unwrap();
    let applied = fleet.apply_policy(|text| text).unwrap();
    assert!(applied.changed);
    assert_eq!(applied.changes.len(), 2, "{applied:?}");
    let algorithm = sealsum_attest::templates::EkAlgorithm::P256;
    fleet.enrol(&Device::new(&stranger, algorithm, &mut common::rng(9)));
}

#[test]
fn a_policy_with_anything_wrong_changes_nothing() {
    let fleet = Fleet::new();
    let path = fleet.dir().join("policy.toml");
    let (good, before) = (std::fs::read_to_string(&path).unwrap(), fleet.admin_get("/v1/policy"));
    for (text, code) in [
        (good.replace("lifetime_s", "lifetime"), codes::CONFIG_UNKNOWN_KEY),
        (good.replace("86400", "10"), codes::CONFIG_INVALID),
        (good.replace("\"monitor\"", "\"enforce\""), codes::CONFIG_INVALID),
        (good.replace("\"tpm-roots\"", "\"elsewhere\""), codes::FILE_NOT_FOUND),
        (format!("{good}["), codes::CONFIG_INVALID),
    ] {
        assert_eq!(fleet.apply_policy(|_| text).unwrap_err().code, code);
    }
    // The authority looks for itself, whatever the command let through.
    let mut source = sealsum_authority::policy::PolicySource::new(good, &path).unwrap();
    let now = fleet.now();
    source.tpm_roots.push(b"no certificate".to_vec().into());
    let refused = sealsum_authority::policy::apply(&fleet.authority, source.clone(), 0, now);
    assert_eq!(refused.unwrap_err().code, codes::CONFIG_INVALID);
    source.tpm_roots.pop();
    source.text.push_str("pcr = [7]\n");
    let refused = sealsum_authority::policy::apply(&fleet.authority, source, 0, now);
    assert_eq!(refused.unwrap_err().code, codes::CONFIG_UNKNOWN_KEY);
    assert_eq!(fleet.admin_get("/v1/policy"), before);
    fleet.enrol(&fleet.device(1));
}

#[test]
fn software_tpms_enrol_only_where_the_policy_says_so() {
    let fleet = Fleet::new();
    let mut device = fleet.device(1);
    let point = device.ek_public.p256_point().unwrap();
    let spki = sealsum_attest::certificate::PublicKey::from_sec1(&point).unwrap().to_spki();
    let parameters = common::vendor::endorsement("id:00001014");
    device.ek_certificate = fleet.vendor.certify_with(&parameters, &spki);
    let grant = fleet.enrol(&device);
    assert!(fleet.show(&grant.device).ek.software);
    let hardware = fleet.enrol(&fleet.device(2));
    assert!(!fleet.show(&hardware.device).ek.software);
    fleet.apply_policy(|text| text.replace("software_tpm_roots", "# ")).unwrap();
    fleet.begin(&device, &fleet.token()).refused(403, "evidence_refused", Some("10"));
    renew(&fleet, &device, &grant).refused(403, "evidence_refused", Some("10"));
    assert_eq!(renew(&fleet, &fleet.device(2), &hardware).status, 200);
    // Trusted for software alone, the same maker makes nothing but software TPMs.
    fleet
        .apply_policy(|text| {
            text.replace("\ntpm_roots", "\nsoftware_tpm_roots").replace("#  =", "# ")
        })
        .unwrap();
    let software = fleet.enrol(&fleet.device(2));
    assert!(fleet.show(&software.device).ek.software);
    assert_eq!(renew(&fleet, &device, &grant).status, 200);
}

#[test]
fn a_maker_that_is_no_longer_trusted_renews_nothing() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    std::fs::write(fleet.dir().join("other.der"), Vendor::new("other").root).unwrap();
    fleet.apply_policy(|text| text.replace("\"tpm-roots\"", "\"other.der\"")).unwrap();
    renew(&fleet, &device, &grant).refused(403, "evidence_refused", Some("1"));
    fleet.apply_policy(|text| text.replace("\"other.der\"", "\"tpm-roots\"")).unwrap();
    assert_eq!(renew(&fleet, &device, &grant).status, 200);
}

#[test]
fn firmware_below_the_minimum_neither_enrols_nor_renews() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let running = fleet.show(&grant.device).attestation.firmware;
    assert_eq!(running.to_string(), "0001000200030004");
    let minimum = |firmware| format!("[min_firmware]\n\"id:53544D20\" = \"{firmware}\"\n");
    fleet.apply_policy(|text| text + &minimum("0001000200030005")).unwrap();
    renew(&fleet, &device, &grant).refused(403, "evidence_refused", Some("11"));
    refused_enrolment(&fleet, &fleet.device(2)).refused(403, "evidence_refused", Some("11"));
    let updated = |text: String| text.replace("0001000200030005", "0001000200030004");
    fleet.apply_policy(updated).unwrap();
    assert_eq!(renew(&fleet, &device, &grant).status, 200);
    fleet.enrol(&fleet.device(2));
}

#[test]
fn a_chain_may_lack_the_intermediates_that_the_policy_lists() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let mut request = device.request();
    request.token = Some(fleet.token());
    request.ek_chain.clear();
    fleet.post("/v1/enroll", &request).refused(403, "evidence_refused", Some("1"));
    std::fs::write(fleet.dir().join("issuer.der"), &fleet.vendor.intermediate).unwrap();
    fleet.apply_policy(|text| format!("tpm_intermediates = [\"issuer.der\"]\n{text}")).unwrap();
    let challenge: EnrolChallenge = fleet.post("/v1/enroll", &request).parsed();
    let answer = device.answer(&request, &challenge, &fleet.authority_spki());
    let grant: EnrolGrant =
        fleet.post(&format!("/v1/enroll/{}", challenge.session), &answer).parsed();
    assert_eq!(fleet.show(&grant.device).ek.anchor, "CN=vendor root");
    assert_eq!(renew(&fleet, &device, &grant).status, 200);
}

#[test]
fn a_session_begun_under_another_policy_is_judged_by_the_new_one() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let challenge: EnrolChallenge = fleet.begin(&device, &fleet.token()).parsed();
    fleet.apply_policy(enforced(&baseline(0x12, 0x77))).unwrap();
    fleet.finish(&device, &challenge).refused(403, "evidence_refused", Some("35"));
}
#[test]
fn certificates_live_as_long_as_the_policy_in_force_says() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let life = |grant: &EnrolGrant| {
        let certificate = identity(grant);
        certificate.not_after.duration_since(fleet.now()).as_secs()
    };
    assert!((86_000..=86_400).contains(&life(&grant)));
    fleet.apply_policy(|text| text.replace("86400", "7200")).unwrap();
    let renewed: EnrolGrant = renew(&fleet, &device, &grant).parsed();
    assert!((6_800..=7_200).contains(&life(&renewed)), "{}", life(&renewed));
}
