//! The judgement on a device: good evidence passes. What is refused is in `refusals`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Vendor, World, authority, now, pcrs, policy_data, vendor};
use sealsum_attest::binding::Transcript;
use sealsum_attest::certificate::PublicKey;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::pcr::PcrVerdict;
use sealsum_attest::policy::{Door, EnrolmentPolicy, Firmware, PcrMode, PolicyData, PolicyError};
use sealsum_attest::quote::TpmState;
use sealsum_attest::templates::EkAlgorithm;
use sealsum_attest::verify;

#[test]
fn good_evidence_passes_for_each_endorsement_key() {
    for algorithm in [EkAlgorithm::Rsa2048, EkAlgorithm::P256, EkAlgorithm::P384] {
        let mut world = World::with(1, algorithm, policy_data());
        let session = world.session();
        let answer = world.answer(&session);
        let verified = world.judge(session, &answer).unwrap();
        let device = DeviceId::from_ek_public(&world.device.ek_public.to_bytes());
        assert_eq!(verified.device(), &device);
        assert_eq!(verified.at(), now());
        assert_eq!(verified.pcrs(), &world.device.pcrs);
        assert_eq!(verified.pcr_verdict(), PcrVerdict::Unknown);
        assert_eq!(verified.keys().x25519_public, world.device.x25519_public());
        let point = world.device.dk_public.p256_point().unwrap();
        assert_eq!(verified.key().as_sec1(), &point);
        assert!(!verified.software());
    }
}

#[test]
fn a_judgement_says_which_tpm_and_which_boot_state() {
    let data = PolicyData {
        pcr_mode: PcrMode::Enforce,
        pcr_baselines: vec![pcrs(&[(0, 0x11), (7, 0x77)])],
        ..policy_data()
    };
    let mut world = World::with(10, EkAlgorithm::P256, data);
    let point = world.device.ek_public.p256_point().unwrap();
    let spki = PublicKey::from_sec1(&point).unwrap().to_spki();
    let anchors = world.vendor.anchors_for_software();
    world.policy = EnrolmentPolicy::new(world.policy.data().clone(), anchors).unwrap();
    let params = vendor::endorsement("id:00001014");
    world.device.ek_certificate = world.vendor.certify_with(&params, &spki);
    let session = world.session();
    let answer = world.answer(&session);
    let verified = world.judge(session, &answer).unwrap();
    assert!(verified.software());
    assert_eq!(verified.pcr_verdict(), PcrVerdict::Known);
}

#[test]
fn a_known_endorsement_key_opens_every_door_but_the_allow_list() {
    let world = World::new(9);
    for (door, admitted) in
        [(Door::Token, true), (Door::TokenOrAllowList, true), (Door::AllowList, false)]
    {
        let somebody = DeviceId::from_bytes([1; 32]);
        let data = PolicyData { require: door, allow: [somebody].into(), ..policy_data() };
        let policy = EnrolmentPolicy::new(data, world.vendor.anchors()).unwrap();
        let mut request = world.device.request();
        request.token = None;
        assert_eq!(verify::admit_known(request, &policy, now()).is_ok(), admitted, "{door:?}");
    }
}

#[test]
fn a_reset_and_a_restart_may_set_the_clock_back() {
    let state = |reset_count, restart_count, clock_ms| TpmState {
        reset_count,
        restart_count,
        clock_ms,
        firmware_version: 1,
    };
    let last = state(3, 1, 500);
    for (later, before) in [
        (state(3, 1, 500), false),
        (state(3, 1, 501), false),
        (state(3, 2, 0), false),
        (state(4, 0, 0), false),
        (state(3, 1, 499), true),
        (state(3, 0, 900), true),
        (state(2, 9, 900), true),
    ] {
        assert_eq!(later.is_before(&last), before, "{later:?}");
    }
}

