//! Devices that come back: under the same endorsement key, with new keys, or twice at once.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use common::Device;
use harness::{Answer, Fleet, client, identity};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{EnrolChallenge, EnrolGrant, RenewChallenge, RotateAnswer};
use sealsum_authority::devices::State;

/// The device `seed` after it made new keys: same endorsement key, everything else of `keys`.
fn reborn(fleet: &Fleet, seed: u64, keys: u64) -> Device {
    let (old, mut new) = (fleet.device(seed), fleet.device(keys));
    (new.ek, new.ek_public, new.ek_certificate) = (old.ek, old.ek_public, old.ek_certificate);
    new
}

/// The same after its TPM was cleared: another storage key, counters from zero.
fn cleared(fleet: &Fleet, seed: u64, keys: u64) -> Device {
    let mut device = reborn(fleet, seed, keys);
    device.srk_name = [&[0, 11], &[keys as u8; 32][..]].concat();
    device.clock.reset_count = 0;
    device.clock.restart_count = 0;
    device.clock.clock = 0;
    device
}

fn begin_without_token(fleet: &Fleet, device: &Device) -> Answer {
    let mut request = device.request();
    request.token = None;
    fleet.post("/v1/enroll", &request)
}

/// An enrolment that nobody made a token for.
fn come_back(fleet: &Fleet, device: &Device) -> Answer {
    let challenge: EnrolChallenge = begin_without_token(fleet, device).parsed();
    fleet.finish(device, &challenge)
}

fn comes_back(fleet: &Fleet, device: &Device) -> EnrolGrant {
    come_back(fleet, device).parsed()
}

/// The device shows its certificate, as an agent does every 20 seconds.
fn use_certificate(fleet: &Fleet, device: &Device, grant: &EnrolGrant) {
    assert_eq!(fleet.get_as(&client(device, grant), "/v1/status-list").status, 200);
}

/// Asserts that the device and both its holders are out, and that everybody is told.
fn assert_alarm(fleet: &Fleet, id: &DeviceId, found: &str) {
    let view = fleet.show(id);
    assert_eq!((view.state, view.revoked.unwrap().reason.as_str()), (State::Revoked, "cloned"));
    let status = fleet.admin_get("/v1/status");
    assert_eq!(
        (&status["devices"]["cloned"], &status["devices"]["revoked"]),
        (&1.into(), &0.into())
    );
    assert!(fleet.status_list(None).revoked_devices.contains(id));
    let events = fleet.events("device.cloned");
    assert_eq!(events.len(), 1, "one alarm, not one for each try: {events:?}");
    assert_eq!(
        (&events[0]["found"], &events[0]["device"]),
        (&found.into(), &id.to_string().into())
    );
}

#[test]
fn a_known_endorsement_key_comes_back_without_a_token_and_the_log_says_so() {
    let fleet = Fleet::new();
    let first = fleet.enrol(&fleet.device(1));
    let after_clear = cleared(&fleet, 1, 7);
    let second = comes_back(&fleet, &after_clear);
    assert_eq!((second.device, second.epoch), (first.device, 2));
    let list = fleet.status_list(None);
    assert!(list.revokes(&identity(&first)) && !list.revokes(&identity(&second)));
    let events = fleet.events("device.reenrolled");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["rotated"], "ak,dk,srk,x25519");
    assert_eq!(
        (&events[0]["admitted_by"], &events[0]["epoch"]),
        (&"endorsement_key".into(), &2.into())
    );

    // New keys under the same storage key, as after a changed boot, are no alarm either.
    fleet.advance(60);
    let mut resealed = reborn(&fleet, 1, 8);
    resealed.srk_name = after_clear.srk_name.clone();
    resealed.clock = after_clear.clock;
    assert_eq!(comes_back(&fleet, &resealed).epoch, 3);
    assert_eq!(fleet.events("device.reenrolled")[1]["rotated"], "ak,dk,x25519");
    assert_eq!(fleet.show(&first.device).state, State::Active);
}

