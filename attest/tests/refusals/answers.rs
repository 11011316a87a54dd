//! Mutations of the second message but for the quote: certification, request, proofs.

use jiff::SignedDuration;
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use sealsum_attest::binding::prove_possession;
use sealsum_attest::messages::{EnrolAnswer, Fixed};
use sealsum_attest::refusals::Refusal;
use sealsum_attest::templates::EkAlgorithm;
use sealsum_attest::verify::{self, Session};
use x25519_dalek::StaticSecret;

use super::common::device::{csr, tpm_signature};
use super::common::{Device, World, authority, now, rng};
use super::{Mutation, Named};

pub const MUTATIONS: &[Named] = &[
    ("certified", Mutation::Answer(certified)),
    ("certify_signer", Mutation::Answer(certify_signer)),
    ("csr_key", Mutation::Answer(csr_key)),
    ("csr_bytes", Mutation::Answer(csr_bytes)),
    ("csr_wishes", Mutation::Answer(csr_wishes)),
    ("activation_by_another_ak", Mutation::Whole(activation_by_another_ak)),
    ("activation_proof", Mutation::Answer(activation_proof)),
    ("activation_of_another_session", Mutation::Answer(activation_of_another_session)),
    ("two_tpms", Mutation::Whole(two_tpms)),
    ("late", Mutation::Whole(late)),
    ("relayed", Mutation::Answer(relayed)),
    ("possession", Mutation::Answer(possession)),
    ("reflected", Mutation::Whole(reflected)),
];

fn stranger() -> SigningKey {
    SigningKey::generate_from_rng(&mut rng(1))
}

fn certified(world: &mut World, what: &str, session: &Session, answer: &mut EnrolAnswer) {
    let name = match what {
        "ak" => world.device.ak_public.name().unwrap(),
        "nothing" => vec![],
        _ => vec![0, 11],
    };
    let data = session.transcript().certify_data();
    (answer.certify_attest.0, answer.certify_signature.0) = world.device.certify(&data, &name);
}

fn certify_signer(_: &mut World, _: &str, _: &Session, answer: &mut EnrolAnswer) {
    answer.certify_signature.0 = tpm_signature(&stranger(), &answer.certify_attest.0);
}

fn csr_key(world: &mut World, whose: &str, _: &Session, answer: &mut EnrolAnswer) {
    let key = if whose == "ak" { world.device.ak.clone() } else { stranger() };
    answer.csr.0 = csr(&key, &CertificateParams::default());
}

fn csr_bytes(_: &mut World, how: &str, _: &Session, answer: &mut EnrolAnswer) {
    match how {
        "flip" => *answer.csr.0.last_mut().unwrap() ^= 1,
        "empty" => answer.csr.0.clear(),
        _ => answer.csr.0.push(0),
    }
}

fn csr_wishes(world: &mut World, _: &str, _: &Session, answer: &mut EnrolAnswer) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://demo/authority".try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    answer.csr.0 = csr(&world.device.dk, &params);
}

/// The credential is for one attestation key, the proof is tried with another: the name is under
/// the credential's HMAC, so the TPM itself refuses.
fn activation_by_another_ak(world: &mut World, _: &str) -> Result<(), Refusal> {
    let session = world.session();
    let challenge = session.challenge();
    let (blob, secret) = (&challenge.credential_blob.0, &challenge.encrypted_secret.0);
    let (own, other) = (world.device.ak_public.name(), world.device.dk_public.name());
    assert!(world.device.ek.activate(&own.unwrap(), blob, secret).is_some());
    assert_eq!(world.device.ek.activate(&other.unwrap(), blob, secret), None);
    let mut answer = world.answer(&session);
    answer.activation_proof = Fixed([0; 32]);
    world.judge(session, &answer).map(|_| ())
}

fn activation_proof(_: &mut World, byte: &str, _: &Session, answer: &mut EnrolAnswer) {
    answer.activation_proof = Fixed([u8::from_str_radix(byte, 16).unwrap(); 32]);
}

fn activation_of_another_session(
    world: &mut World,
    _: &str,
    _: &Session,
    answer: &mut EnrolAnswer,
) {
    let other = world.session();
    answer.activation_proof = world.answer(&other).activation_proof;
}

/// Device A shows its own EK but B's AK: only A's TPM can open the seed, only B's TPM has the
/// name, so neither releases the secret and no proof can be made.
fn two_tpms(world: &mut World, _: &str) -> Result<(), Refusal> {
    let b = Device::new(&world.vendor, EkAlgorithm::P256, &mut world.rng);
    let mut request = world.device.request();
    request.ak_public.0 = b.ak_public.to_bytes();
    let session = world.challenge(&request)?;
    let challenge = session.challenge().clone();
    let (blob, secret) = (&challenge.credential_blob.0, &challenge.encrypted_secret.0);
    assert_eq!(b.ek.activate(&b.ak_public.name().unwrap(), blob, secret), None);
    let own = world.device.ak_public.name().unwrap();
    assert_eq!(world.device.ek.activate(&own, blob, secret), None);
    let of_b = world.challenge(&b.request())?;
    let mut answer = b.answer(&request, of_b.challenge(), &authority().spki_sha256);
    answer.activation_proof = Fixed([0; 32]);
    world.judge(session, &answer).map(|_| ())
}

/// So many seconds after the challenge.
fn late(world: &mut World, seconds: &str) -> Result<(), Refusal> {
    let session = world.session();
    let answer = world.answer(&session);
    let then = now() + SignedDuration::from_secs(seconds.parse().unwrap());
    verify::judge(session, &answer, &world.policy, then).map(|_| ())
}

/// The device saw another TLS certificate than the authority's.
fn relayed(world: &mut World, _: &str, session: &Session, answer: &mut EnrolAnswer) {
    *answer = world.device.answer(session.request(), session.challenge(), &[0xbb; 32]);
}

fn possession(_: &mut World, how: &str, session: &Session, answer: &mut EnrolAnswer) {
    answer.x25519_proof = match how {
        "00" => Fixed([0; 32]),
        _ => {
            let challenge = session.challenge();
            let (trap, nonce) = (&challenge.x25519_challenge.0, &challenge.nonce.0);
            let other = StaticSecret::from([3; 32]);
            Fixed(prove_possession(&other, trap, nonce, session.transcript()).unwrap())
        }
    };
}

/// The device foresees the authority's ephemeral key and shows it as its own.
fn reflected(world: &mut World, _: &str) -> Result<(), Refusal> {
    let begin = |world: &World, request| {
        verify::admit(request, &world.policy, now())?.challenge(
            &authority(),
            &world.policy,
            now(),
            &mut rng(9),
        )
    };
    let foreseen = begin(world, world.device.request())?.challenge().x25519_challenge;
    let mut request = world.device.request();
    request.x25519_public = foreseen;
    let session = begin(world, request)?;
    assert_eq!(session.challenge().x25519_challenge, foreseen);
    let answer = world.answer(&session);
    // Nor would an honest device answer a challenge that is its own key, or of low order.
    for trap in [world.device.x25519_public(), [0; 32]] {
        let own = &world.device.x25519;
        assert!(prove_possession(own, &trap, &[1; 32], session.transcript()).is_err());
    }
    world.judge(session, &answer).map(|_| ())
}
