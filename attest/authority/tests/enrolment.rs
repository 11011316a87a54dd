//! Devices enrol over HTTPS, and what keeps them from it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use harness::{Fleet, identity};
use sealsum_attest::certificate::{Identity, Role};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{EnrolChallenge, Fixed};
use sealsum_attest::result::Claims;
use sealsum_authority::devices::State;
use sealsum_authority::store::RoleKind;
use serde_json::json;

#[test]
fn a_device_enrols_and_is_on_record() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let token = fleet.token_with(|t| t.name = Some("pump-7".parse().unwrap()));
    let grant = fleet.enrol_with(&device, &token);
    let id = DeviceId::from_ek_public(&device.ek_public.to_bytes());
    assert_eq!((grant.device, grant.epoch), (id, 1));

    let chain = sealsum_attest::certificate::chain_from_pem(&grant.certificate).unwrap();
    let certified = fleet.trust().verify(&chain, fleet.now()).unwrap();
    assert_eq!(certified.role, Role::Device(id));
    assert_eq!(certified.x25519, Some(device.x25519_public()));
    assert_eq!(certified.public_key.as_sec1(), &device.dk_public.p256_point().unwrap());

    let fleet_name = "demo".parse().unwrap();
    let claims =
        Claims::verify(&grant.result_jwt, &fleet.trust(), &fleet_name, fleet.now()).unwrap();
    assert_eq!((claims.sub, claims.submods.tpm.epoch), (id, 1));

    let view = fleet.show(&id);
    assert_eq!((view.state, view.epoch), (State::Active, 1));
    assert_eq!(view.name.as_deref(), Some("pump-7"));
    assert_eq!(view.ek.algorithm, "p256");
    assert!(!view.ek.software);
    assert_eq!(view.log_index, grant.log_index);
    assert_eq!(view.attestation.status, "warning");
    assert_eq!(view.attestation.pcrs["7"], "77".repeat(32));
    assert_eq!(view.certificate.unwrap().uri, format!("spiffe://demo/device/{id}"));
}

#[test]
fn a_token_opens_the_door_once() {
    let fleet = Fleet::new();
    let token = fleet.token();
    fleet.enrol_with(&fleet.device(1), &token);
    fleet.begin(&fleet.device(2), &token).refused(403, "token_invalid", Some("9"));
}

#[test]
fn the_last_use_of_a_token_goes_to_the_faster_device() {
    let fleet = Fleet::new();
    let token = fleet.token();
    let (one, two) = (fleet.device(1), fleet.device(2));
    let first: EnrolChallenge = fleet.begin(&one, &token).parsed();
    let second: EnrolChallenge = fleet.begin(&two, &token).parsed();
    assert_eq!(fleet.finish(&two, &second).status, 200);
    fleet.finish(&one, &first).refused(403, "token_invalid", Some("9"));
    assert_eq!(fleet.admin_get("/v1/status")["devices"]["active"], 1);
}

#[test]
fn wrong_evidence_does_not_use_the_token_up() {
    let fleet = Fleet::new();
    let (device, token) = (fleet.device(1), fleet.token());
    let challenge: EnrolChallenge = fleet.begin(&device, &token).parsed();
    let spki = fleet.authority_spki();
    let mut answer = device.answer(&device.request(), &challenge, &spki);
    answer.activation_proof = Fixed([0; 32]);
    let path = format!("/v1/enroll/{}", challenge.session);
    fleet.post(&path, &answer).refused(403, "evidence_refused", Some("22"));
    fleet.enrol_with(&device, &token);
}

#[test]
fn a_token_that_is_not_good_for_this_is_refused() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let refuse = |token: &str| {
        fleet.begin(&device, token).refused(403, "token_invalid", Some("9"));
    };
    refuse("never-made");
    let elsewhere = DeviceId::from_ek_public(b"another endorsement key");
    refuse(&fleet.token_with(|t| t.ek_sha256 = Some(elsewhere)));
    refuse(&fleet.token_with(|t| t.role = RoleKind::Aggregator));
    let short = fleet.token_with(|t| t.ttl_s = 60);
    fleet.advance(60);
    refuse(&short);

    let id = DeviceId::from_ek_public(&device.ek_public.to_bytes());
    fleet.enrol_with(&device, &fleet.token_with(|t| t.ek_sha256 = Some(id)));
}

