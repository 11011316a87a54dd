//! What a policy decides: whom it trusts for what, firmware, boot states, and that a renewal and an
//! open session are judged by the one in force.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{Device, Vendor, World, now, pcrs, policy_data, vendor};
use sealsum_attest::endorsement::{Anchors, validate};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::EnrolAnswer;
use sealsum_attest::policy::{Door, EnrolmentPolicy, Firmware, PcrMode, PolicyData};
use sealsum_attest::refusals::{self as checks, Check, Refusal};
use sealsum_attest::verify::{self, RenewalSession, Verified};

/// The running firmware of the software device.
const RUNNING: u64 = 0x0001_0002_0003_0004;

fn policy(world: &World, change: impl FnOnce(&mut PolicyData)) -> EnrolmentPolicy {
    let mut data = policy_data();
    change(&mut data);
    EnrolmentPolicy::new(data, world.vendor.anchors()).unwrap()
}

fn enrol(world: &mut World) -> Result<Verified, Refusal> {
    let request = world.device.request();
    let session = world.challenge(&request)?;
    let answer = world.answer(&session);
    world.judge(session, &answer)
}

/// Enrols by the world's policy and renews by another one.
fn renew_by(world: &mut World, policy: &EnrolmentPolicy) -> Result<Verified, Refusal> {
    let verified = enrol(world).unwrap();
    let known = world.known(&verified);
    let session = RenewalSession::new(known.clone(), policy, now(), &mut world.rng);
    let answer = world.renewal_answer(&session, &known);
    verify::judge_renewal(session, &answer, policy, now())
}

#[track_caller]
fn refused(outcome: Result<Verified, Refusal>, check: Check) -> String {
    let refusal = outcome.map(|_| ()).expect_err(check.name);
    assert_eq!(refusal.check, check, "{refusal}");
    refusal.detail
}

#[test]
fn a_software_tpm_needs_a_root_of_software_tpms() {
    let (maker, other) = (Vendor::new("maker"), Vendor::new("other"));
    let key = World::new(1).device.ek_public.p256_point().unwrap();
    let spki = sealsum_attest::certificate::PublicKey::from_sec1(&key).unwrap().to_spki();
    let sent = [&maker.intermediate];
    let judged = |maker_id: &str, anchors: &Anchors| {
        let leaf = maker.certify_with(&vendor::endorsement(maker_id), &spki);
        validate(&leaf, &sent, anchors, now()).map(|e| e.software).map_err(|r| r.check)
    };
    let hardware = maker.anchors();
    let both = maker.anchors_for_software();
    let software = Anchors::default().with_software(&[&maker.root]).unwrap();
    let of_another = maker.anchors().with_software(&[&other.root]).unwrap();
    assert_eq!(judged("id:00001014", &hardware), Err(checks::SOFTWARE_TPM));
    assert_eq!(judged("id:00001014", &of_another), Err(checks::SOFTWARE_TPM));
    assert_eq!(judged("id:00001014", &both), Ok(true));
    assert_eq!(judged("id:00001014", &software), Ok(true));
    assert_eq!(judged("id:53544D20", &both), Ok(false));
    // The maker of software TPMs cannot pass one off as hardware by writing so.
    assert_eq!(judged("id:53544D20", &software), Ok(true));
    assert_eq!(judged("id:53544D20", &other.anchors()), Err(checks::UNKNOWN_ROOT));
    assert_eq!(judged("id:00001014", &other.anchors()), Err(checks::UNKNOWN_ROOT));
}

#[test]
fn an_intermediate_of_the_policy_helps_and_vouches_for_nothing() {
    let mut world = World::new(2);
    let alone = |world: &World| {
        let none: [&[u8]; 0] = [];
        validate(&world.device.ek_certificate, &none, world.policy.anchors(), now())
            .map_err(|refusal| refusal.check)
    };
    assert_eq!(alone(&world), Err(checks::UNKNOWN_ROOT));
    let intermediate = [world.vendor.intermediate.clone()];
    let anchors = world.vendor.anchors().with_intermediates(&intermediate).unwrap();
    world.policy = EnrolmentPolicy::new(policy_data(), anchors).unwrap();
    assert_eq!(alone(&world).unwrap().anchor, "CN=vendor root");
    let rootless = Anchors::default().with_intermediates(&intermediate).unwrap();
    assert!(rootless.is_empty());
    world.policy = EnrolmentPolicy::new(policy_data(), rootless).unwrap();
    assert_eq!(alone(&world), Err(checks::UNKNOWN_ROOT));
}

