//! What the authority issues and how others check it: certificates, status lists and results.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::device::{csr, fixed_signature};
use common::fleet::{TestFleet, x25519_extension};
use common::{World, authority, now};
use jiff::{SignedDuration, Timestamp};
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use sealsum_attest::certificate::{
    CertificateError, FleetCa, Identity, Role, RoleKind, X25519_EXTENSION, X25519_EXTENSION_ARCS,
    parse_uri, x25519_uri,
};
use sealsum_attest::csr::requested_names;
use sealsum_attest::ids::{DeviceId, Fleet};
use sealsum_attest::names::{Names, NamesError};
use sealsum_attest::result::{Claims, ResultError, Status};
use sealsum_attest::status::{MAX_AGE_S, MAX_SKEW_S, StatusError, StatusList};

fn device_role() -> Role {
    Role::Device(DeviceId::from_bytes([0xd1; 32]))
}

fn aggregator_role() -> Role {
    Role::Aggregator("sums".parse().unwrap())
}

fn key() -> SigningKey {
    SigningKey::generate_from_rng(&mut common::rng(5))
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

// ---- certificates ----

#[test]
fn each_role_is_read_and_verified() {
    let fleet = TestFleet::new("demo");
    for role in [device_role(), aggregator_role(), Role::Authority] {
        let key = key();
        let der = fleet.certify_key(&fleet.params(&role), &key);
        let identity = fleet.trust().verify(&[&der], now()).unwrap();
        assert_eq!(identity, Identity::parse(&der).unwrap());
        assert_eq!(identity.role, role);
        assert_eq!(identity.fleet, fleet.name);
        let is_device = matches!(role, Role::Device(_));
        assert_eq!(identity.x25519, is_device.then_some([0x25; 32]));
        assert_eq!(identity.not_before, "2026-11-24T00:00:00Z".parse().unwrap());
        assert_eq!(identity.not_after, "2026-11-25T00:00:00Z".parse().unwrap());
        assert_eq!(identity.device().is_ok(), is_device);
        assert_eq!(identity.authority().is_ok(), role == Role::Authority);
        let statement = b"a statement of the protocol";
        let signature = fixed_signature(&key, statement);
        assert_eq!(identity.public_key.verify(statement, &signature), Ok(()));
        let refused = Err(CertificateError::Signature);
        assert_eq!(identity.public_key.verify(b"another statement", &signature), refused);
        assert_eq!(identity.public_key.verify(statement, &signature[..63]), refused);
    }
}

#[test]
fn uris_are_read_only_as_written() {
    let fleet: Fleet = "demo".parse().unwrap();
    for role in [device_role(), aggregator_role(), Role::Authority] {
        assert_eq!(parse_uri(&role.uri(&fleet)), Some((role, fleet.clone())));
    }
    let id = "d1".repeat(32);
    for bad in [
        "",
        "spiffe://demo",
        "spiffe://demo/",
        "spiffe://demo/authority/",
        "spiffe://demo/authority/x",
        "spiffe://Demo/authority",
        "spiffe:///authority",
        "https://demo/authority",
        "spiffe://demo/device",
        "spiffe://demo/device/",
        "spiffe://demo/owner/x",
        &format!("spiffe://demo/device/{}", id.to_uppercase()),
        &format!("spiffe://demo/device/{id}/"),
        &format!("spiffe://demo/device/{id}?x"),
        "spiffe://demo/aggregator/",
        "spiffe://demo/aggregator/A",
    ] {
        assert_eq!(parse_uri(bad), None, "{bad}");
    }
}

/// A certificate of the bent parameters, read without trust.
fn parsed(role: &Role, bend: impl FnOnce(&mut CertificateParams)) -> Result<(), CertificateError> {
    let fleet = TestFleet::new("demo");
    let mut params = fleet.params(role);
    bend(&mut params);
    Identity::parse(&fleet.certify_key(&params, &key())).map(|_| ())
}

#[test]
fn other_profiles_are_refused() {
    let device = device_role();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let no_role = Err(CertificateError::NoRole);
    assert_eq!(parsed(&device, |p| p.subject_alt_names.clear()), no_role);
    assert_eq!(parsed(&device, |p| p.subject_alt_names = vec![uri("urn:x")]), no_role);
    let second = uri("spiffe://demo/authority");
    assert_eq!(parsed(&device, |p| p.subject_alt_names.push(second)), no_role);
    let x25519 = Err(CertificateError::X25519);
    assert_eq!(parsed(&device, |p| p.custom_extensions.clear()), x25519);
    let extra = |p: &mut CertificateParams| p.custom_extensions = vec![x25519_extension(&[1; 32])];
    assert_eq!(parsed(&Role::Authority, extra), x25519);
    for value in [&[][..], &[0x04, 0x1f], &[1; 34], &[0x04, 0x20]] {
        let bent = rcgen::CustomExtension::from_oid_content(&X25519_EXTENSION_ARCS, value.to_vec());
        assert_eq!(parsed(&device, |p| p.custom_extensions = vec![bent]), x25519);
    }
    let dns = SanType::DnsName("host.example".try_into().unwrap());
    assert_eq!(parsed(&aggregator_role(), |p| p.subject_alt_names.push(dns)), Ok(()));
    assert!(matches!(Identity::parse(b"junk"), Err(CertificateError::Malformed(_))));
    // Found by fuzzing: all of a certificate of this fleet, but for its version.
    let first_version =
        include_bytes!("../../tests/fuzz/corpus/certificate/extensions-in-version-1");
    let refused = Identity::parse(first_version).unwrap_err();
    assert!(refused.to_string().contains("not version 3"), "{refused}");
    // And one with a default that DER leaves out.
    let spelt_out =
        include_bytes!("../../tests/fuzz/corpus/certificate/critical-false-written-out");
    let refused = Identity::parse(spelt_out).unwrap_err();
    assert!(refused.to_string().contains("not in DER"), "{refused}");
}

#[test]
fn an_x25519_key_may_be_a_name_instead_of_an_extension() {
    let device = device_role();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let name = x25519_uri(&[0xab; 32]);
    let only = |p: &mut CertificateParams, names: &[&str]| {
        p.custom_extensions.clear();
        p.subject_alt_names.extend(names.iter().map(|name| uri(name)));
    };
    let fleet = TestFleet::new("demo");
    let mut params = fleet.params(&device);
    only(&mut params, &[&name]);
    let der = fleet.certify_key(&params, &key());
    let identity = fleet.trust().verify(&[&der], now()).unwrap();
    assert_eq!((identity.role, identity.x25519), (device.clone(), Some([0xab; 32])));
    let expected = Names::of_role(&device, &"demo".parse().unwrap(), Some(&[0xab; 32]));
    assert_eq!(Names::of_certificate(&der), Ok(expected));

    let x25519 = Err(CertificateError::X25519);
    assert_eq!(parsed(&device, |p| only(p, &[&name, &name])), x25519);
    assert_eq!(parsed(&device, |p| only(p, &[&name, &x25519_uri(&[1; 32])])), x25519);
    assert_eq!(parsed(&device, |p| p.subject_alt_names.push(uri(&name))), x25519);
    assert_eq!(parsed(&Role::Authority, |p| p.subject_alt_names.push(uri(&name))), x25519);
    let bent = [&name[..70], "x25519:", &name.to_uppercase().replace("X25519", "x25519")];
    for bad in bent.into_iter().chain([&*format!("{name}0"), &*format!("{name}/")]) {
        assert_eq!(parsed(&device, |p| only(p, &[bad])), x25519, "{bad}");
    }
}

#[test]
fn the_names_of_a_request_are_read_once_and_of_known_kinds() {
    let role = aggregator_role();
    let dns = SanType::DnsName("host.example".try_into().unwrap());
    let address = SanType::IpAddress("2001:db8::1".parse().unwrap());
    let uri = SanType::URI(role.uri(&"demo".parse().unwrap()).try_into().unwrap());
    let request = |names: Vec<SanType>| {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        csr(&key(), &params)
    };
    let names = requested_names(&request(vec![dns, address, uri])).unwrap();
    let expected = Names {
        dns_names: ["host.example".to_owned()].into(),
        addresses: ["2001:db8::1".parse().unwrap()].into(),
        ..Names::of_role(&role, &"demo".parse().unwrap(), None)
    };
    assert_eq!(names, expected);
    assert_eq!(requested_names(&request(vec![])), Ok(Names::default()));
    let mail = SanType::Rfc822Name("a@example".try_into().unwrap());
    assert_eq!(requested_names(&request(vec![mail])), Err(NamesError::Kind));
    assert!(matches!(requested_names(b"junk"), Err(NamesError::Malformed(_))));
}

#[test]
fn the_two_forms_of_the_extension_agree() {
    let arcs: Vec<String> = X25519_EXTENSION_ARCS.iter().map(u64::to_string).collect();
    assert_eq!(X25519_EXTENSION.to_string(), arcs.join("."));
}

#[test]
fn only_the_pinned_authority_counts() {
    let fleet = TestFleet::new("demo");
    let der = fleet.certify_key(&fleet.params(&device_role()), &key());
    let at = |time: &str| fleet.trust().verify(&[&der], time.parse().unwrap()).map(|_| ());
    assert_eq!(at("2026-11-24T00:00:00Z"), Ok(()));
    assert_eq!(at("2026-11-25T00:00:01Z"), Err(CertificateError::Expired));
    assert!(matches!(at("2026-11-23T23:59:59Z"), Err(CertificateError::Untrusted(_))));
    let stranger = TestFleet::new("demo");
    let untrusted = |result| matches!(result, Err(CertificateError::Untrusted(_)));
    assert!(untrusted(stranger.trust().verify(&[&der], now()).map(|_| ())));
    let other = fleet.trust().for_fleet("other".parse().unwrap());
    let expected = Err(CertificateError::OtherFleet(fleet.name.clone()));
    assert_eq!(other.verify(&[&der], now()).map(|_| ()), expected);
    assert!(fleet.trust().for_fleet(fleet.name.clone()).verify(&[&der], now()).is_ok());
    let empty: [&[u8]; 0] = [];
    assert!(fleet.trust().verify(&empty, now()).is_err());
    assert!(untrusted(fleet.trust().verify(&[&der; 5], now()).map(|_| ())));
    assert!(FleetCa::from_der(&[]).is_err());
    assert!(FleetCa::from_pem("no certificate").is_err());
    let mut bent = der.clone();
    *bent.last_mut().unwrap() ^= 1;
    assert!(untrusted(fleet.trust().verify(&[&bent], now()).map(|_| ())));
}

#[test]
fn a_device_is_no_server_and_a_server_no_device() {
    let fleet = TestFleet::new("demo");
    for (role, usage) in [
        (device_role(), ExtendedKeyUsagePurpose::ServerAuth),
        (aggregator_role(), ExtendedKeyUsagePurpose::ClientAuth),
        (Role::Authority, ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut params = fleet.params(&role);
        params.extended_key_usages = vec![usage];
        let der = fleet.certify_key(&params, &key());
        let refused = fleet.trust().verify(&[&der], now());
        assert!(matches!(refused, Err(CertificateError::Untrusted(_))), "{role:?}");
    }
}

// ---- status lists ----

fn list(fleet: &TestFleet, number: u64) -> StatusList {
    StatusList {
        fleet: fleet.name.clone(),
        number,
        issued_at: now(),
        next_update: now() + seconds(60),
        revoked_devices: [DeviceId::from_bytes([0xd1; 32])].into(),
        revoked_serials: ["0badc0de".to_owned()].into(),
    }
}

fn signed(fleet: &TestFleet, list: StatusList) -> Vec<u8> {
    let sign = |bytes: &[u8]| Ok::<_, ()>(fixed_signature(&fleet.authority_key, bytes));
    list.sign(std::slice::from_ref(&fleet.authority), sign).unwrap()
}

#[test]
fn a_status_list_is_believed_while_it_is_fresh_and_does_not_go_back() {
    let fleet = TestFleet::new("demo");
    let encoded = signed(&fleet, list(&fleet, 7));
    let verify = |at, last| StatusList::verify(&encoded, &fleet.trust(), at, last);
    for last in [None, Some(6), Some(7)] {
        assert_eq!(verify(now(), last), Ok(list(&fleet, 7)));
    }
    assert_eq!(verify(now(), Some(8)), Err(StatusError::WentBack { number: 7, last: 8 }));
    assert!(verify(now() + seconds(MAX_AGE_S), None).is_ok());
    let late = verify(now() + seconds(MAX_AGE_S + 1), None);
    assert_eq!(late, Err(StatusError::TooOld(now())));
    assert!(verify(now() - seconds(MAX_SKEW_S), None).is_ok());
    let early = verify(now() - seconds(MAX_SKEW_S + 1), None);
    assert_eq!(early, Err(StatusError::FromTheFuture(now())));
}

#[test]
fn a_status_list_names_devices_and_serials() {
    let fleet = TestFleet::new("demo");
    let identity =
        |role| Identity::parse(&fleet.certify_key(&fleet.params(&role), &key())).unwrap();
    let list = list(&fleet, 1);
    assert!(list.revokes(&identity(device_role())));
    let mut other = identity(Role::Device(DeviceId::from_bytes([0xd2; 32])));
    assert!(!list.revokes(&other));
    other.serial = vec![0x0b, 0xad, 0xc0, 0xde];
    assert!(list.revokes(&other));
    assert!(!list.revokes(&identity(aggregator_role())));
}

#[test]
fn a_status_list_by_anybody_else_is_refused() {
    let fleet = TestFleet::new("demo");
    let verify = |bytes: &[u8]| StatusList::verify(bytes, &fleet.trust(), now(), None);
    // An enrolled device, with its own good certificate.
    let device = key();
    let certificate = fleet.certify_key(&fleet.params(&device_role()), &device);
    let forged = list(&fleet, 9)
        .sign(&[certificate], |bytes| Ok::<_, ()>(fixed_signature(&device, bytes)))
        .unwrap();
    let role = StatusError::Authority(CertificateError::OtherRole(RoleKind::Device));
    assert_eq!(verify(&forged), Err(role));
    // The authority's certificate, but another key.
    let forged = list(&fleet, 9)
        .sign(std::slice::from_ref(&fleet.authority), |bytes| {
            Ok::<_, ()>(fixed_signature(&device, bytes))
        })
        .unwrap();
    assert_eq!(verify(&forged), Err(StatusError::Authority(CertificateError::Signature)));
    // Signed by the authority for another purpose.
    let forged = list(&fleet, 9).sign(std::slice::from_ref(&fleet.authority), |bytes| {
        Ok::<_, ()>(fixed_signature(&fleet.authority_key, &bytes[1..]))
    });
    assert!(matches!(verify(&forged.unwrap()), Err(StatusError::Authority(_))));
    // Another fleet under the same authority.
    let mut other = list(&fleet, 9);
    other.fleet = "other".parse().unwrap();
    let expected = Err(StatusError::OtherFleet(other.fleet.clone()));
    assert_eq!(verify(&signed(&fleet, other)), expected);
    let stranger = TestFleet::new("demo");
    assert!(matches!(
        verify(&signed(&stranger, list(&stranger, 9))),
        Err(StatusError::Authority(_))
    ));
}

#[test]
fn every_bit_flip_of_a_status_list_is_refused() {
    let fleet = TestFleet::new("demo");
    let encoded = signed(&fleet, list(&fleet, 7));
    let good = list(&fleet, 7);
    for bit in 0..encoded.len() * 8 {
        let mut bent = encoded.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let verified = StatusList::verify(&bent, &fleet.trust(), now(), None);
        assert!(verified.is_err() || verified.as_ref() == Ok(&good), "bit {bit}: {verified:?}");
    }
    for length in 0..encoded.len() {
        assert!(StatusList::verify(&encoded[..length], &fleet.trust(), now(), None).is_err());
    }
}

// ---- attestation results ----

fn claims(fleet: &TestFleet) -> Claims {
    let mut world = World::new(1);
    let session = world.session();
    let answer = world.answer(&session);
    let verified = world.judge(session, &answer).unwrap();
    let issuer = Role::Authority.uri(&fleet.name);
    assert_eq!(issuer, authority().id);
    Claims::about(&verified, &[0xe5; 32], &fleet.name, issuer, 3, now() + seconds(3600))
}

fn token(fleet: &TestFleet, claims: &Claims) -> String {
    let sign = |bytes: &[u8]| Ok::<_, ()>(fixed_signature(&fleet.authority_key, bytes));
    claims.sign(std::slice::from_ref(&fleet.authority), sign).unwrap()
}

fn verify(fleet: &TestFleet, token: &str, at: Timestamp) -> Result<Claims, ResultError> {
    Claims::verify(token, &fleet.trust(), &fleet.name, at)
}

#[test]
fn a_result_says_what_was_judged() {
    let fleet = TestFleet::new("demo");
    let claims = claims(&fleet);
    assert_eq!(claims.submods.tpm.status, Status::Warning, "no baseline is known");
    assert_eq!(claims.submods.tpm.vector.hardware, 2);
    assert_eq!(claims.submods.tpm.vector.executables, 33);
    assert_eq!(claims.submods.tpm.epoch, 3);
    let token = token(&fleet, &claims);
    assert_eq!(verify(&fleet, &token, now()), Ok(claims.clone()));
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    assert!(String::from_utf8(header).unwrap().starts_with(r#"{"alg":"ES256","typ":"ear+jwt""#));
    assert_eq!(verify(&fleet, &token, now() + seconds(3601)), Err(ResultError::Expired));
    assert_eq!(verify(&fleet, &token, now() - seconds(61)), Err(ResultError::FromTheFuture));
}

#[test]
fn c54_no_algorithm_other_audience_edited_vector() {
    let fleet = TestFleet::new("demo");
    let good = token(&fleet, &claims(&fleet));
    let parts: Vec<&str> = good.split('.').collect();
    let edit = |part: &str, from: &str, to: &str| {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        URL_SAFE_NO_PAD.encode(text.replace(from, to))
    };
    let header = edit(parts[0], "ES256", "none");
    for signature in ["", parts[2]] {
        let forged = format!("{header}.{}.{signature}", parts[1]);
        assert_eq!(verify(&fleet, &forged, now()), Err(ResultError::Algorithm("none".into())));
    }
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    let signature = Err(ResultError::Authority(CertificateError::Signature));
    assert_eq!(verify(&fleet, &unsigned, now()), signature);
    let vector = edit(parts[1], r#""hardware":2"#, r#""hardware":3"#);
    assert_eq!(verify(&fleet, &format!("{}.{vector}.{}", parts[0], parts[2]), now()), signature);

    let mut other = claims(&fleet);
    other.aud = "spiffe://other".into();
    let expected = Err(ResultError::Audience("spiffe://other".into()));
    assert_eq!(verify(&fleet, &token(&fleet, &other), now()), expected);
    let mut other = claims(&fleet);
    other.iss = "spiffe://demo/aggregator/x".into();
    let refused = verify(&fleet, &token(&fleet, &other), now());
    assert!(matches!(refused, Err(ResultError::Issuer(_))));
    for cut in ["", "a.b", "a.b.c", &good[..good.len() - 1], &parts[..2].join(".")] {
        assert!(verify(&fleet, cut, now()).is_err(), "{cut}");
    }
}

#[test]
fn a_result_by_a_device_is_refused() {
    let fleet = TestFleet::new("demo");
    let device = key();
    let certificate = fleet.certify_key(&fleet.params(&device_role()), &device);
    let sign = |bytes: &[u8]| Ok::<_, ()>(fixed_signature(&device, bytes));
    let forged = claims(&fleet).sign(&[certificate], sign).unwrap();
    let expected = Err(ResultError::Authority(CertificateError::OtherRole(RoleKind::Device)));
    assert_eq!(verify(&fleet, &forged, now()), expected);
    let chainless = claims(&fleet).sign(&[], sign).unwrap();
    assert!(matches!(verify(&fleet, &chainless, now()), Err(ResultError::Authority(_))));
}
