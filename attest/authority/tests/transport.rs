//! What the connection itself refuses: certificates, keys, sessions.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod harness;

use std::net::Ipv4Addr;

use common::Device;
use common::device::key_pair;
use common::fleet::x25519_extension;
use harness::raw::{RawClient, config};
use harness::{Fleet, client_with};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::HandshakeKind;
use sealsum_attest::certificate::Role;
use sealsum_attest::messages::EnrolGrant;

const CHALLENGE: &[u8] = br#"{"step":"challenge","protocol":1}"#;

/// A certificate of this device by the fleet's own CA, valid for these days from today.
fn certificate(fleet: &Fleet, device: &Device, grant: &EnrolGrant, days: [i64; 2]) -> String {
    let read = |name: &str| std::fs::read_to_string(fleet.dir().join(name)).unwrap();
    let key = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap();
    let day = |days: i64| {
        let then = fleet.now() + jiff::SignedDuration::from_hours(24 * days);
        let date = then.to_string();
        let mut parts = date.split(['-', 'T']).map(|part| part.parse::<i32>().unwrap_or(0));
        let mut next = || parts.next().unwrap();
        rcgen::date_time_ymd(next(), next() as u8, next() as u8)
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    (params.not_before, params.not_after) = (day(days[0]), day(days[1]));
    let uri = Role::Device(grant.device).uri(&grant.fleet);
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.custom_extensions = vec![x25519_extension(&device.x25519_public())];
    params.signed_by(&key_pair(&device.dk), &issuer).unwrap().pem()
}

#[test]
fn certificates_outside_their_validity_do_not_shake_hands() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let key = key_pair(&device.dk).serialize_pem();
    let with = |days| client_with(&certificate(&fleet, &device, &grant, days), &key);
    fleet.gets_no_answer_as(&with([-9, -2]), "/v1/renew");
    fleet.gets_no_answer_as(&with([2, 9]), "/v1/renew");
    // The same in its time passes the handshake, and then is none that the authority issued.
    let unknown = fleet.renewal_challenge(&with([-2, 2]));
    unknown.refused(403, "refused", None);
}

#[test]
fn a_certificate_without_its_key_does_not_shake_hands() {
    let fleet = Fleet::new();
    let (device, thief) = (fleet.device(1), fleet.device(2));
    let grant = fleet.enrol(&device);
    let attempt = |key: &Device| {
        let key = key_pair(&key.dk).serialize_pem();
        let config = config(&fleet.ca(), Some((&grant.certificate, &key)));
        RawClient::connect(Ipv4Addr::LOCALHOST.into(), fleet.address(), &config)
            .and_then(|mut client| client.post("/v1/renew", CHALLENGE))
    };
    assert_eq!(attempt(&device).unwrap().0, 200);
    assert!(attempt(&thief).is_err());
}

#[test]
fn no_session_is_resumed_and_revocation_holds_on_an_open_connection() {
    let fleet = Fleet::new();
    let device = fleet.device(1);
    let grant = fleet.enrol(&device);
    let key = key_pair(&device.dk).serialize_pem();
    let config = config(&fleet.ca(), Some((&grant.certificate, &key)));
    let connect =
        || RawClient::connect(Ipv4Addr::LOCALHOST.into(), fleet.address(), &config).unwrap();
    let mut open = connect();
    assert_eq!(open.post("/v1/renew", CHALLENGE).unwrap().0, 200);
    fleet.revoke(&grant.device);
    for mut client in [open, connect()] {
        let (status, body) = client.post("/v1/renew", CHALLENGE).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(status == 403 && body.contains(r#""code":"revoked""#), "{status} {body}");
        assert_eq!(client.handshake(), Some(HandshakeKind::Full));
    }
}
