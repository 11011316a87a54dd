//! The judgement on a device: good evidence passes, and each way to be wrong is refused by name.
//! Numbers are those of `refusals`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::device::{self, csr, signing_public};
use common::{Device, Vendor, World, authority, now, pcrs, policy_data, vendor};
use jiff::SignedDuration;
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, SanType};
use sealsum_attest::binding::{Renewal, Transcript, prove_possession};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{Bytes, EnrolAnswer, Fixed, PcrValues, RenewAnswer};
use sealsum_attest::pcr::{self, PcrVerdict};
use sealsum_attest::policy::{Door, EnrolmentPolicy, PcrMode, PolicyData, PolicyError};
use sealsum_attest::quote::TpmState;
use sealsum_attest::refusals::{self as checks, Check};
use sealsum_attest::templates::{EkAlgorithm, SIGNING_KEY};
use sealsum_attest::tpm::alg::attribute;
use sealsum_attest::tpm::{Attested, PcrBank, Public, PublicKind, Scheme, alg};
use sealsum_attest::verify::{self, Known, RenewalSession, SESSION_S};

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

// ---- the endorsement key ----

#[test]
fn c01_unknown_root() {
    let mut world = World::new(1);
    let stranger = Vendor::new("stranger");
    let device = Device::new(&stranger, EkAlgorithm::P256, &mut world.rng);
    world.device = device;
    world.refuses_request(checks::UNKNOWN_ROOT, |_| ());
    // The same names, but other keys.
    let impostor = Vendor::new("vendor");
    world.device = Device::new(&impostor, EkAlgorithm::P256, &mut world.rng);
    world.refuses_request(checks::UNKNOWN_ROOT, |_| ());
    // An honest device without its intermediate.
    let mut world = World::new(1);
    world.refuses_request(checks::UNKNOWN_ROOT, |request| request.ek_chain.clear());
}

#[test]
fn c02_certificate_of_another_tpm() {
    let mut world = World::new(2);
    let other = Device::new(&world.vendor, EkAlgorithm::P256, &mut world.rng);
    let certificate = other.ek_certificate;
    world.refuses_request(checks::OTHER_KEY, |request| request.ek_certificate.0 = certificate);
}

#[test]
fn c03_outside_validity() {
    for (from, to) in [((2020, 1), (2026, 11)), ((2026, 12), (2030, 1))] {
        let mut world = World::new(3);
        let mut params = vendor::endorsement("id:53544D20");
        params.not_before = rcgen::date_time_ymd(from.0, from.1, 1);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, 1);
        recertify(&mut world, &params);
        world.refuses_request(checks::VALIDITY, |_| ());
    }
}

#[test]
fn c04_not_exactly_one_certificate() {
    let mut world = World::new(4);
    for junk in [0x00, 0xff, 0x30] {
        world.refuses_request(checks::CERTIFICATE_FORM, |r| r.ek_certificate.0.push(junk));
    }
    world.refuses_request(checks::CERTIFICATE_FORM, |r| r.ek_certificate.0.clear());
}

#[test]
fn c05_another_purpose() {
    let mut authority = vendor::endorsement("id:53544D20");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let mut server = vendor::endorsement("id:53544D20");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for params in [authority, server] {
        let mut world = World::new(5);
        recertify(&mut world, &params);
        world.refuses_request(checks::CERTIFICATE_PURPOSE, |_| ());
    }
}

#[test]
fn c07_not_the_template() {
    let mut world = World::new(7);
    let bends: [fn(&mut Public); 5] = [
        |ek| ek.attributes |= attribute::SIGN,
        |ek| ek.attributes &= !attribute::FIXED_TPM,
        |ek| ek.attributes |= attribute::USER_WITH_AUTH,
        |ek| ek.auth_policy[0] ^= 1,
        |ek| match &mut ek.kind {
            PublicKind::Ecc(ecc) => ecc.symmetric = None,
            PublicKind::Rsa(_) => unreachable!(),
        },
    ];
    for bend in bends {
        let mut ek = world.device.ek_public.clone();
        bend(&mut ek);
        world.refuses_request(checks::EK_TEMPLATE, |r| r.ek_public.0 = ek.to_bytes());
    }
    // A good key of another template than the fleet's.
    let mut world = World::with(7, EkAlgorithm::P256, policy_data());
    world.device = Device::new(&world.vendor, EkAlgorithm::P384, &mut world.rng);
    world.refuses_request(checks::EK_TEMPLATE, |_| ());
    // Unless it is on the allow-list.
    let mut data = world.policy.data().clone();
    data.allow = [DeviceId::from_ek_public(&world.device.ek_public.to_bytes())].into();
    world.policy = EnrolmentPolicy::new(data, world.vendor.anchors()).unwrap();
    assert!(verify::admit(world.device.request(), &world.policy, now()).is_ok());
}