#[test]
fn firmware_below_the_minimum_of_its_maker_is_refused() {
    let with = |maker: &str, lowest| {
        let mut world = World::new(3);
        world.policy = policy(&world, |data| {
            data.min_firmware = [(maker.to_owned(), Firmware(lowest))].into();
        });
        enrol(&mut world)
    };
    let why = refused(with("id:53544D20", RUNNING + 1), checks::FIRMWARE);
    assert!(why.contains("0001000200030004") && why.contains("0001000200030005"), "{why}");
    refused(with("id:53544d20", RUNNING + 1), checks::FIRMWARE);
    with("id:53544D20", RUNNING).unwrap();
    with("id:49465800", u64::MAX).unwrap();
    let mut world = World::new(3);
    let stricter = policy(&world, |data| {
        data.min_firmware = [("id:53544D20".to_owned(), Firmware(RUNNING + 1))].into();
    });
    refused(renew_by(&mut world, &stricter), checks::FIRMWARE);
}

#[test]
fn a_maker_without_a_name_has_no_minimum_to_pass() {
    let mut world = World::new(4);
    let mut params = vendor::endorsement("id:53544D20");
    params.custom_extensions.clear();
    let point = world.device.ek_public.p256_point().unwrap();
    let spki = sealsum_attest::certificate::PublicKey::from_sec1(&point).unwrap().to_spki();
    world.device.ek_certificate = world.vendor.certify_with(&params, &spki);
    enrol(&mut world).unwrap();
    world.policy = policy(&world, |data| {
        data.min_firmware = [("id:53544D20".to_owned(), Firmware(0))].into();
    });
    refused(enrol(&mut world), checks::FIRMWARE);
}

#[test]
fn firmware_is_sixteen_hex_digits() {
    assert_eq!("0001000200030004".parse(), Ok(Firmware(RUNNING)));
    assert_eq!(Firmware(RUNNING).to_string(), "0001000200030004");
    for wrong in ["", "1.2.3.4", "0x01000200030004", "00010002000300040", "000100020003000G"] {
        assert!(wrong.parse::<Firmware>().is_err(), "{wrong}");
    }
}

#[test]
fn a_renewal_is_judged_by_the_policy_in_force() {
    let mut world = World::new(5);
    let same = policy(&world, |_| ());
    assert!(!renew_by(&mut world, &same).unwrap().software());
    let strangers = EnrolmentPolicy::new(policy_data(), Vendor::new("other").anchors()).unwrap();
    refused(renew_by(&mut world, &strangers), checks::UNKNOWN_ROOT);
    let denied = policy(&world, |data| data.deny_firmware = ["id:20191023".into()].into());
    refused(renew_by(&mut world, &denied), checks::FIRMWARE);
    let device = DeviceId::from_ek_public(&world.device.ek_public.to_bytes());
    let listing = |listed| {
        move |data: &mut PolicyData| {
            data.require = Door::AllowList;
            data.allow = [listed].into();
        }
    };
    let others_only = policy(&world, listing(DeviceId::from_bytes([1; 32])));
    refused(renew_by(&mut world, &others_only), checks::NOT_ADMITTED);
    let listed = policy(&world, listing(device));
    renew_by(&mut world, &listed).unwrap();
    // The door and the algorithm are for those who enter.
    let closed = policy(&world, |data| data.ek_algorithm = "p384".into());
    renew_by(&mut world, &closed).unwrap();
    let enforced = policy(&world, |data| {
        data.pcr_mode = PcrMode::Enforce;
        data.pcr_baselines = vec![pcrs(&[(0, 0x12), (7, 0x77)])];
    });
    refused(renew_by(&mut world, &enforced), checks::PCR_POLICY);
}

#[test]
fn a_renewal_trusts_what_vouched_when_it_was_shown() {
    let mut world = World::new(6);
    let mut params = vendor::endorsement("id:53544D20");
    params.not_after = rcgen::date_time_ymd(2026, 11, 25);
    let point = world.device.ek_public.p256_point().unwrap();
    let spki = sealsum_attest::certificate::PublicKey::from_sec1(&point).unwrap().to_spki();
    world.device.ek_certificate = world.vendor.certify_with(&params, &spki);
    let same = policy(&world, |_| ());
    let verified = renew_by(&mut world, &same).unwrap();
    assert_eq!(verified.endorsement().manufacturer.as_deref(), Some("id:53544D20"));
}

