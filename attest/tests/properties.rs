//! Every truncation and every single-bit flip of good evidence is refused, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::thread;

use common::{World, authority, now};
use sealsum_attest::messages::{EnrolAnswer, EnrolRequest};
use sealsum_attest::verify::{self, Admitted, Session};

/// A binary field of a request.
type RequestField = (&'static str, fn(&mut EnrolRequest) -> &mut [u8]);

const REQUEST: &[RequestField] = &[
    ("ek_certificate", |r| &mut r.ek_certificate.0),
    ("ek_chain", |r| &mut r.ek_chain[0].0),
    ("ek_public", |r| &mut r.ek_public.0),
    ("ak_public", |r| &mut r.ak_public.0),
    ("dk_public", |r| &mut r.dk_public.0),
    ("x25519_public", |r| &mut r.x25519_public.0),
    ("srk_name", |r| &mut r.srk_name.0),
    ("client_random", |r| &mut r.client_random.0),
];

/// A binary field of an answer.
type AnswerField = (&'static str, fn(&mut EnrolAnswer) -> &mut [u8]);

const ANSWER: &[AnswerField] = &[
    ("quote_attest", |a| &mut a.quote_attest.0),
    ("quote_signature", |a| &mut a.quote_signature.0),
    ("certify_attest", |a| &mut a.certify_attest.0),
    ("certify_signature", |a| &mut a.certify_signature.0),
    ("csr", |a| &mut a.csr.0),
    ("activation_proof", |a| &mut a.activation_proof.0),
    ("x25519_proof", |a| &mut a.x25519_proof.0),
    ("pcr 7", |a| a.pcrs.0.get_mut(&7).unwrap()),
];

/// Whether the whole exchange fails if the request is changed on its way to the authority, while
/// the device believes in the one it sent.
fn request_refused(world: &mut World, sent: &EnrolRequest, received: &EnrolRequest) -> bool {
    let Ok(session) = world.challenge(received) else {
        return true;
    };
    // The device answers what it can: the credential is still for its keys, or it is not admitted.
    let challenge = session.challenge().clone();
    let answer = world.device.answer(sent, &challenge, &authority().spki_sha256);
    world.judge(session, &answer).is_err()
}

/// One session, made anew from the same randomness for each answer, since judging consumes it.
struct Replay {
    world: World,
    admitted: Admitted,
    answer: EnrolAnswer,
}

impl Replay {
    fn new() -> Self {
        let world = World::new(3);
        let admitted = verify::admit(world.device.request(), &world.policy, now()).unwrap();
        let answer = world.answer(&Self::session(&world, &admitted));
        let replay = Self { world, admitted, answer };
        assert!(!replay.refuses(|_| ()));
        replay
    }

    fn session(world: &World, admitted: &Admitted) -> Session {
        let admitted = admitted.clone();
        admitted.challenge(&authority(), &world.policy, now(), &mut common::rng(9)).unwrap()
    }

    fn refuses(&self, bend: impl FnOnce(&mut EnrolAnswer)) -> bool {
        let mut answer = self.answer.clone();
        bend(&mut answer);
        self.world.judge(Self::session(&self.world, &self.admitted), &answer).is_err()
    }
}

#[test]
fn every_bit_flip_of_a_request_is_refused() {
    each_in_its_thread(REQUEST, |(name, field)| {
        let mut world = World::new(1);
        let sent = world.device.request();
        assert!(!request_refused(&mut world, &sent, &sent));
        let bits = field(&mut sent.clone()).len() * 8;
        for bit in 0..bits {
            let mut received = sent.clone();
            field(&mut received)[bit / 8] ^= 1 << (bit % 8);
            assert!(request_refused(&mut world, &sent, &received), "{name} bit {bit}");
        }
    });
}

#[test]
fn every_truncation_of_a_request_is_refused() {
    let mut world = World::new(2);
    let sent = world.device.request();
    type Field = fn(&mut EnrolRequest) -> &mut Vec<u8>;
    let fields: [Field; 6] = [
        |r| &mut r.ek_certificate.0,
        |r| &mut r.ek_chain[0].0,
        |r| &mut r.ek_public.0,
        |r| &mut r.ak_public.0,
        |r| &mut r.dk_public.0,
        |r| &mut r.srk_name.0,
    ];
    for field in fields {
        for length in 0..field(&mut sent.clone()).len() {
            let mut received = sent.clone();
            field(&mut received).truncate(length);
            assert!(request_refused(&mut world, &sent, &received), "{length}");
        }
    }
}

#[test]
fn every_bit_flip_of_an_answer_is_refused() {
    let replay = Replay::new();
    each_in_its_thread(ANSWER, |(name, field)| {
        for bit in 0..field(&mut replay.answer.clone()).len() * 8 {
            let flip = |answer: &mut EnrolAnswer| field(answer)[bit / 8] ^= 1 << (bit % 8);
            assert!(replay.refuses(flip), "{name} bit {bit}");
        }
    });
}

#[test]
fn every_truncation_of_an_answer_is_refused() {
    type Field = fn(&mut EnrolAnswer) -> &mut Vec<u8>;
    let fields: [Field; 5] = [
        |a| &mut a.quote_attest.0,
        |a| &mut a.quote_signature.0,
        |a| &mut a.certify_attest.0,
        |a| &mut a.certify_signature.0,
        |a| &mut a.csr.0,
    ];
    let replay = Replay::new();
    for field in fields {
        for length in 0..field(&mut replay.answer.clone()).len() {
            assert!(replay.refuses(|answer| field(answer).truncate(length)), "{length}");
        }
    }
}

#[test]
fn every_truncation_of_the_json_is_refused() {
    let mut world = World::new(5);
    let session = world.session();
    let request = serde_json::to_string(session.request()).unwrap();
    let answer = serde_json::to_string(&world.answer(&session)).unwrap();
    for length in 0..request.len() {
        assert!(serde_json::from_str::<EnrolRequest>(&request[..length]).is_err());
    }
    for length in 0..answer.len() {
        assert!(serde_json::from_str::<EnrolAnswer>(&answer[..length]).is_err());
    }
    let request: EnrolRequest = serde_json::from_str(&request).unwrap();
    assert_eq!(&request, session.request());
    assert!(verify::admit(request, &world.policy, now()).is_ok());
}

/// Runs the cases side by side and fails if one of them does.
fn each_in_its_thread<T: Sync>(cases: &[T], run: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| run(case));
        }
    });
}