#[test]
fn c08_weak_keys() {
    let mut world = World::new(8);
    let mut off_curve = world.device.ek_public.clone();
    ecc(&mut off_curve).y[31] ^= 1;
    world.refuses_request(checks::EK_STRENGTH, |r| r.ek_public.0 = off_curve.to_bytes());
    let mut other_curve = world.device.ek_public.clone();
    ecc(&mut other_curve).curve = 0x0005;
    world.refuses_request(checks::EK_STRENGTH, |r| r.ek_public.0 = other_curve.to_bytes());

    let mut world = World::with(8, EkAlgorithm::Rsa2048, policy_data());
    let bends: [fn(&mut sealsum_attest::tpm::RsaPublic); 4] = [
        |rsa| rsa.exponent = 3,
        |rsa| rsa.key_bits = 1024,
        |rsa| rsa.modulus[0] = 0x7f,
        |rsa| rsa.modulus.truncate(128),
    ];
    for bend in bends {
        let mut ek = world.device.ek_public.clone();
        match &mut ek.kind {
            PublicKind::Rsa(rsa) => bend(rsa),
            PublicKind::Ecc(_) => unreachable!(),
        }
        world.refuses_request(checks::EK_STRENGTH, |r| r.ek_public.0 = ek.to_bytes());
    }
}

#[test]
fn c09_nobody_opened_the_door() {
    let mut world = World::new(9);
    world.refuses_request(checks::NOT_ADMITTED, |request| request.token = None);
    let device = DeviceId::from_ek_public(&world.device.ek_public.to_bytes());
    for (door, allowed, admitted) in [
        (Door::AllowList, DeviceId::from_bytes([1; 32]), false),
        (Door::AllowList, device, true),
        (Door::TokenOrAllowList, device, true),
        (Door::Token, device, false),
    ] {
        let data = PolicyData { require: door, allow: [allowed].into(), ..world_data() };
        let policy = EnrolmentPolicy::new(data, world.vendor.anchors()).unwrap();
        let mut request = world.device.request();
        request.token = None;
        assert_eq!(verify::admit(request, &policy, now()).is_ok(), admitted, "{door:?}");
    }
}

#[test]
fn a_known_endorsement_key_opens_every_door_but_the_allow_list() {
    let world = World::new(9);
    for (door, admitted) in
        [(Door::Token, true), (Door::TokenOrAllowList, true), (Door::AllowList, false)]
    {
        let somebody = DeviceId::from_bytes([1; 32]);
        let data = PolicyData { require: door, allow: [somebody].into(), ..world_data() };
        let policy = EnrolmentPolicy::new(data, world.vendor.anchors()).unwrap();
        let mut request = world.device.request();
        request.token = None;
        assert_eq!(verify::admit_known(request, &policy, now()).is_ok(), admitted, "{door:?}");
    }
}

#[test]
fn c10_software_tpm() {
    let mut world = World::new(10);
    recertify(&mut world, &vendor::endorsement("id:00001014"));
    world.refuses_request(checks::SOFTWARE_TPM, |_| ());
    let data = PolicyData { allow_software_tpm: true, ..world_data() };
    world.policy = EnrolmentPolicy::new(data, world.vendor.anchors()).unwrap();
    let session = world.session();
    let answer = world.answer(&session);
    assert!(world.judge(session, &answer).unwrap().software());
}

#[test]
fn c11_denied_firmware() {
    let mut world = World::new(11);
    let data = PolicyData { deny_firmware: ["id:20191023".into()].into(), ..world_data() };
    world.policy = EnrolmentPolicy::new(data, world.vendor.anchors()).unwrap();
    world.refuses_request(checks::FIRMWARE, |_| ());
}

