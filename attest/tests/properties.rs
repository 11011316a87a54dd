//! Every truncation and every single-bit flip of good evidence is refused, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::thread;

use common::{World, authority, now};
use sealsum_attest::messages::{EnrolAnswer, EnrolRequest, RenewAnswer};
use sealsum_attest::verify::{self, Admitted, Known, RenewalSession, Session};

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
    ("pcr 0", |a| a.pcrs.0.get_mut(&0).unwrap()),
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

#[test]
fn every_bit_flip_of_the_json_of_a_request_is_refused() {
    let mut world = World::new(6);
    let sent = world.device.request();
    let text = serde_json::to_vec(&sent).unwrap();
    each_flip(&text, |at, bent| {
        let Ok(received) = serde_json::from_slice::<EnrolRequest>(bent) else { return };
        assert_ne!(received, sent, "bit {at}: two texts of one message");
        // Another token is another message; whether it opens the door, the registry knows.
        if (EnrolRequest { token: sent.token.clone(), ..received.clone() }) == sent {
            return;
        }
        assert!(request_refused(&mut world, &sent, &received), "bit {at}");
    });
}

#[test]
fn every_bit_flip_of_the_json_of_an_answer_is_refused() {
    let replay = Replay::new();
    let text = serde_json::to_vec(&replay.answer).unwrap();
    each_flip(&text, |at, bent| {
        let Ok(received) = serde_json::from_slice::<EnrolAnswer>(bent) else { return };
        assert_ne!(received, replay.answer, "bit {at}: two texts of one message");
        assert!(replay.refuses(|answer| *answer = received), "bit {at}");
    });
}

/// Shows the text with each bit changed.
fn each_flip(text: &[u8], mut judge: impl FnMut(usize, &[u8])) {
    let mut bent = text.to_vec();
    for bit in 0..text.len() * 8 {
        bent[bit / 8] ^= 1 << (bit % 8);
        judge(bit, &bent);
        bent[bit / 8] ^= 1 << (bit % 8);
    }
}

/// A renewal by good evidence but for what is done to its answer.
fn renewal_refused(world: &mut World, known: &Known, bend: impl FnOnce(&mut RenewAnswer)) -> bool {
    let session = RenewalSession::new(known.clone(), &world.policy, now(), &mut common::rng(11));
    let mut answer = world.renewal_answer(&session, known);
    bend(&mut answer);
    verify::judge_renewal(session, &answer, &world.policy, now()).is_err()
}

#[test]
fn every_bit_flip_and_truncation_of_a_renewal_is_refused() {
    let mut world = World::new(7);
    let session = world.session();
    let answer = world.answer(&session);
    let verified = world.judge(session, &answer).unwrap();
    let known = world.known(&verified);
    assert!(!renewal_refused(&mut world, &known, |_| ()));
    type Field = fn(&mut RenewAnswer) -> &mut Vec<u8>;
    let fields: [Field; 3] =
        [|a| &mut a.quote_attest.0, |a| &mut a.quote_signature.0, |a| &mut a.csr.0];
    for field in fields {
        let mut length = 0;
        renewal_refused(&mut world, &known, |answer| length = field(answer).len());
        for at in 0..length {
            for bit in 0..8 {
                let flip = |answer: &mut RenewAnswer| field(answer)[at] ^= 1 << bit;
                assert!(renewal_refused(&mut world, &known, flip), "byte {at}");
            }
            let cut = |answer: &mut RenewAnswer| field(answer).truncate(at);
            assert!(renewal_refused(&mut world, &known, cut), "{at}");
        }
    }
    for pcr in [0, 7] {
        for at in 0..32 {
            let flip = |answer: &mut RenewAnswer| answer.pcrs.0.get_mut(&pcr).unwrap()[at] ^= 1;
            assert!(renewal_refused(&mut world, &known, flip), "PCR {pcr}");
        }
    }
}

/// Runs the cases side by side and fails if one of them does.
fn each_in_its_thread<T: Sync>(cases: &[T], run: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| run(case));
        }
    });
}