#[test]
fn only_who_is_on_record_and_not_revoked_needs_no_token() {
    let fleet = Fleet::new();
    begin_without_token(&fleet, &fleet.device(2)).refused(403, "evidence_refused", Some("9"));
    let grant = fleet.enrol(&fleet.device(1));
    fleet.revoke(&grant.device);
    begin_without_token(&fleet, &cleared(&fleet, 1, 7)).refused(403, "revoked", Some("46"));
}

#[test]
fn a_device_does_not_come_back_again_and_again() {
    let fleet = Fleet::new();
    fleet.enrol(&fleet.device(1));
    comes_back(&fleet, &cleared(&fleet, 1, 7));
    begin_without_token(&fleet, &cleared(&fleet, 1, 8)).refused(503, "busy", None);
    // An operator's token does not wait.
    assert_eq!(fleet.enrol(&cleared(&fleet, 1, 8)).epoch, 3);
    fleet.advance(60);
    assert_eq!(comes_back(&fleet, &cleared(&fleet, 1, 9)).epoch, 4);
}

#[test]
fn a_certificate_that_a_newer_enrolment_replaced_says_so() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let first = fleet.enrol(&device);
    // The grant of the second enrolment was lost on its way: nobody uses it.
    comes_back(&fleet, &reborn(&fleet, 1, 7));
    let late = fleet.renewal_challenge(&client(&device, &first));
    late.refused(403, "certificate_replaced", Some("49"));
    assert_eq!(fleet.show(&first.device).state, State::Active, "a lost answer is no alarm");
    fleet.advance(60);
    assert_eq!(comes_back(&fleet, &reborn(&fleet, 1, 8)).epoch, 3);
}

#[test]
fn two_holders_of_one_tpm_are_both_cut_off() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.device(1), reborn(&fleet, 1, 7));
    let old = fleet.enrol(&first);
    use_certificate(&fleet, &first, &old);
    // The copy enrols, which cuts off the first; it lives, and so does the first.
    let new = comes_back(&fleet, &second);
    use_certificate(&fleet, &second, &new);
    fleet.renewal_challenge(&client(&first, &old)).refused(403, "revoked", Some("44"));
    assert_alarm(&fleet, &new.device, "two_holders");
    let list = fleet.status_list(None);
    assert!(list.revokes(&identity(&old)) && list.revokes(&identity(&new)));
    // Neither gets back in by itself, or with just any token.
    fleet.renewal_challenge(&client(&second, &new)).refused(403, "revoked", Some("44"));
    fleet.advance(60);
    begin_without_token(&fleet, &first).refused(403, "revoked", Some("44"));
    fleet.begin(&first, &fleet.token()).refused(403, "revoked", Some("44"));
    assert_alarm(&fleet, &new.device, "two_holders");
    // An operator who found the copy says which machine it is.
    let token = fleet.token_with(|token| token.ek_sha256 = Some(new.device));
    let third = fleet.enrol_with(&reborn(&fleet, 1, 9), &token);
    assert_eq!(third.epoch, 3);
    assert_eq!(fleet.show(&third.device).state, State::Active);
    assert!(!fleet.status_list(None).revoked_devices.contains(&third.device));
}

#[test]
fn an_operator_may_revoke_a_copied_device_for_good() {
    let fleet = Fleet::new();
    let grant = fleet.enrol(&fleet.device(1));
    let mut copy = reborn(&fleet, 1, 7);
    copy.clock.reset_count -= 1;
    come_back(&fleet, &copy).refused(403, "revoked", Some("44"));
    assert_eq!(fleet.revoke(&grant.device).revoked.unwrap().reason, "stolen");
    let token = fleet.token_with(|token| token.ek_sha256 = Some(grant.device));
    fleet.begin(&fleet.device(1), &token).refused(403, "revoked", Some("46"));
}