// ---- the attestation key and the device key ----

#[test]
fn c12_unrestricted_attestation_key() {
    // Everything else about it is perfect: it signs a home-made quote that verifies.
    let mut world = World::new(12);
    let ak = signing_public(&world.device.ak, SIGNING_KEY).to_bytes();
    world.refuses_request(checks::AK_UNRESTRICTED, |r| r.ak_public.0 = ak);
}

#[test]
fn c13_attestation_key_attributes() {
    let mut world = World::new(13);
    let good = SIGNING_KEY | attribute::RESTRICTED;
    for attributes in [
        good & !attribute::FIXED_TPM,
        good & !attribute::FIXED_PARENT,
        good & !attribute::SENSITIVE_DATA_ORIGIN,
        good & !attribute::USER_WITH_AUTH,
        good & !attribute::NO_DA,
        good & !attribute::SIGN,
        good | attribute::DECRYPT,
        good | attribute::ENCRYPTED_DUPLICATION,
        good | attribute::X509_SIGN,
        good | 1 << 31,
    ] {
        let ak = signing_public(&world.device.ak, attributes).to_bytes();
        world.refuses_request(checks::AK_ATTRIBUTES, |r| r.ak_public.0 = ak);
    }
}

#[test]
fn c14_other_schemes() {
    let mut world = World::new(14);
    let schemes = [
        Scheme::NULL,
        Scheme::with_hash(alg::ECDSA, alg::SHA1),
        Scheme::with_hash(alg::ECSCHNORR, alg::SHA256),
        Scheme { algorithm: alg::ECDAA, hash: Some(alg::SHA256), count: Some(1) },
    ];
    for scheme in schemes {
        let (mut ak, mut dk) = (world.device.ak_public.clone(), world.device.dk_public.clone());
        ecc(&mut ak).scheme = scheme;
        ecc(&mut dk).scheme = scheme;
        world.refuses_request(checks::KEY_SCHEME, |r| r.ak_public.0 = ak.to_bytes());
        world.refuses_request(checks::KEY_SCHEME, |r| r.dk_public.0 = dk.to_bytes());
    }
    let mut named = world.device.ak_public.clone();
    named.name_alg = alg::SHA1;
    world.refuses_request(checks::KEY_SCHEME, |r| r.ak_public.0 = named.to_bytes());
    let mut off_curve = world.device.ak_public.clone();
    ecc(&mut off_curve).x[0] ^= 1;
    world.refuses_request(checks::KEY_SCHEME, |r| r.ak_public.0 = off_curve.to_bytes());
    let rsa = Public { kind: rsa_signing_kind(), ..world.device.ak_public.clone() };
    world.refuses_request(checks::KEY_SCHEME, |r| r.ak_public.0 = rsa.to_bytes());
}

#[test]
fn c15_device_key_attributes() {
    let mut world = World::new(15);
    for attributes in [
        SIGNING_KEY | attribute::RESTRICTED,
        SIGNING_KEY & !attribute::FIXED_TPM,
        SIGNING_KEY & !attribute::FIXED_PARENT,
        SIGNING_KEY & !attribute::SENSITIVE_DATA_ORIGIN,
        SIGNING_KEY & !attribute::SIGN,
        SIGNING_KEY | attribute::DECRYPT,
        SIGNING_KEY | attribute::ST_CLEAR,
    ] {
        let dk = signing_public(&world.device.dk, attributes).to_bytes();
        world.refuses_request(checks::DK_ATTRIBUTES, |r| r.dk_public.0 = dk);
    }
}

#[test]
fn c16_device_key_is_the_attestation_key() {
    let mut world = World::new(16);
    let dk = signing_public(&world.device.ak, SIGNING_KEY).to_bytes();
    world.refuses_request(checks::DK_IS_AK, |r| r.dk_public.0 = dk);
}

