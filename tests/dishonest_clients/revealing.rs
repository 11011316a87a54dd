//! Lies about the survivors and in answers: a signature over other sets, by another, twice; wrong
//! shares, one and all, of the wrong kind, its own, a stranger's; a second answer; an answer
//! without a signature before it.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{ConsistencySignature, Reveal, RevealedSecret};
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::{Incoming, Step};
use sealsum_protocol::shamir::Share;
use sealsum_test_fleet::*;

use crate::session::{Script, Session, round, six};

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];

fn signing(change: impl Fn(&Colluder, &Cohort, &mut ConsistencySignature) + 'static) -> Script {
    let sign = move |culprit: &Colluder, cohort: &Cohort, mut message| {
        change(culprit, cohort, &mut message);
        Some(message)
    };
    Script { sign: Box::new(sign), ..Script::honest() }
}

#[test]
fn a_signature_over_other_survivors() {
    let ended = six(&signing(|culprit, cohort, message| {
        let [all, a, d] = [Bitmap::of(6, 0..6), Bitmap::of(6, 1..6), Bitmap::of(6, [0])];
        message.signature = culprit.alive(cohort, [&all, &a, &d]);
    }));
    // Its input is in the sum; its answer is not wanted any more.
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::AliveSignature, Guard::NotInRoster]);
    assert_eq!(ended.dropped(), [(5, Step::Check)]);
}

#[test]
fn a_signature_by_another_device() {
    let ended = six(&signing(|_, cohort, message| {
        let other = Colluder::enter(4, &spec(task(6, |_| {}), 1));
        let [all, none] = [Bitmap::of(6, 0..6), Bitmap::empty(6)];
        message.signature = other.alive(cohort, [&all, &all, &none]);
    }));
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused[0], Guard::AliveSignature);
}

fn revealing(change: impl Fn(&mut Reveal) + 'static) -> Script {
    let reveal = move |_: &Colluder, _: &Cohort, mut reveal: Reveal| {
        change(&mut reveal);
        Some(reveal)
    };
    Script { reveal: Box::new(reveal), ..Script::honest() }
}

fn random_share() -> Share {
    Share::from_canonical_bytes(SecretScalar::random(&mut rng(8)).as_bytes()).unwrap()
}

fn other_kind(secret: &RevealedSecret) -> RevealedSecret {
    match secret {
        RevealedSecret::SelfMask(share) => {
            RevealedSecret::MaskKey(Share::from_canonical_bytes(share.as_bytes()).unwrap())
        }
        RevealedSecret::MaskKey(share) => {
            RevealedSecret::SelfMask(Share::from_canonical_bytes(share.as_bytes()).unwrap())
        }
    }
}

#[test]
fn one_wrong_share_is_named_and_dropped() {
    let wrong = |reveal: &mut Reveal| {
        reveal.shares[1].secret = RevealedSecret::SelfMask(random_share());
    };
    let ended = six(&revealing(wrong));
    ended.assert_exact(&ALL);
    assert_eq!(ended.blamed(), [(5, Guard::WrongShare)]);
}

#[test]
fn an_answer_of_wrong_shares_only_is_named_and_dropped() {
    let wrong = |reveal: &mut Reveal| {
        for share in &mut reveal.shares {
            share.secret = RevealedSecret::SelfMask(random_share());
        }
    };
    let ended = six(&revealing(wrong));
    ended.assert_exact(&ALL);
    assert_eq!(ended.blamed(), [(5, Guard::WrongShare)]);
    let ended = round(12, &[2, 9], &revealing(wrong));
    ended.assert_exact(&(0..12).collect::<Vec<_>>());
    assert_eq!(ended.blamed(), [(2, Guard::WrongShare), (9, Guard::WrongShare)]);
}

fn refused_answer(change: impl Fn(&mut Reveal) + 'static) {
    let ended = six(&revealing(change));
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::RevealShape]);
    assert_eq!(ended.dropped(), [(5, Step::Unmask)]);
}

#[test]
fn a_share_of_the_wrong_kind() {
    refused_answer(|reveal| reveal.shares[0].secret = other_kind(&reveal.shares[0].secret));
}

#[test]
fn a_share_of_its_own_secret() {
    refused_answer(|reveal| reveal.shares[4].dealer = 5);
}

#[test]
fn a_share_of_a_device_beyond_the_roster() {
    refused_answer(|reveal| reveal.shares[4].dealer = 6);
}

#[test]
fn an_empty_answer_is_an_answer() {
    let ended = six(&revealing(|reveal| reveal.shares.clear()));
    ended.assert_exact(&ALL);
    assert!(ended.refused.is_empty());
}

#[test]
fn two_answers() {
    let mut session = Session::new(6, task(6, |_| {}), &[5]);
    let script = Script::honest();
    session.share(&script);
    session.acknowledge(&script);
    session.mask(&script);
    session.check(&script);
    session.send_of_culprit(5, Incoming::Reveal(Reveal { shares: Vec::new() }));
    session.unmask(&script);
    let ended = session.end();
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::DifferentResend]);
}

#[test]
fn an_answer_without_a_signature_before_it() {
    let ended = six(&Script { sign: Box::new(|_, _, _| None), ..Script::honest() });
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::NotInRoster]);
    assert_eq!(ended.dropped(), [(5, Step::Check)]);
}