#[test]
fn two_holders_of_the_same_certificate_are_both_cut_off() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let shared = fleet.enrol(&device);
    let renew = |grant: &EnrolGrant| {
        let challenge = fleet.renewal_challenge(&client(&device, grant));
        let challenge: RenewChallenge = challenge.parsed();
        fleet.renewal_answer(&client(&device, grant), &device, grant, &challenge)
    };
    // An answer that was lost is asked for again.
    assert_eq!(renew(&shared).status, 200);
    let renewed: EnrolGrant = renew(&shared).parsed();
    use_certificate(&fleet, &device, &renewed);
    let answer = fleet.renewal_challenge(&client(&device, &shared));
    answer.refused(403, "revoked", Some("44"));
    assert_alarm(&fleet, &shared.device, "two_holders");
}

#[test]
fn counters_that_went_down_show_a_copy_at_a_renewal() {
    let fleet = Fleet::new();
    let mut device = fleet.device(1);
    let grant = fleet.enrol(&device);
    device.clock.clock -= 1;
    let certificate = client(&device, &grant);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    let answer = fleet.renewal_answer(&certificate, &device, &grant, &challenge);
    answer.refused(403, "evidence_refused", Some("37"));
    assert_alarm(&fleet, &grant.device, "counters");
    fleet.renewal_challenge(&certificate).refused(403, "revoked", Some("44"));
}

#[test]
fn counters_that_went_down_show_a_copy_at_an_enrolment() {
    let fleet = Fleet::new();
    let grant = fleet.enrol(&fleet.device(1));
    let mut copy = reborn(&fleet, 1, 7);
    copy.clock.reset_count -= 1;
    come_back(&fleet, &copy).refused(403, "revoked", Some("44"));
    assert_alarm(&fleet, &grant.device, "counters");
}

#[test]
fn a_storage_key_from_before_a_clear_shows_a_copy() {
    let fleet = Fleet::new();
    let grant = fleet.enrol(&fleet.device(1));
    comes_back(&fleet, &cleared(&fleet, 1, 7));
    fleet.advance(60);
    // The other machine, which was never cleared.
    come_back(&fleet, &reborn(&fleet, 1, 8)).refused(403, "revoked", Some("44"));
    assert_alarm(&fleet, &grant.device, "storage_key");
}

/// The device with a new device key and X25519 identity beside its attestation key.
fn with_new_keys(fleet: &Fleet, seed: u64, keys: u64) -> Device {
    let (old, mut new) = (fleet.device(seed), fleet.device(keys));
    (new.ek, new.ek_public, new.ek_certificate) = (old.ek, old.ek_public, old.ek_certificate);
    (new.ak, new.ak_public) = (old.ak, old.ak_public);
    new
}

#[test]
fn a_renewal_with_new_keys_begins_an_epoch_and_lets_rounds_end() {
    let fleet = Fleet::new();
    let old = fleet.device(1);
    let grant = fleet.enrol(&old);
    let certificate = client(&old, &grant);
    let new = with_new_keys(&fleet, 1, 7);
    let challenge = fleet.rotation_challenge(&certificate, &new).parsed();
    let answer = fleet.rotation(&new, &grant, &challenge);
    let rotated: EnrolGrant = fleet.rotation_answer(&certificate, &answer).parsed();
    assert_eq!((rotated.device, rotated.epoch), (grant.device, 2));
    assert_eq!(identity(&rotated).x25519, Some(new.x25519_public()));
    assert_ne!(identity(&rotated).spki_sha256, identity(&grant).spki_sha256);
    let view = fleet.show(&grant.device);
    assert_eq!((view.state, view.epoch), (State::Active, 2));
    assert_eq!(fleet.events("device.rotated")[0]["epoch"], 2);
    fleet.rotation_answer(&certificate, &answer).refused(403, "certificate_replaced", Some("49"));

    // Rounds that the old certificate entered may end; after an hour it is out.
    let before = fleet.status_list(None);
    assert!(!before.revokes(&identity(&grant)));
    fleet.advance(3_601);
    let after = fleet.status_list(Some(before.number));
    assert!(after.number > before.number);
    assert!(after.revokes(&identity(&grant)) && !after.revokes(&identity(&rotated)));
    assert_eq!(fleet.events("certificate.revoked").len(), 1);
    // The next renewal goes from the new keys.
    let certificate = client(&new, &rotated);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    assert_eq!(fleet.renewal_answer(&certificate, &new, &rotated, &challenge).status, 200);
}

