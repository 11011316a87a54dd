//! The authority's log as devices, aggregators and strangers see it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use common::Device;
use harness::{Fleet, client, identity};
use sealsum_attest::certificate::chain_from_pem;
use sealsum_attest::hex;
use sealsum_attest::inclusion::{
    Consistency, Inclusion, InclusionError, MEMBERS_BODY_MAX, MEMBERS_MAX, MembersProof,
    MembersRequest,
};
use sealsum_attest::messages::{EnrolGrant, RenewChallenge};
use sealsum_attest::tlog::audit::audit;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle::verify_consistency;
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::tiles::Tile;
use serde_json::json;
use ureq::tls::ClientCert;

/// The key that the operator hands out.
fn key(fleet: &Fleet) -> NoteKey {
    let vkey = std::fs::read_to_string(fleet.dir().join("log.vkey")).unwrap();
    NoteKey::parse(vkey.trim_end()).unwrap()
}

fn der(grant: &EnrolGrant) -> Vec<u8> {
    chain_from_pem(&grant.certificate).unwrap().remove(0)
}

fn checkpoint(fleet: &Fleet) -> SignedCheckpoint {
    let answer = fleet.get("/v1/log/checkpoint");
    assert_eq!(answer.status, 200);
    SignedCheckpoint::verify(&answer.body, &key(fleet)).unwrap()
}

fn devices(fleet: &Fleet, count: u64) -> Vec<(Device, EnrolGrant)> {
    (1..=count)
        .map(|seed| {
            let device = fleet.device(seed);
            let grant = fleet.enrol(&device);
            (device, grant)
        })
        .collect()
}

#[test]
fn a_grant_proves_that_its_certificate_is_logged() {
    let fleet = Fleet::new();
    let enrolled = devices(&fleet, 2);
    let [(device, grant), (_, other)] = &enrolled[..] else { panic!() };
    let key = key(&fleet);
    assert_eq!((grant.log.vkey.as_str(), key.name()), (&*key.to_string(), "demo/authority-log"));
    assert_eq!(grant.log.index, grant.log_index);
    let first = grant.log.verify(&der(grant), &key).unwrap();
    for bent in [
        Inclusion { index: other.log.index, ..grant.log.clone() },
        Inclusion { ts: grant.log.ts + 1, ..grant.log.clone() },
        Inclusion { proof: other.log.proof.clone(), ..grant.log.clone() },
        Inclusion { proof: Vec::new(), ..grant.log.clone() },
    ] {
        assert!(
            matches!(bent.verify(&der(grant), &key), Err(InclusionError::Proof(_))),
            "{bent:?}"
        );
    }
    assert!(matches!(grant.log.verify(&der(other), &key), Err(InclusionError::Proof(_))));

    let client = client(device, grant);
    let challenge: RenewChallenge = fleet.renewal_challenge(&client).parsed();
    let renewed: EnrolGrant = fleet.renewal_answer(&client, device, grant, &challenge).parsed();
    let second = renewed.log.verify(&der(&renewed), &key).unwrap();
    let (from, to) = (first.head().size, second.head().size);
    let grown: Consistency =
        fleet.get(&format!("/v1/log/consistency?from={from}&to={to}")).parsed();
    assert_eq!(verify_consistency(first.head(), second.head(), &grown.proof), Ok(()));
}

#[test]
fn strangers_see_the_head_and_nothing_else() {
    let fleet = Fleet::new();
    let size = checkpoint(&fleet).head().size;
    assert_eq!(fleet.admin_get("/v1/status")["log"]["size"], size);
    fleet.get("/v1/log/tile/entries/000.p/1").refused(403, "refused", None);
    for operators in ["/v1/log/vkey", "/v1/log/proof/0"] {
        assert_eq!(fleet.get(operators).status, 404);
    }
    let request = MembersRequest { certificates: vec!["00".repeat(32)] };
    fleet.post("/v1/log/members", &request).refused(403, "refused", None);
    let beyond = format!("/v1/log/consistency?from=1&to={}", size + 1);
    fleet.get(&beyond).refused(404, "not_found", None);
    fleet.get("/v1/log/consistency?from=3&to=2").refused(404, "not_found", None);
    fleet.get("/v1/log/consistency?from=-1&to=2").refused(400, "body_invalid", None);
    fleet.get("/v1/log/consistency").refused(400, "body_invalid", None);
}