#[test]
fn c17_another_object_certified() {
    let mut world = World::new(17);
    let mut session = world.session();
    for name in [world.device.ak_public.name().unwrap(), vec![], vec![0, 11]] {
        let mut answer = world.answer(&session);
        let data = session.transcript().certify_data();
        let (attest, signature) = world.device.certify(&data, &name);
        (answer.certify_attest.0, answer.certify_signature.0) = (attest, signature);
        let refusal = world.judge(session, &answer).unwrap_err();
        assert_eq!(refusal.check, checks::CERTIFIED_OTHER);
        session = world.session();
    }
}

#[test]
fn c18_request_for_another_key() {
    let mut world = World::new(18);
    let stranger = SigningKey::generate_from_rng(&mut common::rng(1));
    world.refuses_answer(checks::CSR_KEY, |_, _, answer| {
        answer.csr.0 = csr(&stranger, &CertificateParams::default());
    });
    world.refuses_answer(checks::CSR_KEY, |device, _, answer| {
        answer.csr.0 = csr(&device.ak, &CertificateParams::default());
    });
}

#[test]
fn c19_request_not_signed_by_its_key() {
    let mut world = World::new(19);
    world.refuses_answer(checks::CSR_SIGNATURE, |_, _, answer| {
        *answer.csr.0.last_mut().unwrap() ^= 1;
    });
    world.refuses_answer(checks::CSR_SIGNATURE, |_, _, answer| answer.csr.0.push(0));
    world.refuses_answer(checks::CSR_SIGNATURE, |_, _, answer| answer.csr.0.clear());
}

#[test]
fn c20_requested_attributes_are_ignored() {
    let mut world = World::new(20);
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://demo/authority".try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let session = world.session();
    let answer =
        EnrolAnswer { csr: Bytes(csr(&world.device.dk, &params)), ..world.answer(&session) };
    let verified = world.judge(session, &answer).unwrap();
    assert_eq!(verified.device(), &DeviceId::from_ek_public(&world.device.ek_public.to_bytes()));
}

// ---- activation ----

#[test]
fn c21_credential_for_another_attestation_key() {
    // The TPM itself refuses it: the name is under the credential's HMAC.
    let mut world = World::new(21);
    let session = world.session();
    let challenge = session.challenge();
    let (blob, secret) = (&challenge.credential_blob.0, &challenge.encrypted_secret.0);
    let (own, other) = (world.device.ak_public.name(), world.device.dk_public.name());
    assert!(world.device.ek.activate(&own.unwrap(), blob, secret).is_some());
    assert_eq!(world.device.ek.activate(&other.unwrap(), blob, secret), None);
}

#[test]
fn c22_wrong_activation_proof() {
    let mut world = World::new(22);
    for proof in [[0; 32], [0xff; 32]] {
        world.refuses_answer(checks::ACTIVATION, |_, _, answer| {
            answer.activation_proof = Fixed(proof);
        });
    }
}

#[test]
fn c23_activation_proof_of_another_session() {
    let mut world = World::new(23);
    let (first, second) = (world.session(), world.session());
    let mut answer = world.answer(&second);
    answer.activation_proof = world.answer(&first).activation_proof;
    assert_eq!(world.judge(second, &answer).unwrap_err().check, checks::ACTIVATION);
}

#[test]
fn c25_answer_after_the_end() {
    let mut world = World::new(25);
    for (late, accepted) in [(SESSION_S, true), (SESSION_S + 1, false)] {
        let session = world.session();
        let answer = world.answer(&session);
        let then = now() + SignedDuration::from_secs(late);
        let judged = verify::judge(session, &answer, &world.policy, then);
        assert_eq!(judged.map_err(|refusal| refusal.check).is_ok(), accepted);
    }
}

#[test]
fn c26_attestation_key_of_another_tpm() {
    // Device A shows its own EK but B's AK: only A's TPM can open the seed, only B's TPM has the
    // name, so neither releases the secret and no proof can be made.
    let mut world = World::new(26);
    let b = Device::new(&world.vendor, EkAlgorithm::P256, &mut world.rng);
    let mut request = world.device.request();
    request.ak_public.0 = b.ak_public.to_bytes();
    let session = world.challenge(&request).unwrap();
    let challenge = session.challenge().clone();
    let (blob, secret) = (&challenge.credential_blob.0, &challenge.encrypted_secret.0);
    assert_eq!(b.ek.activate(&b.ak_public.name().unwrap(), blob, secret), None);
    let own = world.device.ak_public.name().unwrap();
    assert_eq!(world.device.ek.activate(&own, blob, secret), None);
    let mut answer = b.answer(&request, &challenge_for(&b, &mut world), &authority().spki_sha256);
    answer.activation_proof = Fixed([0; 32]);
    assert_eq!(world.judge(session, &answer).unwrap_err().check, checks::ACTIVATION);
}