#[test]
fn without_a_token_the_policy_refuses() {
    let fleet = Fleet::new();
    let mut request = fleet.device(1).request();
    request.token = None;
    fleet.post("/v1/enroll", &request).refused(403, "evidence_refused", Some("9"));
}

#[test]
fn a_device_on_the_allow_list_needs_no_token() {
    // The list names a device that the vendor is yet to make: ids depend on the seed alone.
    let vendor = common::Vendor::new("any");
    let algorithm = sealsum_attest::templates::EkAlgorithm::P256;
    let listed = common::Device::new(&vendor, algorithm, &mut common::rng(1));
    let id = DeviceId::from_ek_public(&listed.ek_public.to_bytes());
    let fleet = Fleet::with_policy(|text| {
        let list = format!("\"token-or-allow-list\"\nallow = [\"{id}\"]");
        text.replace("\"token\"", &list)
    });
    let begin = |seed| {
        let mut request = fleet.device(seed).request();
        request.token = None;
        fleet.post("/v1/enroll", &request)
    };
    let challenge: EnrolChallenge = begin(1).parsed();
    let device = fleet.device(1);
    let mut request = device.request();
    request.token = None;
    let answer = device.answer(&request, &challenge, &fleet.authority_spki());
    assert_eq!(fleet.post(&format!("/v1/enroll/{}", challenge.session), &answer).status, 200);
    begin(2).refused(403, "evidence_refused", Some("9"));
    fleet.revoke(&id);
    begin(1).refused(403, "revoked", Some("46"));
}

#[test]
fn a_foreign_vendors_device_is_refused() {
    let fleet = Fleet::new();
    let stranger = common::Vendor::new("stranger");
    let algorithm = sealsum_attest::templates::EkAlgorithm::P256;
    let device = common::Device::new(&stranger, algorithm, &mut common::rng(1));
    fleet.begin(&device, &fleet.token()).refused(403, "evidence_refused", Some("1"));
}

#[test]
fn a_session_is_answered_once_right_or_wrong() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let challenge: EnrolChallenge = fleet.begin(&device, &fleet.token()).parsed();
    assert_eq!(fleet.finish(&device, &challenge).status, 200);
    fleet.finish(&device, &challenge).refused(403, "evidence_refused", Some("24"));

    let device = fleet.device(2);
    let challenge: EnrolChallenge = fleet.begin(&device, &fleet.token()).parsed();
    let spki = fleet.authority_spki();
    let mut wrong = device.answer(&device.request(), &challenge, &spki);
    wrong.x25519_proof = Fixed([0; 32]);
    let path = format!("/v1/enroll/{}", challenge.session);
    fleet.post(&path, &wrong).refused(403, "evidence_refused", Some("40"));
    fleet.finish(&device, &challenge).refused(403, "evidence_refused", Some("24"));
}

#[test]
fn a_late_answer_is_refused() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let challenge: EnrolChallenge = fleet.begin(&device, &fleet.token()).parsed();
    fleet.advance(122);
    fleet.finish(&device, &challenge).refused(403, "evidence_refused", Some("25"));
}

#[test]
fn the_authority_named_in_the_transcript_is_the_one_that_answers() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let challenge: EnrolChallenge = fleet.begin(&device, &fleet.token()).parsed();
    let relayed = device.answer(&device.request(), &challenge, &[0; 32]);
    let path = format!("/v1/enroll/{}", challenge.session);
    fleet.post(&path, &relayed).refused(403, "evidence_refused", Some("22"));
}

#[test]
fn one_device_does_not_enrol_twice_at_once() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let challenge: EnrolChallenge = fleet.begin(&device, &fleet.token()).parsed();
    let second = fleet.token();
    fleet.begin(&device, &second).refused(403, "evidence_refused", Some("43"));
    assert_eq!(fleet.finish(&device, &challenge).status, 200);
    assert_eq!(fleet.begin(&device, &second).status, 200);
}