#[test]
fn new_keys_that_are_not_vouched_for_are_refused() {
    let fleet = Fleet::new();
    let (old, other) = (fleet.device(1), fleet.device(2));
    let grant = fleet.enrol(&old);
    fleet.enrol(&other);
    let certificate = client(&old, &grant);
    let new = with_new_keys(&fleet, 1, 7);
    let refuse = |check: &str, bend: &dyn Fn(&mut RotateAnswer)| {
        let challenge = fleet.rotation_challenge(&certificate, &new).parsed();
        let mut answer = fleet.rotation(&new, &grant, &challenge);
        bend(&mut answer);
        let answer = fleet.rotation_answer(&certificate, &answer);
        answer.refused(403, "evidence_refused", Some(check));
    };
    refuse("40", &|answer| answer.x25519_proof.0[0] ^= 1);
    refuse("27", &|answer| *answer.certify_signature.0.last_mut().unwrap() ^= 1);
    refuse("29", &|answer| answer.certify_attest = answer.renewal.quote_attest.clone());
    refuse("31", &|answer| *answer.renewal.quote_signature.0.last_mut().unwrap() ^= 1);
    refuse("30", &|answer| answer.renewal.csr.0 = old.csr());
    // A good answer to a plain renewal is none to this.
    refuse("30", &|answer| {
        let (attest, signature) = new.quote(&[0; 32]);
        (answer.renewal.quote_attest, answer.renewal.quote_signature) =
            (attest.into(), signature.into());
    });
    let mut thief = with_new_keys(&fleet, 1, 7);
    for taken in [other.x25519.clone(), old.x25519.clone()] {
        thief.x25519 = taken;
        let answer = fleet.rotation_challenge(&certificate, &thief);
        answer.refused(403, "evidence_refused", Some("42"));
    }
    let mut weak = with_new_keys(&fleet, 1, 7);
    weak.dk_public = weak.ak_public.clone();
    assert_eq!(fleet.rotation_challenge(&certificate, &weak).status, 403);
    let view = fleet.show(&grant.device);
    assert_eq!((view.state, view.epoch), (State::Active, 1), "nothing of this is an alarm");
}

#[test]
fn a_changed_boot_waits_for_the_operator_where_baselines_are_enforced() {
    let (pcr_0, pcr_7) = ("11".repeat(32), "77".repeat(32));
    let known = format!("[[pcr_baselines]]\n0 = \"{pcr_0}\"\n7 = \"{pcr_7}\"\n");
    let fleet = Fleet::with_policy(|text| text.replace("\"monitor\"", "\"enforce\"") + &known);
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let mut updated = fleet.device(1);
    updated.pcrs = common::pcrs(&[(0, 0x11), (7, 0x78)]);
    let certificate = client(&device, &grant);
    let renew = |device: &Device| {
        let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
        fleet.renewal_answer(&certificate, device, &grant, &challenge)
    };
    renew(&updated).refused(403, "evidence_refused", Some("35"));
    let mut resealed = reborn(&fleet, 1, 7);
    resealed.pcrs = updated.pcrs.clone();
    come_back(&fleet, &resealed).refused(403, "evidence_refused", Some("35"));
    // No loop, no alarm, no loss: the certificate stays, and so does the way back.
    assert_eq!(fleet.show(&grant.device).state, State::Active);
    assert!(fleet.events("device.cloned").is_empty());
    assert_eq!(renew(&device).status, 200);
}

#[test]
fn firmware_that_went_back_is_refused_and_no_alarm() {
    let fleet = Fleet::new();
    let mut device = fleet.device(1);
    let grant = fleet.enrol(&device);
    device.firmware_version -= 1;
    let certificate = client(&device, &grant);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    let answer = fleet.renewal_answer(&certificate, &device, &grant, &challenge);
    answer.refused(403, "evidence_refused", Some("37"));
    assert_eq!(fleet.show(&grant.device).state, State::Active);
    assert!(fleet.events("device.cloned").is_empty());
}