#[test]
fn c27_certification_by_another_attestation_key() {
    let mut world = World::new(27);
    let stranger = SigningKey::generate_from_rng(&mut common::rng(2));
    world.refuses_answer(checks::CERTIFY_SIGNATURE, |_, _, answer| {
        answer.certify_signature.0 = device::tpm_signature(&stranger, &answer.certify_attest.0);
    });
}

// ---- the quote ----

#[test]
fn c28_not_made_by_a_tpm() {
    let mut world = World::new(28);
    world.refuses_answer(checks::MAGIC, |device, _, answer| {
        answer.quote_attest.0[0] ^= 1;
        answer.quote_signature.0 = device::tpm_signature(&device.ak, &answer.quote_attest.0);
    });
    world.refuses_answer(checks::MAGIC, |device, _, answer| {
        answer.certify_attest.0[3] ^= 1;
        answer.certify_signature.0 = device::tpm_signature(&device.ak, &answer.certify_attest.0);
    });
}

#[test]
fn c29_quote_and_certification_swapped() {
    let mut world = World::new(29);
    world.refuses_answer(checks::ATTESTATION_TYPE, |_, _, answer| {
        answer.quote_attest = answer.certify_attest.clone();
        answer.quote_signature = answer.certify_signature.clone();
    });
    world.refuses_answer(checks::ATTESTATION_TYPE, |_, _, answer| {
        answer.certify_attest = answer.quote_attest.clone();
        answer.certify_signature = answer.quote_signature.clone();
    });
}

#[test]
fn c30_made_for_something_else() {
    let mut world = World::new(30);
    // Of an older session of the same device.
    let (old, session) = (world.session(), world.session());
    let mut answer = world.answer(&session);
    let stale = world.answer(&old);
    answer.quote_attest = stale.quote_attest.clone();
    answer.quote_signature = stale.quote_signature.clone();
    assert_eq!(world.judge(session, &answer).unwrap_err().check, checks::NONCE);
    // The label of the certification on the quote, and the other way round.
    let session = world.session();
    let mut answer = world.answer(&session);
    let transcript = *session.transcript();
    (answer.quote_attest.0, answer.quote_signature.0) =
        world.device.quote(&transcript.certify_data());
    assert_eq!(world.judge(session, &answer).unwrap_err().check, checks::NONCE);
    let session = world.session();
    let mut answer = world.answer(&session);
    let name = world.device.dk_public.name().unwrap();
    let data = session.transcript().quote_data();
    (answer.certify_attest.0, answer.certify_signature.0) = world.device.certify(&data, &name);
    assert_eq!(world.judge(session, &answer).unwrap_err().check, checks::NONCE);
}

#[test]
fn c30_relayed_from_another_authority() {
    // The device saw a TLS certificate other than the authority's: everything it made is over
    // another transcript.
    let mut world = World::new(30);
    let session = world.session();
    let answer = world.device.answer(session.request(), session.challenge(), &[0xbb; 32]);
    assert_eq!(world.judge(session, &answer).unwrap_err().check, checks::ACTIVATION);
}