#[test]
fn an_x25519_key_belongs_to_one_device_for_good() {
    let fleet = Fleet::new();
    let owner = fleet.device(1);
    fleet.enrol(&owner);
    let mut thief = fleet.device(2);
    thief.x25519 = owner.x25519.clone();
    fleet.begin(&thief, &fleet.token()).refused(403, "evidence_refused", Some("42"));

    let mut renewed = fleet.device(1);
    renewed.x25519 = fleet.device(3).x25519;
    fleet.enrol(&renewed);
    fleet.begin(&thief, &fleet.token()).refused(403, "evidence_refused", Some("42"));
    // Its own old key is not forbidden to its owner.
    fleet.enrol(&owner);
}

#[test]
fn of_two_sessions_with_one_x25519_key_only_the_first_ends_well() {
    let fleet = Fleet::new();
    let one = fleet.device(1);
    let mut two = fleet.device(2);
    two.x25519 = one.x25519.clone();
    let first: EnrolChallenge = fleet.begin(&one, &fleet.token()).parsed();
    let second: EnrolChallenge = fleet.begin(&two, &fleet.token()).parsed();
    assert_eq!(fleet.finish(&one, &first).status, 200);
    fleet.finish(&two, &second).refused(403, "evidence_refused", Some("42"));
}

#[test]
fn a_name_belongs_to_one_endorsement_key() {
    let fleet = Fleet::new();
    let named = || fleet.token_with(|t| t.name = Some("pump-7".parse().unwrap()));
    fleet.enrol_with(&fleet.device(1), &named());
    fleet.begin(&fleet.device(2), &named()).refused(403, "evidence_refused", Some("45"));
    assert_eq!(fleet.enrol_with(&fleet.device(1), &named()).epoch, 2);
}

#[test]
fn enrolling_again_bumps_the_epoch_and_ends_the_older_certificate() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let first = fleet.enrol(&device);
    let before = fleet.status_list(None);
    assert!(!before.revokes(&identity(&first)));
    let second = fleet.enrol(&device);
    assert_eq!((first.epoch, second.epoch), (1, 2));
    let after = fleet.status_list(Some(before.number));
    assert!(after.number > before.number);
    assert!(after.revokes(&identity(&first)));
    assert!(!after.revokes(&identity(&second)));
    assert_eq!(fleet.show(&first.device).state, State::Active);
}

#[test]
fn a_revoked_device_is_out_for_good() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let waiting = fleet.device(2);
    let grant = fleet.enrol(&device);
    let before = fleet.status_list(None);

    // One that is enrolling again at that moment does not slip through either.
    let challenge: EnrolChallenge = fleet.begin(&device, &fleet.token()).parsed();
    let view = fleet.revoke(&grant.device);
    assert_eq!(view.state, State::Revoked);
    assert_eq!(view.revoked.unwrap().reason, "stolen");
    fleet.finish(&device, &challenge).refused(403, "revoked", Some("46"));
    fleet.begin(&device, &fleet.token()).refused(403, "revoked", Some("46"));

    let after = fleet.status_list(Some(before.number));
    assert!(after.number > before.number);
    assert!(after.revoked_devices.contains(&grant.device));
    assert!(after.revokes(&identity(&grant)));

    // Revoking again changes nothing, and others are not concerned.
    fleet.revoke(&grant.device);
    assert_eq!(fleet.status_list(None).number, after.number);
    fleet.enrol(&waiting);
    let devices = &fleet.admin_get("/v1/status")["devices"];
    assert_eq!(devices, &json!({"active": 1, "revoked": 1, "cloned": 0}));
}

#[test]
fn the_evidence_is_kept_as_it_was_shown() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let evidence = fleet.admin_get(&format!("/v1/devices/{}/evidence", grant.device));
    let files = evidence["files"].as_array().unwrap();
    let names: Vec<&str> = files.iter().map(|f| f["name"].as_str().unwrap()).collect();
    let promised = "ak.pub certify.attest certify.sig csr.der dk.pub ek.der ek.pub ek_chain.pem \
                    pcrs.json quote.attest quote.sig result.jwt transcript.json";
    assert_eq!(names.join(" "), promised);
    let file = |name: &str| {
        let found = files.iter().find(|f| f["name"] == name).unwrap();
        let bytes: sealsum_attest::messages::Bytes =
            serde_json::from_value(found["bytes"].clone()).unwrap();
        bytes.0
    };
    assert_eq!(file("ek.der"), device.ek_certificate);
    assert_eq!(file("ek.pub"), device.ek_public.to_bytes());
    assert_eq!(file("result.jwt"), grant.result_jwt.into_bytes());
    let chain = String::from_utf8(file("ek_chain.pem")).unwrap();
    let chain = sealsum_attest::certificate::chain_from_pem(&chain).unwrap();
    assert_eq!(chain, [vec![device.ek_certificate.clone()], device.ek_chain.clone()].concat());
    let transcript = String::from_utf8(file("transcript.json")).unwrap();
    assert!(!transcript.contains("token"), "{transcript}");
}

