//! Aggregators get their certificate with a token of that role, and renew it with the old one.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use harness::{Answer, Fleet, client, client_with};
use p256::ecdsa::SigningKey;
use rcgen::CertificateParams;
use sealsum_attest::certificate::{Identity, Role, chain_from_pem};
use sealsum_attest::inclusion::{MembersProof, MembersRequest};
use sealsum_attest::messages::{
    AggregatorEnrolRequest, AggregatorGrant, AggregatorRenewRequest, Bytes,
};
use sealsum_attest::names::Names;
use sealsum_attest::tlog::note::NoteKey;
use sealsum_authority::store::RoleKind;

fn key(seed: u64) -> SigningKey {
    use p256::elliptic_curve::Generate as _;
    SigningKey::generate_from_rng(&mut common::rng(seed))
}

fn csr(key: &SigningKey) -> Bytes {
    Bytes(common::device::csr(key, &CertificateParams::default()))
}

fn request(token: String, key: &SigningKey) -> AggregatorEnrolRequest {
    AggregatorEnrolRequest {
        protocol: 1,
        token,
        name: "main".parse().unwrap(),
        csr: csr(key),
        dns_names: vec!["aggregator.example".into()],
        addresses: vec![[127, 0, 0, 1].into()],
    }
}

fn token(fleet: &Fleet) -> String {
    fleet.token_with(|t| t.role = RoleKind::Aggregator)
}

fn enrol(fleet: &Fleet, request: &AggregatorEnrolRequest) -> Answer {
    fleet.post("/v1/aggregator/enroll", request)
}

fn certificate(grant: &AggregatorGrant) -> Vec<u8> {
    chain_from_pem(&grant.certificate).unwrap().remove(0)
}

#[test]
fn an_aggregator_enrols_and_renews_with_the_same_names() {
    let fleet = Fleet::new();
    let key_one = key(1);
    let grant: AggregatorGrant = enrol(&fleet, &request(token(&fleet), &key_one)).parsed();
    let identity = fleet.trust().verify(&[certificate(&grant)], fleet.now()).unwrap();
    assert_eq!(identity.role, Role::Aggregator("main".parse().unwrap()));

    let key_two = key(2);
    let pem = common::device::key_pair(&key_one).serialize_pem();
    let client = client_with(&grant.certificate, &pem);
    let renewal = AggregatorRenewRequest { protocol: 1, csr: csr(&key_two) };
    let renewed: AggregatorGrant =
        fleet.post_as(&client, "/v1/aggregator/renew", &renewal).parsed();
    let next = Identity::parse(&certificate(&renewed)).unwrap();
    assert_ne!(next.public_key, identity.public_key);
    let names = Names::of_certificate(&certificate(&renewed)).unwrap();
    assert_eq!(names.dns_names, ["aggregator.example".to_owned()].into());
    assert_eq!(names.addresses, [[127, 0, 0, 1].into()].into());
}

#[test]
fn an_aggregator_proves_its_own_certificate_and_those_of_its_roster() {
    let fleet = Fleet::new();
    let vkey = std::fs::read_to_string(fleet.dir().join("log.vkey")).unwrap();
    let log_key = NoteKey::parse(vkey.trim_end()).unwrap();
    let grant: AggregatorGrant = enrol(&fleet, &request(token(&fleet), &key(1))).parsed();
    grant.log.verify(&certificate(&grant), &log_key).unwrap();

    let pem = common::device::key_pair(&key(1)).serialize_pem();
    let client = client_with(&grant.certificate, &pem);
    let roster: Vec<Vec<u8>> = [4, 2, 3]
        .iter()
        .map(|seed| {
            let device = fleet.enrol(&fleet.device(*seed));
            chain_from_pem(&device.certificate).unwrap().remove(0)
        })
        .collect();
    let asked = MembersRequest::about(&roster);
    let proof: MembersProof = fleet.post_as(&client, "/v1/log/members", &asked).parsed();
    proof.verify(&roster, &log_key).unwrap();
    assert_eq!(fleet.get_as(&client, "/v1/log/tile/entries/000.p/1").status, 200);

    let renewal = AggregatorRenewRequest { protocol: 1, csr: csr(&key(2)) };
    let renewed: AggregatorGrant =
        fleet.post_as(&client, "/v1/aggregator/renew", &renewal).parsed();
    renewed.log.verify(&certificate(&renewed), &log_key).unwrap();
}

#[test]
fn a_token_of_another_role_or_name_is_refused() {
    let fleet = Fleet::new();
    let refuse = |token: String| {
        enrol(&fleet, &request(token, &key(1))).refused(403, "token_invalid", None);
    };
    let device_token = fleet.token();
    let answer = enrol(&fleet, &request(device_token, &key(1)));
    answer.refused(403, "token_invalid", Some("9"));
    refuse(fleet.token_with(|t| {
        t.role = RoleKind::Aggregator;
        t.name = Some("other".parse().unwrap());
    }));
}

#[test]
fn a_token_serves_one_aggregator() {
    let fleet = Fleet::new();
    let token = token(&fleet);
    assert_eq!(enrol(&fleet, &request(token.clone(), &key(1))).status, 200);
    enrol(&fleet, &request(token, &key(2))).refused(403, "token_invalid", Some("9"));
}

#[test]
fn a_second_enrolment_under_a_name_ends_the_first() {
    let fleet = Fleet::new();
    let first: AggregatorGrant = enrol(&fleet, &request(token(&fleet), &key(1))).parsed();
    let number = fleet.status_list(None).number;
    let second: AggregatorGrant = enrol(&fleet, &request(token(&fleet), &key(2))).parsed();
    let list = fleet.status_list(Some(number));
    assert!(list.number > number);
    assert!(list.revokes(&Identity::parse(&certificate(&first)).unwrap()));
    assert!(!list.revokes(&Identity::parse(&certificate(&second)).unwrap()));
    let pem = common::device::key_pair(&key(1)).serialize_pem();
    let renewal = AggregatorRenewRequest { protocol: 1, csr: csr(&key(1)) };
    fleet
        .post_as(&client_with(&first.certificate, &pem), "/v1/aggregator/renew", &renewal)
        .refused(403, "revoked", Some("46"));
}

#[test]
fn a_device_does_not_become_an_aggregator() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let renewal = AggregatorRenewRequest { protocol: 1, csr: csr(&key(1)) };
    let answer = fleet.post_as(&client(&device, &grant), "/v1/aggregator/renew", &renewal);
    answer.refused(403, "refused", None);
}

#[test]
fn names_and_requests_that_fit_no_certificate_are_refused() {
    let fleet = Fleet::new();
    let good = || request(token(&fleet), &key(1));
    let mut bad = good();
    bad.dns_names = vec!["no spaces allowed".into()];
    enrol(&fleet, &bad).refused(400, "body_invalid", None);
    let mut bad = good();
    (bad.dns_names, bad.addresses) = (vec![], vec![]);
    enrol(&fleet, &bad).refused(400, "body_invalid", None);
    let mut bad = good();
    bad.dns_names = (0..20).map(|n| format!("a{n}.example")).collect();
    enrol(&fleet, &bad).refused(400, "body_invalid", None);
    let mut bad = good();
    let last = bad.csr.0.len() - 1;
    bad.csr.0[last] ^= 1;
    enrol(&fleet, &bad).refused(403, "evidence_refused", Some("19"));
    let mut bad = good();
    bad.protocol = 2;
    enrol(&fleet, &bad).refused(400, "body_invalid", None);
}
