//! Members and strangers, with certificates of a fleet made here.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use sealsum_attest::certificate::{X25519_EXTENSION_ARCS, x25519_extension_value};
use sealsum_attest::ids::{DeviceId, Fleet};
use sealsum_attest::status::{MAX_AGE_S, PERIOD_S};

use super::*;

const DEVICE: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];
const CHANNEL_KEY: [u8; 32] = [9; 32];
const STATEMENT: &[u8] = b"the device enters this round";

struct World {
    fleet: Fleet,
    ca: FleetCa,
    issuer: Issuer<'static, KeyPair>,
    authority: Leaf,
    _dir: tempfile::TempDir,
    state: StateDir,
}

struct Leaf {
    der: Vec<u8>,
    key: KeyPair,
}

impl Leaf {
    /// r and s, as the TPM signs.
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let random = SystemRandom::new();
        let pkcs8 = self.key.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random);
        key.unwrap().sign(&random, message).unwrap().as_ref().try_into().unwrap()
    }
}

impl World {
    fn new() -> Self {
        let fleet: Fleet = "test".parse().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "test");
        let pem = params.self_signed(&key).unwrap().pem();
        let ca = FleetCa::from_pem(&pem).unwrap().for_fleet(fleet.clone());
        let issuer = Issuer::new(params, key);
        let authority = leaf(&issuer, &fleet, &Role::Authority, None, GOOD);
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state")).unwrap();
        Self { fleet, ca, issuer, authority, _dir: dir, state }
    }

    fn device(&self) -> Leaf {
        let role = Role::Device(DeviceId::from_bytes(DEVICE));
        leaf(&self.issuer, &self.fleet, &role, Some(&CHANNEL_KEY), GOOD)
    }

    fn list(&self, number: u64, issued_at: Timestamp, revoked: &[[u8; 32]]) -> Vec<u8> {
        let list = StatusList {
            fleet: self.fleet.clone(),
            number,
            issued_at,
            next_update: issued_at + SignedDuration::from_secs(PERIOD_S),
            revoked_devices: revoked.iter().map(|id| DeviceId::from_bytes(*id)).collect(),
            revoked_serials: BTreeSet::new(),
        };
        let sign = |message: &[u8]| Ok::<_, ()>(self.authority.sign(message));
        list.sign(std::slice::from_ref(&self.authority.der), sign).unwrap()
    }

    fn lists(&self) -> StatusLists {
        StatusLists::open(&self.state, &self.ca).unwrap()
    }

    /// Members after a list that revokes these; the log knows these certificates.
    fn members(&self, revoked: &[[u8; 32]], logged: &[&Leaf]) -> Members {
        let mut members = Members::new(&self.lists(), hashes(logged));
        members.admit_status_list(&self.list(5, Timestamp::now(), revoked), now()).unwrap();
        members
    }
}

fn hashes(leaves: &[&Leaf]) -> HashSet<[u8; 32]> {
    leaves.iter().map(|leaf| Sha256::digest(&leaf.der).into()).collect()
}

/// Seconds from now to the end of a good certificate, and of one that is over.
const GOOD: i64 = 3600;
const OVER: i64 = -1;

fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    fleet: &Fleet,
    role: &Role,
    x25519: Option<&[u8; 32]>,
    ends_in_s: i64,
) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![SanType::URI(role.uri(fleet).try_into().unwrap())];
    params.extended_key_usages = match role {
        Role::Device(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    params.custom_extensions.extend(x25519.map(|key| {
        CustomExtension::from_oid_content(&X25519_EXTENSION_ARCS, x25519_extension_value(key))
    }));
    let moment = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = moment(now() - 3600);
    params.not_after = moment(now().saturating_add_signed(ends_in_s));
    let der = params.signed_by(&key, issuer).unwrap().der().to_vec();
    Leaf { der, key }
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap()
}

fn voucher<'a>(device: [u8; 32], leaf: &'a Leaf, signature: &'a [u8]) -> Voucher<'a> {
    let device = sealsum_protocol::ids::DeviceId(device);
    Voucher { device, certificate: &leaf.der, statement: STATEMENT, signature }
}

#[test]
fn a_member_is_who_its_certificate_says_and_signed_the_statement() {
    let world = World::new();
    let device = world.device();
    let members = world.members(&[OTHER], &[&device]);
    let signature = device.sign(STATEMENT);
    let member = members.verify(&voucher(DEVICE, &device, &signature), now()).unwrap();
    assert_eq!(member.static_key, CHANNEL_KEY);

    let refused = |voucher: &Voucher<'_>| members.verify(voucher, now()).unwrap_err();
    let other_device = refused(&voucher(OTHER, &device, &signature));
    assert!(matches!(other_device, MembershipError::Certificate(_)), "{other_device}");
    let other_statement = device.sign(b"another round");
    assert_eq!(refused(&voucher(DEVICE, &device, &other_statement)), MembershipError::Signature);
    assert_eq!(refused(&voucher(DEVICE, &device, b"short")), MembershipError::Signature);
    let later = members.verify(&voucher(DEVICE, &device, &signature), now() + 7200);
    assert!(matches!(later, Err(MembershipError::Certificate(_))), "a cached one expires too");
}

#[test]
fn no_other_role_fleet_or_authority_makes_a_member() {
    let world = World::new();
    let aggregator = Role::Aggregator("main".parse().unwrap());
    let stranger = World::new();
    let other_fleet: Fleet = "other".parse().unwrap();
    let role = Role::Device(DeviceId::from_bytes(DEVICE));
    for (what, leaf) in [
        ("an aggregator", leaf(&world.issuer, &world.fleet, &aggregator, None, GOOD)),
        ("another CA", stranger.device()),
        ("another fleet", leaf(&world.issuer, &other_fleet, &role, Some(&CHANNEL_KEY), GOOD)),
        ("an expired one", leaf(&world.issuer, &world.fleet, &role, Some(&CHANNEL_KEY), OVER)),
        ("no certificate", Leaf { der: b"junk".to_vec(), key: KeyPair::generate().unwrap() }),
    ] {
        let signature = leaf.sign(STATEMENT);
        let members = world.members(&[], &[&leaf]);
        let refused = members.verify(&voucher(DEVICE, &leaf, &signature), now());
        assert!(matches!(refused, Err(MembershipError::Certificate(_))), "{what}: {refused:?}");
    }
}

#[test]
fn the_revoked_are_out_and_without_a_list_nobody_is_in() {
    let world = World::new();
    let device = world.device();
    let signature = device.sign(STATEMENT);
    let voucher = voucher(DEVICE, &device, &signature);
    let revoked = world.members(&[DEVICE], &[&device]).verify(&voucher, now());
    assert_eq!(revoked, Err(MembershipError::Revoked));
    let logged = hashes(&[&device]);
    let before_the_list = Members::new(&world.lists(), logged).verify(&voucher, now());
    assert!(matches!(before_the_list, Err(MembershipError::StatusList(_))));
}

#[test]
fn a_status_list_never_goes_back_not_even_after_a_restart() {
    let world = World::new();
    let present = Timestamp::now();
    world.lists().admit(&world.list(5, present, &[]), present).unwrap();
    let lists = world.lists();
    assert!(lists.admit(&world.list(4, present, &[]), present).is_err(), "it went back");
    lists.admit(&world.list(5, present, &[]), present).unwrap();
    lists.admit(&world.list(6, present, &[]), present).unwrap();
    assert!(lists.admit(&world.list(5, present, &[]), present).is_err());

    let old = present - SignedDuration::from_secs(MAX_AGE_S + 1);
    assert!(lists.admit(&world.list(7, old, &[]), present).is_err(), "too old");
    let forged = World::new().list(8, present, &[]);
    assert!(lists.admit(&forged, present).is_err(), "signed by another authority");
    let mut bent = world.list(9, present, &[]);
    let at = bent.len() / 2;
    bent[at] ^= 1;
    assert!(lists.admit(&bent, present).is_err());
    lists.admit(&world.list(6, present, &[]), present).unwrap();
}

#[test]
fn an_older_list_in_a_roster_hides_no_revocation_that_this_device_knows() {
    let world = World::new();
    let device = world.device();
    let signature = device.sign(STATEMENT);
    let voucher = voucher(DEVICE, &device, &signature);
    let lists = world.lists();
    let present = Timestamp::now();
    lists.admit(&world.list(6, present, &[DEVICE]), present).unwrap();
    let mut members = Members::new(&lists, hashes(&[&device]));
    members.admit_status_list(&world.list(5, present, &[]), now()).unwrap();
    assert_eq!(members.verify(&voucher, now()), Err(MembershipError::Revoked));

    let later = present + SignedDuration::from_secs(MAX_AGE_S + 1);
    let stale = lists.judge_by(&world.list(5, later, &[]), later);
    assert!(stale.is_err(), "its own list is too old to judge by, and the other went back");
    let forged = World::new().list(5, present, &[]);
    assert!(lists.judge_by(&forged, present).is_err(), "signed by another authority");
}

#[test]
fn whose_certificate_is_not_shown_to_be_in_the_log_is_no_member() {
    let world = World::new();
    let (device, other) = (world.device(), world.device());
    let signature = device.sign(STATEMENT);
    let voucher = voucher(DEVICE, &device, &signature);
    for logged in [&[][..], &[&other]] {
        let refused = world.members(&[], logged).verify(&voucher, now()).unwrap_err();
        assert!(refused.to_string().contains("authority's log"), "{refused}");
    }
    world.members(&[], &[&other, &device]).verify(&voucher, now()).unwrap();
}
