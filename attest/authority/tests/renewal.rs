//! Devices renew over mutual TLS with a fresh quote.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use harness::{Fleet, client, identity, renewal};
use sealsum_attest::messages::{Bytes, EnrolGrant, RenewAnswer, RenewChallenge, RenewRequest};
use sealsum_authority::devices::State;

#[test]
fn a_device_renews_with_its_certificate_and_a_fresh_quote() {
    let fleet = Fleet::new();
    let mut device = fleet.device(1);
    let grant = fleet.enrol(&device);
    device.clock.reset_count += 1;
    let certificate = client(&device, &grant);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    let renewed: EnrolGrant =
        fleet.renewal_answer(&certificate, &device, &grant, &challenge).parsed();
    assert_eq!((renewed.device, renewed.epoch), (grant.device, 1));
    assert_ne!(identity(&renewed).serial, identity(&grant).serial);
    assert_eq!(identity(&renewed).x25519, identity(&grant).x25519);
    let view = fleet.show(&grant.device);
    assert_eq!((view.state, view.attestation.reset_count), (State::Active, 6));
    // The next renewal goes from the new certificate, and needs a quote over its serial.
    let certificate = client(&device, &renewed);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    let stale = fleet.renewal_answer(&certificate, &device, &grant, &challenge);
    stale.refused(403, "evidence_refused", Some("30"));
}

#[test]
fn the_head_of_a_ledger_is_given_back_to_the_device_that_brought_it_and_to_no_other() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.device(1), fleet.device(2));
    let (mut grant_one, mut grant_two) = (fleet.enrol(&one), fleet.enrol(&two));
    let exchanged = |device, grant: &mut EnrolGrant, head: Option<Bytes>| {
        let certificate = client(device, grant);
        let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
        let answer = RenewAnswer { ledger_head: head, ..renewal(device, grant, &challenge) };
        let request = RenewRequest::Answer(Box::new(answer));
        *grant = fleet.post_as(&certificate, "/v1/renew", &request).parsed();
        grant.ledger_head.take()
    };
    let (older, newer) = (Bytes(vec![1; 76]), Bytes(vec![2; 76]));
    assert_eq!(exchanged(&one, &mut grant_one, None), None);
    for head in [&older, &newer] {
        assert_eq!(exchanged(&one, &mut grant_one, Some(head.clone())), None);
    }
    for _ in 0..2 {
        assert_eq!(exchanged(&one, &mut grant_one, None), Some(newer.clone()));
    }
    assert_eq!(exchanged(&two, &mut grant_two, None), None);
}

#[test]
fn a_renewal_is_answered_once() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let certificate = client(&device, &grant);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    let answer = || fleet.renewal_answer(&certificate, &device, &grant, &challenge);
    assert_eq!(answer().status, 200);
    answer().refused(403, "evidence_refused", Some("48"));
}

#[test]
fn one_device_cannot_renew_with_anothers_session() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.device(1), fleet.device(2));
    let (grant_one, grant_two) = (fleet.enrol(&one), fleet.enrol(&two));
    let challenge: RenewChallenge = fleet.renewal_challenge(&client(&one, &grant_one)).parsed();
    let stolen = fleet.renewal_answer(&client(&two, &grant_two), &one, &grant_one, &challenge);
    stolen.refused(403, "evidence_refused", Some("47"));
}

#[test]
fn counters_do_not_go_down() {
    let fleet = Fleet::new();
    let mut device = fleet.device(1);
    let grant = fleet.enrol(&device);
    device.clock.reset_count -= 1;
    let certificate = client(&device, &grant);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    let answer = fleet.renewal_answer(&certificate, &device, &grant, &challenge);
    answer.refused(403, "evidence_refused", Some("37"));
}

#[test]
fn a_revoked_device_does_not_renew() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let certificate = client(&device, &grant);
    let challenge: RenewChallenge = fleet.renewal_challenge(&certificate).parsed();
    fleet.revoke(&grant.device);
    let answer = fleet.renewal_answer(&certificate, &device, &grant, &challenge);
    answer.refused(403, "revoked", Some("46"));
    fleet.renewal_challenge(&certificate).refused(403, "revoked", Some("46"));
}

#[test]
fn a_replaced_certificate_does_not_renew() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let first = fleet.enrol(&device);
    fleet.enrol(&device);
    let answer = fleet.renewal_challenge(&client(&device, &first));
    answer.refused(403, "certificate_replaced", Some("49"));
}

#[test]
fn an_expired_certificate_does_not_renew() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    fleet.advance(24 * 60 * 60);
    // The handshake went by the true time: a connection may outlive the certificate.
    let late = fleet.renewal_challenge(&client(&device, &grant));
    late.refused(403, "certificate_expired", None);
    assert_eq!(fleet.show(&grant.device).state, State::Expired);
}

#[test]
fn without_a_members_certificate_nothing_is_renewed() {
    let fleet = Fleet::new();
    let request = serde_json::json!({"step": "challenge", "protocol": 1});
    fleet.post("/v1/renew", &request).refused(403, "refused", None);

    // Another fleet's certificate does not even shake hands.
    let elsewhere = Fleet::new();
    let device = elsewhere.device(1);
    let stranger = client(&device, &elsewhere.enrol(&device));
    assert_eq!(elsewhere.renewal_challenge(&stranger).status, 200);
    fleet.gets_no_answer_as(&stranger, "/v1/renew");
}
