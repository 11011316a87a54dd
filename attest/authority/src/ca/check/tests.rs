use super::*;
use crate::ca::Leaf;
use rcgen::{
    BasicConstraints as Constraints, CertificateParams, CustomExtension, DistinguishedName,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use sealsum_attest::certificate::{PublicKey, x25519_uri};
use sealsum_attest::ids::DeviceId;
use std::time::Duration;

const LIFETIME_S: u64 = 3_600;

/// Somebody else's CA, and a device that asks it for a certificate.
struct World {
    issuer: Issuer<'static, KeyPair>,
    ca: Vec<u8>,
    key: KeyPair,
    leaf: Leaf,
    fleet: Fleet,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(Constraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap().der().to_vec();
        let key = KeyPair::generate().unwrap();
        let leaf = Leaf {
            role: Role::Device(DeviceId::from_ek_public(b"ek")),
            public_key: PublicKey::from_sec1(key.public_key_raw()).unwrap(),
            x25519: Some([9; 32]),
            dns_names: Vec::new(),
            addresses: Vec::new(),
        };
        let issuer = Issuer::new(params, ca_key);
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        Self { issuer, ca, key, leaf, fleet: "demo".parse().unwrap(), now }
    }

    /// What Vault makes of a good request.
    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match self.leaf.role {
            Role::Device(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
            _ => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        let names = self.leaf.names(&self.fleet);
        params.subject_alt_names = names.uris.iter().map(|uri| uri_name(uri)).collect();
        for dns in names.dns_names {
            params.subject_alt_names.push(SanType::DnsName(dns.try_into().unwrap()));
        }
        let second = u64::try_from(self.now.as_second()).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(second - 300);
        params.not_after = epoch + Duration::from_secs(second - 300 + LIFETIME_S);
        params
    }

    fn judge(&self, bend: impl FnOnce(&mut CertificateParams)) -> Result<Issued, String> {
        let mut params = self.params();
        bend(&mut params);
        self.judge_der(params.signed_by(&self.key, &self.issuer).unwrap().der())
    }

    fn judge_der(&self, der: &[u8]) -> Result<Issued, String> {
        let trust = FleetCa::from_der(std::slice::from_ref(&self.ca)).unwrap();
        let wanted =
            Wanted { leaf: &self.leaf, fleet: &self.fleet, lifetime_s: LIFETIME_S, trust: &trust };
        accept(der, &wanted, self.now)
    }

    #[track_caller]
    fn refuses(&self, because: &str, bend: impl FnOnce(&mut CertificateParams)) {
        let why = self.judge(bend).unwrap_err();
        assert!(why.contains(because), "{why}");
    }
}

fn uri_name(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

#[test]
fn what_was_asked_for_is_taken() {
    let world = World::new();
    let issued = world.judge(|_| {}).unwrap();
    assert_eq!(issued.not_after.duration_since(issued.not_before).as_secs(), 3_600);
    let without_constraints = world.judge(|params| params.is_ca = IsCa::NoCa);
    assert!(without_constraints.is_ok());
}

#[test]
fn a_server_is_taken_with_its_names() {
    let aggregator = Role::Aggregator("main".parse().unwrap());
    for role in [Role::Authority, aggregator] {
        let mut world = World::new();
        let dns_names = vec!["host.example".to_owned()];
        world.leaf = Leaf { role, x25519: None, dns_names, ..world.leaf };
        world.judge(|_| {}).unwrap();
        world.refuses("other names", |params| {
            params.subject_alt_names.pop();
        });
        world.refuses("not valid", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
    }
}

#[test]
fn names_keys_and_fleet_are_the_ones_asked_for() {
    let world = World::new();
    let role = world.leaf.role.uri(&world.fleet);
    let uris = |uris: &[&str]| uris.iter().map(|uri| uri_name(uri)).collect::<Vec<_>>();
    let x25519 = x25519_uri(&[9; 32]);
    let stranger = Role::Device(DeviceId::from_ek_public(b"other"));
    let fleet: Fleet = "other".parse().unwrap();
    for wrong in [stranger.uri(&world.fleet), world.leaf.role.uri(&fleet)] {
        world.refuses("it is for spiffe://", |p| p.subject_alt_names = uris(&[&wrong, &x25519]));
    }
    let other_x25519 = x25519_uri(&[8; 32]);
    world.refuses("another X25519 key", |p| p.subject_alt_names = uris(&[&role, &other_x25519]));
    world.refuses("X25519 key does not fit", |p| p.subject_alt_names = uris(&[&role]));
    let dns = SanType::DnsName("host.example".try_into().unwrap());
    world.refuses("other names", |p| p.subject_alt_names.push(dns));
    let mail = SanType::Rfc822Name("a@example".try_into().unwrap());
    world.refuses("another kind", |p| p.subject_alt_names.push(mail));
    let other = KeyPair::generate().unwrap();
    let der = world.params().signed_by(&other, &world.issuer).unwrap().der().to_vec();
    assert_eq!(world.judge_der(&der).unwrap_err(), "it is for another key");
}

#[test]
fn it_is_no_ca_and_for_nothing_else() {
    let world = World::new();
    world.refuses("not valid", |p| p.is_ca = IsCa::Ca(Constraints::Unconstrained));
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    world.refuses("other uses", |p| p.extended_key_usages.push(server));
    world.refuses("other uses", |p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::Any));
    world.refuses("other uses", |p| p.extended_key_usages.clear());
    world.refuses("more or less", |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign));
    world.refuses("more or less", |p| p.key_usages.clear());
    let unknown = {
        let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
        unknown.set_criticality(true);
        unknown
    };
    world.refuses("not valid", |p| p.custom_extensions.push(unknown));
}

#[test]
fn it_lives_no_longer_and_now() {
    let world = World::new();
    let second = Duration::from_secs(1);
    world.refuses("longer than 3600 s", |p| p.not_after += second);
    world.refuses("longer than 3600 s", |p| p.not_before -= second);
    world.refuses("not valid", |p| p.not_before += Duration::from_secs(600));
    world.refuses("expired", |p| p.not_after -= Duration::from_secs(3_500));
    let stranger = World { leaf: world.leaf.clone(), ..World::new() };
    let der = stranger.params().signed_by(&world.key, &stranger.issuer).unwrap().der().to_vec();
    assert!(world.judge_der(&der).unwrap_err().contains("not valid under the pinned"));
    assert!(world.judge_der(b"junk").unwrap_err().contains("not a certificate"));
}

#[test]
fn only_a_ca_that_devices_can_verify_is_pinned() {
    let world = World::new();
    let now = Timestamp::now();
    let pem = |der: &[u8]| crate::ca::pem("CERTIFICATE", der);
    assert_eq!(issuing_ca(&pem(&world.ca), now).unwrap(), world.ca);
    let leaf = world.params().signed_by(&world.key, &world.issuer).unwrap().der().to_vec();
    let why = |text: &str, now| issuing_ca(text, now).unwrap_err();
    assert_eq!(why(&pem(&leaf), now), "it is no CA");
    let twice = pem(&world.ca) + &pem(&world.ca);
    assert_eq!(why(&twice, now), "more than one certificate");
    assert_eq!(
        why(&pem(&world.ca), "1970-01-02T00:00:00Z".parse().unwrap()),
        "it is not valid now"
    );
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(Constraints::Unconstrained);
    let edwards = params.self_signed(&key).unwrap().der().to_vec();
    assert_eq!(why(&pem(&edwards), now), "its key is neither P-256 nor P-384");
}