#[test]
fn contradictory_policies_are_refused() {
    let anchors = || Vendor::new("any").anchors();
    let refused = |data| EnrolmentPolicy::new(data, anchors()).unwrap_err();
    let data = policy_data;
    let with_pcrs = |pcrs: Vec<u8>| PolicyData { pcrs, ..data() };
    assert_eq!(refused(with_pcrs(vec![])), PolicyError::Pcrs);
    assert_eq!(refused(with_pcrs(vec![24])), PolicyError::Pcrs);
    assert_eq!(refused(with_pcrs(vec![7, 7])), PolicyError::Pcrs);
    let bad = PolicyData { ek_algorithm: "rsa1024".into(), ..data() };
    assert_eq!(refused(bad), PolicyError::EkAlgorithm("rsa1024".into()));
    let bad = PolicyData { pcr_mode: PcrMode::Enforce, ..data() };
    assert_eq!(refused(bad), PolicyError::NothingAllowed);
    let bad = PolicyData { pcr_baselines: vec![pcrs(&[(7, 1)])], ..data() };
    assert_eq!(refused(bad), PolicyError::Baseline);
    let unmeasured = PolicyData { pcr_baselines: vec![pcrs(&[(0, 1), (7, 0)])], ..data() };
    assert_eq!(refused(unmeasured), PolicyError::Unmeasured);
    for maker in ["STM", "id:53544D2", "id:53544D2G", "53544D20"] {
        let bad = PolicyData { min_firmware: [(maker.into(), Firmware(1))].into(), ..data() };
        assert_eq!(refused(bad), PolicyError::Manufacturer(maker.into()));
    }
    let bad = PolicyData { require: Door::AllowList, ..data() };
    assert_eq!(refused(bad), PolicyError::NobodyAllowed);
    let bad = PolicyData { lifetime_s: 24 * 3600 + 1, ..data() };
    assert_eq!(refused(bad), PolicyError::Lifetime);
    let empty: PolicyData = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, PolicyData::default());
    assert!(serde_json::from_str::<PolicyData>(r#"{"pcr":[7]}"#).is_err());
}

#[test]
fn the_token_is_not_printed() {
    let mut request = World::new(1).device.request();
    request.token = Some("sesame".into());
    let printed = format!("{request:?}");
    assert!(printed.contains("ek_public") && !printed.contains("sesame"), "{printed}");
}

#[test]
fn the_transcript_covers_every_field() {
    let mut world = World::new(70);
    let session = world.session();
    let (request, challenge) = (session.request().clone(), session.challenge().clone());
    let spki = authority().spki_sha256;
    let of = |request: &_, challenge: &_| Transcript::of(request, challenge, &spki).unwrap();
    let good = of(&request, &challenge);
    assert_eq!(good, *session.transcript());
    let mut seen = vec![good];
    let mut bent = |transcript| {
        assert!(!seen.contains(&transcript));
        seen.push(transcript);
    };
    let mut r = request.clone();
    r.ek_public.0[50] ^= 1;
    bent(of(&r, &challenge));
    let mut r = request.clone();
    r.ak_public.0[50] ^= 1;
    bent(of(&r, &challenge));
    let mut r = request.clone();
    r.dk_public.0[50] ^= 1;
    bent(of(&r, &challenge));
    let mut r = request.clone();
    r.x25519_public.0[0] ^= 1;
    bent(of(&r, &challenge));
    let mut r = request.clone();
    r.srk_name.0[5] ^= 1;
    bent(of(&r, &challenge));
    let mut r = request.clone();
    r.client_random.0[0] ^= 1;
    bent(of(&r, &challenge));
    let mut c = challenge.clone();
    c.nonce.0[0] ^= 1;
    bent(of(&request, &c));
    let mut c = challenge.clone();
    c.authority_id.push('x');
    bent(of(&request, &c));
    let mut c = challenge.clone();
    c.session = sealsum_attest::ids::SessionId::from_bytes([1; 16]);
    bent(of(&request, &c));
    let mut c = challenge.clone();
    c.credential_blob.0[3] ^= 1;
    bent(of(&request, &c));
    let mut c = challenge.clone();
    c.encrypted_secret.0[3] ^= 1;
    bent(of(&request, &c));
    let mut c = challenge.clone();
    c.x25519_challenge.0[3] ^= 1;
    bent(of(&request, &c));
    let mut c = challenge.clone();
    c.pcr_selection = vec![7];
    bent(of(&request, &c));
    bent(Transcript::of(&request, &challenge, &[0; 32]).unwrap());
}