#[test]
fn c31_quote_signature() {
    let mut world = World::new(31);
    world.refuses_answer(checks::QUOTE_SIGNATURE, |_, _, answer| {
        *answer.quote_signature.0.last_mut().unwrap() ^= 1;
    });
    let order = device::unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    for half in [vec![0; 32], vec![], order, vec![0x11; 33]] {
        for first in [true, false] {
            world.refuses_answer(checks::QUOTE_SIGNATURE, |_, _, answer| {
                let parsed = &answer.quote_signature.0;
                let mut signature = sealsum_attest::tpm::EcdsaSignature::parse(parsed).unwrap();
                *(if first { &mut signature.r } else { &mut signature.s }) = half.clone();
                answer.quote_signature.0 = signature.to_bytes();
            });
        }
    }
    world.refuses_answer(checks::QUOTE_SIGNATURE, |_, _, answer| {
        answer.quote_signature.0[3] = 0x0c; // says SHA-384
    });
    // DER, as TLS has it, is no TPM structure.
    world.refuses_answer(checks::TPM_STRUCTURE, |device, _, answer| {
        use p256::ecdsa::signature::Signer;
        let signature: p256::ecdsa::Signature = device.ak.sign(&answer.quote_attest.0);
        answer.quote_signature.0 = signature.to_der().as_bytes().to_vec();
    });
}

#[test]
fn c32_malformed_structures() {
    let mut world = World::new(32);
    let resign = |device: &Device, answer: &mut EnrolAnswer| {
        answer.quote_signature.0 = device::tpm_signature(&device.ak, &answer.quote_attest.0);
    };
    world.refuses_answer(checks::TPM_STRUCTURE, |device, _, answer| {
        answer.quote_attest.0.push(0);
        resign(device, answer);
    });
    world.refuses_answer(checks::TPM_STRUCTURE, |device, _, answer| {
        answer.quote_attest.0[6..8].copy_from_slice(&[0xff, 0xff]); // qualifiedSigner's length
        resign(device, answer);
    });
    world.refuses_answer(checks::TPM_STRUCTURE, |device, _, answer| {
        let count = answer.quote_attest.0.len() - (4 + 2 + 1 + 3 + 2 + 32);
        answer.quote_attest.0[count..count + 4].copy_from_slice(&[0xff; 4]);
        resign(device, answer);
    });
    world.refuses_answer(checks::TPM_STRUCTURE, |_, _, answer| answer.quote_signature.0.push(0));
    world.refuses_answer(checks::TPM_STRUCTURE, |_, _, answer| {
        answer.certify_signature.0.clear();
    });
    world.refuses_request(checks::TPM_STRUCTURE, |request| request.ak_public.0.push(0));
    world.refuses_request(checks::TPM_STRUCTURE, |request| request.dk_public.0.clear());
    world.refuses_request(checks::TPM_STRUCTURE, |request| request.ek_public.0.push(0));
}

#[test]
fn c33_other_selections() {
    let bank = |hash, bitmap: &[u8]| PcrBank { hash, bitmap: bitmap.to_vec() };
    let good = bank(alg::SHA256, &[0x81, 0, 0]);
    for selection in [
        vec![],
        vec![bank(alg::SHA256, &[0, 0, 0])],
        vec![bank(alg::SHA256, &[])],
        vec![bank(alg::SHA256, &[0x80, 0, 0])],
        vec![bank(alg::SHA256, &[0x83, 0, 0])],
        vec![bank(alg::SHA256, &[0, 0x81, 0])],
        vec![bank(alg::SHA1, &[0x81, 0, 0])],
        vec![bank(alg::SHA1, &[0x81, 0, 0]), good.clone()],
        vec![good.clone(), good.clone()],
    ] {
        let mut world = World::new(33);
        let session = world.session();
        let mut answer = world.answer(&session);
        let digest = pcr::digest(&world.device.pcrs).to_vec();
        let attested = Attested::Quote { selection, digest };
        let attest = world.device.attest(&session.transcript().quote_data(), attested);
        (answer.quote_attest.0, answer.quote_signature.0) = world.device.sign(&attest.to_bytes());
        assert_eq!(world.judge(session, &answer).unwrap_err().check, checks::PCR_SELECTION);
    }
}

#[test]
fn c34_values_that_were_not_quoted() {
    let mut world = World::new(34);
    for values in [
        pcrs(&[(0, 0x11), (7, 0x78)]),
        pcrs(&[(0, 0x77), (7, 0x11)]),
        pcrs(&[(7, 0x77)]),
        pcrs(&[(0, 0x11), (1, 0x11), (7, 0x77)]),
        PcrValues::default(),
    ] {
        world.refuses_answer(checks::PCR_VALUES, |_, _, answer| answer.pcrs = values.clone());
    }
}