#[test]
fn every_decision_is_in_the_log_with_its_evidence() {
    let fleet = Fleet::new();
    let size = || fleet.admin_get("/v1/status")["log"]["size"].as_u64().unwrap();
    let before = size();
    let token = fleet.token();
    assert_eq!(size(), before + 1);
    let grant = fleet.enrol_with(&fleet.device(1), &token);
    assert_eq!(size(), before + 3);
    assert_eq!(grant.log_index, before + 2);
    fleet.revoke(&grant.device);
    assert_eq!(size(), before + 5);
    fleet.begin(&fleet.device(2), "no token").refused(403, "token_invalid", Some("9"));
    assert_eq!(size(), before + 5);
}

#[test]
fn the_authority_renews_its_own_certificate_and_keeps_its_key() {
    let fleet = Fleet::new();
    let leaf = || fleet.authority.tls_identity().chain().unwrap().remove(0);
    let key = || Identity::parse(&leaf()).unwrap().public_key;
    let (before, key_before) = (leaf(), key());
    let trust = fleet.trust();
    let two_thirds = fleet.authority.own_renew_at();
    assert!(two_thirds < fleet.authority.own_not_after());
    fleet.authority.renew_own(two_thirds).unwrap();
    assert_ne!(leaf(), before);
    assert_eq!(key(), key_before);
    assert!(fleet.authority.own_renew_at() > two_thirds);
    assert_eq!(trust.verify(&[leaf()], two_thirds).unwrap().role, Role::Authority);
}

#[test]
fn bodies_that_are_not_the_message_are_refused() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let good = serde_json::to_value(device.request()).unwrap();
    let refuse = |body: &[u8]| {
        fleet.send("/v1/enroll", body).refused(400, "body_invalid", None);
    };
    let mut unknown = good.clone();
    unknown["colour"] = json!("blue");
    refuse(unknown.to_string().as_bytes());
    let text = good.to_string();
    let twice = text.replacen('{', r#"{"protocol":1,"#, 1);
    refuse(twice.as_bytes());
    refuse(&text.as_bytes()[..text.len() - 1]);
    refuse(format!("{text} x").as_bytes());
    refuse(b"");

    let mut large = good.clone();
    large["token"] = json!("x".repeat(64 * 1024));
    fleet.post("/v1/enroll", &large).refused(413, "body_too_large", None);

    let mut other_version = device.request();
    other_version.protocol = 2;
    other_version.token = Some(fleet.token());
    fleet.post("/v1/enroll", &other_version).refused(403, "evidence_refused", Some("53"));
}

#[test]
fn open_sessions_of_one_address_are_bounded() {
    let fleet = Fleet::with(|config| config.enrolment.sessions_per_address = 2);
    let token = fleet.token_with(|t| t.uses = 10);
    assert_eq!(fleet.begin(&fleet.device(1), &token).status, 200);
    assert_eq!(fleet.begin(&fleet.device(2), &token).status, 200);
    fleet.begin(&fleet.device(3), &token).refused(503, "busy", None);
    fleet.advance(122);
    assert_eq!(fleet.begin(&fleet.device(3), &token).status, 200);
}

#[test]
fn a_flood_from_one_address_is_cut() {
    let fleet = Fleet::new();
    let statuses: Vec<u16> = (0..150).map(|_| fleet.get("/v1/info").status).collect();
    assert!(statuses[..100].iter().all(|status| *status == 200));
    assert!(statuses[100..].contains(&429), "{statuses:?}");
}
