//! Mutations of the endorsement key, its certificate, and who may come in.

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa};
use sealsum_attest::certificate::PublicKey;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::EnrolRequest;
use sealsum_attest::policy::{EnrolmentPolicy, PolicyData};
use sealsum_attest::templates::EkAlgorithm;
use sealsum_attest::tpm::{Public, PublicKind};

use super::common::{Device, Vendor, World, vendor};
use super::keys::{change_attribute, ecc};
use super::{Mutation, Named};

pub const MUTATIONS: &[Named] = &[
    ("vendor", Mutation::World(foreign_vendor)),
    ("chain_without_intermediate", Mutation::Request(|_, _, request| request.ek_chain.clear())),
    ("other_certificate", Mutation::Request(other_certificate)),
    ("validity", Mutation::World(validity)),
    ("certificate_bytes", Mutation::Request(certificate_bytes)),
    ("purpose", Mutation::World(purpose)),
    ("critical_extension", Mutation::World(critical_extension)),
    ("ek", Mutation::Request(ek)),
    ("other_template", Mutation::World(other_template)),
    ("other_template_allowed", Mutation::World(other_template_allowed)),
    ("ek_point", Mutation::Request(ek_point)),
    ("rsa_ek", Mutation::Request(rsa_ek)),
    ("no_token", Mutation::Request(no_token)),
    ("no_token_but_listed", Mutation::Request(no_token_but_listed)),
    ("software_tpm", Mutation::World(software_tpm)),
    ("denied_firmware", Mutation::World(denied_firmware)),
];

/// A device of a vendor of this name with other keys.
fn foreign_vendor(world: &mut World, name: &str) {
    world.device = Device::new(&Vendor::new(name), EkAlgorithm::P256, &mut world.rng);
}

fn other_certificate(world: &mut World, _: &str, request: &mut EnrolRequest) {
    let other = Device::new(&world.vendor, EkAlgorithm::P256, &mut world.rng);
    request.ek_certificate.0 = other.ek_certificate;
}

/// From one month to another.
fn validity(world: &mut World, months: &str) {
    let date = |text: &str| {
        let (year, month) = text.split_once('-').unwrap();
        rcgen::date_time_ymd(year.parse().unwrap(), month.parse().unwrap(), 1)
    };
    let (from, to) = months.split_once(' ').unwrap();
    recertify(world, |params| {
        (params.not_before, params.not_after) = (date(from), date(to));
    });
}

fn certificate_bytes(_: &mut World, how: &str, request: &mut EnrolRequest) {
    let der = &mut request.ek_certificate.0;
    match how {
        "cut" => der.truncate(der.len() - 1),
        "empty" => der.clear(),
        junk => der.push(u8::from_str_radix(&junk[1..], 16).unwrap()),
    }
}

fn purpose(world: &mut World, whose: &str) {
    recertify(world, |params| match whose {
        "authority" => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        _ => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
    });
}

fn critical_extension(world: &mut World, which: &str) {
    let (oid, value): (&[u64], &[u8]) = match which {
        "unknown" => (&[2, 25, 1], &[5, 0]),
        _ => (&[2, 5, 29, 17], &[0x30, 3, 0x82, 1, b'a']),
    };
    let mut extension = CustomExtension::from_oid_content(oid, value.to_vec());
    extension.set_criticality(true);
    recertify(world, |params| {
        if which != "unknown" {
            params.custom_extensions.clear();
        }
        params.custom_extensions.push(extension);
    });
}

fn ek(world: &mut World, what: &str, request: &mut EnrolRequest) {
    let mut ek = world.device.ek_public.clone();
    match what {
        "policy" => ek.auth_policy[0] ^= 1,
        "symmetric" => ecc(&mut ek).symmetric = None,
        attribute => change_attribute(&mut ek, attribute),
    }
    request.ek_public.0 = ek.to_bytes();
}

fn other_template(world: &mut World, _: &str) {
    world.device = Device::new(&world.vendor, EkAlgorithm::P384, &mut world.rng);
}

fn other_template_allowed(world: &mut World, _: &str) {
    other_template(world, "");
    let device = device_id(world);
    set_policy(world, |data| data.allow = [device].into());
}

fn ek_point(world: &mut World, how: &str, request: &mut EnrolRequest) {
    let mut ek = world.device.ek_public.clone();
    match how {
        "off curve" => ecc(&mut ek).y[31] ^= 1,
        _ => ecc(&mut ek).curve = 0x0005,
    }
    request.ek_public.0 = ek.to_bytes();
}

fn rsa_ek(world: &mut World, how: &str, request: &mut EnrolRequest) {
    let mut ek = Device::new(&world.vendor, EkAlgorithm::Rsa2048, &mut world.rng).ek_public;
    let PublicKind::Rsa(rsa) = &mut ek.kind else { unreachable!("an RSA key was made") };
    match how {
        "exponent" => rsa.exponent = 3,
        "bits" => rsa.key_bits = 1024,
        "top bit" => rsa.modulus[0] = 0x7f,
        _ => rsa.modulus.truncate(128),
    }
    request.ek_public.0 = Public::to_bytes(&ek);
}

/// Behind a door of this kind, with somebody else on the list.
fn no_token(world: &mut World, door: &str, request: &mut EnrolRequest) {
    let stranger = DeviceId::from_bytes([1; 32]);
    close_door(world, door, stranger);
    request.token = None;
}

fn no_token_but_listed(world: &mut World, door: &str, request: &mut EnrolRequest) {
    let device = device_id(world);
    close_door(world, door, device);
    request.token = None;
}

fn close_door(world: &mut World, door: &str, listed: DeviceId) {
    let door = serde_json::from_value(door.into()).unwrap();
    set_policy(world, |data| {
        data.require = door;
        data.allow = [listed].into();
    });
}

fn software_tpm(world: &mut World, policy: &str) {
    recertify(world, |params| *params = vendor::endorsement("id:00001014"));
    if policy == "allowed" {
        let data = world.policy.data().clone();
        world.policy = EnrolmentPolicy::new(data, world.vendor.anchors_for_software()).unwrap();
    }
}

fn denied_firmware(world: &mut World, _: &str) {
    set_policy(world, |data| data.deny_firmware = ["id:20191023".into()].into());
}

/// Replaces the device's endorsement certificate by one of other parameters.
fn recertify(world: &mut World, bend: impl FnOnce(&mut CertificateParams)) {
    let mut params = vendor::endorsement("id:53544D20");
    bend(&mut params);
    let point = world.device.ek_public.p256_point().unwrap();
    let spki = PublicKey::from_sec1(&point).unwrap().to_spki();
    world.device.ek_certificate = world.vendor.certify_with(&params, &spki);
}

pub fn set_policy(world: &mut World, bend: impl FnOnce(&mut PolicyData)) {
    let mut data = world.policy.data().clone();
    bend(&mut data);
    world.policy = EnrolmentPolicy::new(data, world.vendor.anchors()).unwrap();
}

fn device_id(world: &World) -> DeviceId {
    DeviceId::from_ek_public(&world.device.ek_public.to_bytes())
}