#[test]
fn c35_enforced_baselines() {
    let baseline = pcrs(&[(0, 0x11), (7, 0x77)]);
    let data = PolicyData {
        pcr_mode: PcrMode::Enforce,
        pcr_baselines: vec![pcrs(&[(0, 0), (7, 0)]), baseline],
        ..policy_data()
    };
    let mut world = World::with(35, EkAlgorithm::P256, data);
    let session = world.session();
    let answer = world.answer(&session);
    assert_eq!(world.judge(session, &answer).unwrap().pcr_verdict(), PcrVerdict::Known);
    // Another state, and one that measured nothing although a baseline says so.
    for values in [pcrs(&[(0, 0x12), (7, 0x77)]), pcrs(&[(0, 0), (7, 0)])] {
        world.device.pcrs = values;
        world.refuses_answer(checks::PCR_POLICY, |_, _, _| ());
    }
}

#[test]
fn c38_an_unsafe_clock_is_accepted() {
    for safe in [false, true] {
        let mut world = World::new(38);
        world.device.clock.safe = safe;
        let session = world.session();
        let answer = world.answer(&session);
        assert!(world.judge(session, &answer).is_ok());
    }
}

// ---- the X25519 identity ----

#[test]
fn c39_low_order_keys() {
    let mut world = World::new(39);
    // RFC 7748 and the list of small-order points on Curve25519.
    for point in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let point = device::unhex(point).try_into().unwrap();
        world.refuses_request(checks::X25519_LOW_ORDER, |r| r.x25519_public = Fixed(point));
    }
}

#[test]
fn c40_possession_not_shown() {
    let mut world = World::new(40);
    world.refuses_answer(checks::X25519_POSSESSION, |_, _, answer| {
        answer.x25519_proof = Fixed([0; 32]);
    });
    // Made with another private key than the one whose public half is claimed.
    let session = world.session();
    let mut answer = world.answer(&session);
    let other = x25519_dalek::StaticSecret::from([3; 32]);
    let challenge = session.challenge();
    let proof = prove_possession(
        &other,
        &challenge.x25519_challenge.0,
        &challenge.nonce.0,
        session.transcript(),
    );
    answer.x25519_proof = Fixed(proof.unwrap());
    assert_eq!(world.judge(session, &answer).unwrap_err().check, checks::X25519_POSSESSION);
}

#[test]
fn c41_reflected_challenge() {
    // The device side: a challenge that is the device's own key, or of low order, is a trap.
    let world = World::new(41);
    let transcript = {
        let mut world = World::new(41);
        *world.session().transcript()
    };
    for trap in [world.device.x25519_public(), [0; 32]] {
        assert!(prove_possession(&world.device.x25519, &trap, &[1; 32], &transcript).is_err());
    }
}

#[test]
fn c53_unknown_versions_and_exceeded_bounds() {
    let mut world = World::new(53);
    world.refuses_request(checks::PROTOCOL_VERSION, |request| request.protocol = 2);
    world.refuses_request(checks::PROTOCOL_VERSION, |request| {
        request.ek_chain = vec![request.ek_chain[0].clone(); 6];
    });
    world.refuses_request(checks::PROTOCOL_VERSION, |request| request.srk_name.0 = vec![0; 67]);
}

// ---- renewal ----

/// A device on record, renewing with good evidence that the test may bend.
fn renew(
    bend: impl FnOnce(&mut World, &mut Known),
    answer_bend: impl FnOnce(&mut RenewAnswer),
) -> Result<(), Check> {
    let mut world = World::new(60);
    let session = world.session();
    let answer = world.answer(&session);
    let verified = world.judge(session, &answer).unwrap();
    let mut known = Known {
        device: *verified.device(),
        keys: verified.keys().clone(),
        software: verified.software(),
        last: verified.state(),
        serial: vec![1, 2, 3],
    };
    let seen = known.clone();
    bend(&mut world, &mut known);
    let session = RenewalSession::new(known, &world.policy, now(), &mut world.rng);
    let csr = world.device.csr();
    let renewal = Renewal {
        nonce: &session.challenge().nonce.0,
        device: &seen.device,
        dk_name: &seen.keys.dk_name,
        x25519_public: &seen.keys.x25519_public,
        old_serial: &seen.serial,
        csr: &csr,
    };
    let mut answer = RenewAnswer {
        session: session.id(),
        quote_attest: Bytes::default(),
        quote_signature: Bytes::default(),
        pcrs: PcrValues::default(),
        csr: Bytes(csr.clone()),
    };
    answer = world.device.renew(&renewal, answer);
    answer_bend(&mut answer);
    verify::judge_renewal(session, &answer, &world.policy, now())
        .map(|_| ())
        .map_err(|refusal| refusal.check)
}