#[test]
fn a_session_is_finished_by_the_policy_in_force() {
    let finish_by = |change: &dyn Fn(&mut PolicyData)| {
        let mut world = World::new(7);
        let session = world.session();
        let answer = world.answer(&session);
        world.policy = policy(&world, change);
        world.judge(session, &answer)
    };
    finish_by(&|_| ()).unwrap();
    finish_by(&|data| data.lifetime_s = 600).unwrap();
    let denied = |data: &mut PolicyData| data.deny_firmware = ["id:20191023".into()].into();
    refused(finish_by(&denied), checks::FIRMWARE);
    let listed = |data: &mut PolicyData| {
        data.require = Door::AllowList;
        data.allow = [DeviceId::from_bytes([1; 32])].into();
    };
    refused(finish_by(&listed), checks::NOT_ADMITTED);
    refused(finish_by(&|data| data.pcrs = vec![0, 2, 7]), checks::PCR_SELECTION);
}

#[test]
fn only_genuine_evidence_awaits_approval() {
    let enforced = |data: &mut PolicyData| {
        data.pcr_mode = PcrMode::Enforce;
        data.pcr_baselines = vec![pcrs(&[(0, 0x12), (7, 0x77)])];
    };
    let mut world = World::new(8);
    world.policy = policy(&world, enforced);
    let why = refused(enrol(&mut world), checks::PCR_POLICY);
    assert!(why.starts_with("pending approval"), "{why}");
    let mut bent = |bend: fn(&mut EnrolAnswer)| {
        let session = world.session();
        let mut answer = world.answer(&session);
        bend(&mut answer);
        world.judge(session, &answer)
    };
    refused(bent(|answer| answer.x25519_proof.0[0] ^= 1), checks::X25519_POSSESSION);
    refused(bent(|answer| answer.csr.0.truncate(9)), checks::CSR_SIGNATURE);
}

#[test]
fn the_fingerprint_covers_every_setting_and_certificate_and_no_order() {
    let (vendor, other) = (Vendor::new("a"), Vendor::new("b"));
    let of =
        |data: PolicyData, anchors: Anchors| *EnrolmentPolicy::new(data, anchors).unwrap().sha256();
    let good = of(policy_data(), vendor.anchors());
    let mut seen = vec![good];
    let mut differs = |sha256| {
        assert!(!seen.contains(&sha256));
        seen.push(sha256);
    };
    differs(of(PolicyData { lifetime_s: 600, ..policy_data() }, vendor.anchors()));
    differs(of(PolicyData { pcrs: vec![7], ..policy_data() }, vendor.anchors()));
    let minimum = [("id:53544D20".to_owned(), Firmware(1))].into();
    differs(of(PolicyData { min_firmware: minimum, ..policy_data() }, vendor.anchors()));
    let baselines = |bytes: [u8; 2]| PolicyData {
        pcr_baselines: bytes.map(|b| pcrs(&[(0, b), (7, b)])).into(),
        ..policy_data()
    };
    differs(of(baselines([1, 2]), vendor.anchors()));
    differs(of(policy_data(), other.anchors()));
    differs(of(policy_data(), vendor.anchors_for_software()));
    differs(of(policy_data(), vendor.anchors().with_intermediates(&[&vendor.root]).unwrap()));

    assert_eq!(of(baselines([1, 2]), vendor.anchors()), of(baselines([2, 1]), vendor.anchors()));
    assert_eq!(of(baselines([1, 1]), vendor.anchors()).len(), 32);
    let both =
        |certificates: &[&Vec<u8>]| of(policy_data(), Anchors::from_der(certificates).unwrap());
    let (a, b) = (&vendor.root, &other.root);
    assert_eq!(both(&[a, b]), both(&[b, a, b]));
    assert_eq!(of(PolicyData { pcrs: vec![7, 0], ..policy_data() }, vendor.anchors()), good);
}

#[test]
fn an_unlisted_device_of_the_same_maker_is_another_device() {
    let mut world = World::new(9);
    let first = DeviceId::from_ek_public(&world.device.ek_public.to_bytes());
    world.policy = policy(&world, |data| {
        data.require = Door::AllowList;
        data.allow = [first].into();
    });
    enrol(&mut world).unwrap();
    let algorithm = world.policy.ek_algorithm();
    world.device = Device::new(&world.vendor, algorithm, &mut world.rng);
    refused(enrol(&mut world), checks::NOT_ADMITTED);
}