#[test]
fn a_member_reads_the_whole_log() {
    let fleet = Fleet::new();
    let (device, grant) = devices(&fleet, 1).remove(0);
    let client = client(&device, &grant);
    let checkpoint = checkpoint(&fleet);
    let mut issued = Vec::new();
    let fetch = |tile: &Tile| {
        let answer = fleet.get_as(&client, &format!("/v1/log/{tile}"));
        if answer.status == 200 { Ok(answer.body) } else { Err(answer.status) }
    };
    audit(checkpoint.head(), fetch, |_, entry| {
        let entry = sealsum_attest::events::Entry::parse(entry).unwrap();
        if entry.kind == "certificate.issued" {
            issued.push(entry.fields["serial"].as_str().unwrap().to_owned());
        }
    })
    .unwrap();
    // The authority's own, and the device's.
    assert_eq!((issued.len(), &issued[1]), (2, &hex::encode(&identity(&grant).serial)));
    for path in ["entries/000", "0/001.p/1", "entries/../../status", "9/000", "0/000.p/0"] {
        let answer = fleet.get_as(&client, &format!("/v1/log/tile/{path}"));
        answer.refused(404, "not_found", None);
    }
}

#[test]
fn who_is_no_member_any_more_reads_nothing() {
    let fleet = Fleet::new();
    let enrolled = devices(&fleet, 2);
    let [(revoked, revoked_grant), (expired, expired_grant)] = &enrolled[..] else { panic!() };
    fleet.revoke(&revoked_grant.device);
    let request = MembersRequest::about(&[der(revoked_grant)]);
    let demand = |client: &ClientCert, code: &str, check: Option<&str>| {
        fleet.get_as(client, "/v1/log/tile/entries/000.p/1").refused(403, code, check);
        fleet.post_as(client, "/v1/log/members", &request).refused(403, code, check);
    };
    demand(&client(revoked, revoked_grant), "revoked", Some("46"));
    fleet.advance(86_401);
    demand(&client(expired, expired_grant), "certificate_expired", None);
}

#[test]
fn one_proof_covers_many_members() {
    let fleet = Fleet::new();
    let enrolled = devices(&fleet, 9);
    let client = client(&enrolled[4].0, &enrolled[4].1);
    let ask = |request: &MembersRequest| fleet.post_as(&client, "/v1/log/members", request);
    let mut certificates: Vec<Vec<u8>> =
        [7, 2, 3, 8, 0].iter().map(|number| der(&enrolled[*number].1)).collect();
    let proof: MembersProof = ask(&MembersRequest::about(&certificates)).parsed();
    let head = *proof.verify(&certificates, &key(&fleet)).unwrap().head();
    assert_eq!(head, *checkpoint(&fleet).head());

    // Another order, another certificate, one less: not what was proved.
    certificates.swap(0, 1);
    assert!(proof.verify(&certificates, &key(&fleet)).is_err());
    certificates.swap(0, 1);
    let kept = std::mem::replace(&mut certificates[0], der(&enrolled[5].1));
    assert!(proof.verify(&certificates, &key(&fleet)).is_err());
    certificates[0] = kept;
    assert!(proof.verify(&certificates[1..], &key(&fleet)).is_err());
    assert!(proof.verify(&certificates, &key(&fleet)).is_ok());
}

#[test]
fn what_was_not_issued_here_is_refused_by_name() {
    let fleet = Fleet::new();
    let (device, grant) = devices(&fleet, 1).remove(0);
    let client = client(&device, &grant);
    let known = MembersRequest::about(&[der(&grant)]).certificates.remove(0);
    let stranger = "ab".repeat(32);
    let ask = |certificates: Vec<String>| {
        fleet.post_as(&client, "/v1/log/members", &MembersRequest { certificates })
    };
    let answer = ask(vec![known.clone(), stranger.clone()]);
    answer.refused(404, "not_found", None);
    assert!(answer.json()["message"].as_str().unwrap().contains(&stranger));
    ask(vec![]).refused(400, "body_invalid", None);
    ask(vec![known.clone(), known.clone()]).refused(400, "body_invalid", None);
    ask(vec![known.to_uppercase()]).refused(400, "body_invalid", None);
    let many = |count: usize| (0..count).map(|number| format!("{number:064x}")).collect();
    ask(many(MEMBERS_MAX)).refused(404, "not_found", None);
    ask(many(MEMBERS_MAX + 1)).refused(400, "body_invalid", None);
    let large = json!({ "certificates": ["0".repeat(MEMBERS_BODY_MAX)] });
    fleet.post_as(&client, "/v1/log/members", &large).refused(413, "body_too_large", None);
}