#[test]
fn renewal_with_fresh_evidence_passes() {
    assert_eq!(renew(|_, _| (), |_| ()), Ok(()));
    let later = |world: &mut World, _: &mut Known| {
        world.device.clock.reset_count += 1;
        world.device.clock.restart_count = 0;
        world.device.clock.clock = 0;
    };
    assert_eq!(renew(later, |_| ()), Ok(()));
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
fn c37_counters_going_down() {
    let bends: [fn(&mut TpmState); 4] = [
        |last| last.reset_count += 1,
        |last| last.restart_count += 1,
        |last| last.clock_ms += 1,
        |last| last.firmware_version += 1,
    ];
    for bend in bends {
        assert_eq!(renew(|_, known| bend(&mut known.last), |_| ()), Err(checks::COUNTERS));
    }
}

#[test]
fn c47_renewal_bound_to_device_keys_serial_and_request() {
    let other = DeviceId::from_bytes([9; 32]);
    assert_eq!(renew(|_, known| known.device = other, |_| ()), Err(checks::NONCE));
    assert_eq!(renew(|_, known| known.serial[0] = 9, |_| ()), Err(checks::NONCE));
    assert_eq!(renew(|_, known| known.keys.x25519_public[0] ^= 1, |_| ()), Err(checks::NONCE));
    let other_csr = |answer: &mut RenewAnswer| {
        answer.csr.0 =
            csr(&SigningKey::generate_from_rng(&mut common::rng(3)), &CertificateParams::default());
    };
    assert_eq!(renew(|_, _| (), other_csr), Err(checks::NONCE));
    let stranger = |world: &mut World, _: &mut Known| {
        world.device.ak = SigningKey::generate_from_rng(&mut world.rng);
    };
    assert_eq!(renew(stranger, |_| ()), Err(checks::QUOTE_SIGNATURE));
}

// ---- the policy itself ----

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
    let bad = PolicyData { require: Door::AllowList, ..data() };
    assert_eq!(refused(bad), PolicyError::NobodyAllowed);
    let bad = PolicyData { lifetime_s: 24 * 3600 + 1, ..data() };
    assert_eq!(refused(bad), PolicyError::Lifetime);
    let empty: PolicyData = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, PolicyData::default());
    assert!(serde_json::from_str::<PolicyData>(r#"{"pcr":[7]}"#).is_err());
}

// ---- helpers ----

fn world_data() -> PolicyData {
    policy_data()
}

fn ecc(public: &mut Public) -> &mut sealsum_attest::tpm::EccPublic {
    match &mut public.kind {
        PublicKind::Ecc(ecc) => ecc,
        PublicKind::Rsa(_) => unreachable!("the key is on a curve"),
    }
}

fn rsa_signing_kind() -> PublicKind {
    PublicKind::Rsa(sealsum_attest::tpm::RsaPublic {
        symmetric: None,
        scheme: Scheme::with_hash(alg::RSASSA, alg::SHA256),
        key_bits: 2048,
        exponent: 0,
        modulus: vec![0xff; 256],
    })
}

/// Replaces the device's endorsement certificate by one of these parameters.
fn recertify(world: &mut World, params: &CertificateParams) {
    let point = world.device.ek_public.p256_point().unwrap();
    let spki = sealsum_attest::certificate::PublicKey::from_sec1(&point).unwrap().to_spki();
    world.device.ek_certificate = world.vendor.certify_with(params, &spki);
}

/// A challenge that `device` can answer, to get an answer to bend.
fn challenge_for(device: &Device, world: &mut World) -> sealsum_attest::messages::EnrolChallenge {
    world.challenge(&device.request()).unwrap().challenge().clone()
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
