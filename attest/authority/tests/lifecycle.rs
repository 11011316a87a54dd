//! Devices that come back: under the same endorsement key, with new keys, or twice at once.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use common::Device;
use harness::{Answer, Fleet, client, identity};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{EnrolChallenge, EnrolGrant, RenewChallenge};
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
