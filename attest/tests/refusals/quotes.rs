//! Mutations of the quote, and of what it shares with the certification.

use p256::ecdsa::signature::Signer;
use sealsum_attest::messages::{EnrolAnswer, PcrValues};
use sealsum_attest::pcr;
use sealsum_attest::policy::PcrMode;
use sealsum_attest::tpm::{Attested, EcdsaSignature, PcrBank, alg};
use sealsum_attest::verify::Session;

use super::common::device::{tpm_signature, unhex};
use super::common::{World, pcrs};
use super::endorsement::set_policy;
use super::{Mutation, Named};

pub const MUTATIONS: &[Named] = &[
    ("magic", Mutation::Answer(magic)),
    ("swapped", Mutation::Answer(swapped)),
    ("stale_quote", Mutation::Answer(stale_quote)),
    ("labels", Mutation::Answer(labels)),
    ("quote_signature", Mutation::Answer(quote_signature)),
    ("quote_signature_der", Mutation::Answer(quote_signature_der)),
    ("quote_bytes", Mutation::Answer(quote_bytes)),
    ("signature_bytes", Mutation::Answer(signature_bytes)),
    ("selection", Mutation::Answer(selection)),
    ("pcr_values", Mutation::Answer(pcr_values)),
    ("enforced", Mutation::World(enforced)),
    ("unsafe_clock", Mutation::World(|world, _| world.device.clock.safe = false)),
];

/// Order of P-256.
const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn magic(world: &mut World, which: &str, _: &Session, answer: &mut EnrolAnswer) {
    let (attest, signature) = match which {
        "quote" => (&mut answer.quote_attest.0, &mut answer.quote_signature.0),
        _ => (&mut answer.certify_attest.0, &mut answer.certify_signature.0),
    };
    attest[0] ^= 1;
    *signature = tpm_signature(&world.device.ak, attest);
}

/// The other one in the place of this one.
fn swapped(_: &mut World, which: &str, _: &Session, answer: &mut EnrolAnswer) {
    if which == "quote" {
        answer.quote_attest = answer.certify_attest.clone();
        answer.quote_signature = answer.certify_signature.clone();
    } else {
        answer.certify_attest = answer.quote_attest.clone();
        answer.certify_signature = answer.quote_signature.clone();
    }
}

fn stale_quote(world: &mut World, _: &str, _: &Session, answer: &mut EnrolAnswer) {
    let older = world.session();
    let stale = world.answer(&older);
    answer.quote_attest = stale.quote_attest;
    answer.quote_signature = stale.quote_signature;
}

/// This one made with the label of the other.
fn labels(world: &mut World, which: &str, session: &Session, answer: &mut EnrolAnswer) {
    let transcript = session.transcript();
    if which == "quote" {
        (answer.quote_attest.0, answer.quote_signature.0) =
            world.device.quote(&transcript.certify_data());
    } else {
        let name = world.device.dk_public.name().unwrap();
        (answer.certify_attest.0, answer.certify_signature.0) =
            world.device.certify(&transcript.quote_data(), &name);
    }
}

fn quote_signature(_: &mut World, how: &str, _: &Session, answer: &mut EnrolAnswer) {
    let bytes = &mut answer.quote_signature.0;
    match how {
        "flip" => *bytes.last_mut().unwrap() ^= 1,
        "SHA-384" => bytes[3] = 0x0c,
        half => {
            let mut signature = EcdsaSignature::parse(bytes).unwrap();
            let (name, value) = half.split_at(1);
            let value = match value.trim() {
                "= 0" => vec![0; 32],
                "= n" => unhex(N),
                "empty" => vec![],
                _ => vec![0x11; 33],
            };
            *(if name == "r" { &mut signature.r } else { &mut signature.s }) = value;
            *bytes = signature.to_bytes();
        }
    }
}

fn quote_signature_der(world: &mut World, _: &str, _: &Session, answer: &mut EnrolAnswer) {
    let signature: p256::ecdsa::Signature = world.device.ak.sign(&answer.quote_attest.0);
    answer.quote_signature.0 = signature.to_der().as_bytes().to_vec();
}

fn quote_bytes(world: &mut World, how: &str, _: &Session, answer: &mut EnrolAnswer) {
    let attest = &mut answer.quote_attest.0;
    match how {
        "+00" => attest.push(0),
        // qualifiedSigner's length
        "length" => attest[6..8].copy_from_slice(&[0xff, 0xff]),
        _ => {
            // Before one selection of three bytes and the digest.
            let count = attest.len() - (4 + 2 + 1 + 3 + 2 + 32);
            attest[count..count + 4].copy_from_slice(&[0xff; 4]);
        }
    }
    answer.quote_signature.0 = tpm_signature(&world.device.ak, attest);
}

fn signature_bytes(_: &mut World, how: &str, _: &Session, answer: &mut EnrolAnswer) {
    match how {
        "+00" => answer.quote_signature.0.push(0),
        _ => answer.certify_signature.0.clear(),
    }
}

/// Banks as `hash:bitmap`, bitmaps in hex.
fn selection(world: &mut World, banks: &str, session: &Session, answer: &mut EnrolAnswer) {
    let bank = |text: &str| {
        let (hash, bitmap) = text.split_once(':').unwrap();
        let hash = if hash == "sha1" { alg::SHA1 } else { alg::SHA256 };
        PcrBank { hash, bitmap: unhex(bitmap) }
    };
    let selection = banks.split_whitespace().map(bank).collect();
    let digest = pcr::digest(&world.device.pcrs).to_vec();
    let attested = Attested::Quote { selection, digest };
    let attest = world.device.attest(&session.transcript().quote_data(), attested);
    (answer.quote_attest.0, answer.quote_signature.0) = world.device.sign(&attest.to_bytes());
}

fn pcr_values(_: &mut World, values: &str, _: &Session, answer: &mut EnrolAnswer) {
    answer.pcrs = parse_pcrs(values);
}

/// A device with these values, where one good state and one that measured nothing are baselines.
fn enforced(world: &mut World, values: &str) {
    world.device.pcrs = parse_pcrs(values);
    set_policy(world, |data| {
        data.pcr_mode = PcrMode::Enforce;
        data.pcr_baselines = vec![pcrs(&[(0, 0), (7, 0x77)]), pcrs(&[(0, 0x11), (7, 0x77)])];
    });
}

/// `index=byte`, each value that byte 32 times.
fn parse_pcrs(text: &str) -> PcrValues {
    let value = |text: &str| {
        let (index, byte) = text.split_once('=').unwrap();
        (index.parse().unwrap(), u8::from_str_radix(byte, 16).unwrap())
    };
    pcrs(&text.split_whitespace().map(value).collect::<Vec<_>>())
}
