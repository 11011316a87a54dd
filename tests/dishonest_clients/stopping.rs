//! Devices that stop at each step, that send everything again and again, out of turn, from outside
//! the roster, what others sent, or no messages at all.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::error::AbortCode;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::{
    Advertise, ConsistencySignature, MaskedInput, Reveal, ShareAck, SharedKeys,
};
use sealsum_protocol::server::{Event, Incoming, Step};
use sealsum_protocol::signature::Signature;
use sealsum_test_fleet::*;

use crate::session::{Script, Session, round, six};

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];
const HONEST: [usize; 5] = [0, 1, 2, 3, 4];

#[test]
fn a_device_that_stops_before_it_deals() {
    let ended = six(&Script::silent_from(0));
    ended.assert_exact(&HONEST);
    assert_eq!(ended.dropped(), [(5, Step::Share)]);
}

#[test]
fn a_device_that_stops_before_it_acknowledges() {
    let ended = six(&Script::silent_from(1));
    ended.assert_exact(&HONEST);
    assert_eq!(ended.dropped(), [(5, Step::Mask)]);
}

#[test]
fn a_device_that_stops_before_it_uploads() {
    let ended = six(&Script::silent_from(2));
    ended.assert_exact(&HONEST);
    assert_eq!(ended.dropped(), [(5, Step::Mask)]);
}

#[test]
fn a_device_that_stops_before_it_signs() {
    let ended = six(&Script::silent_from(3));
    ended.assert_exact(&ALL);
    assert_eq!(ended.dropped(), [(5, Step::Check)]);
}

#[test]
fn a_device_that_stops_before_it_answers() {
    let ended = six(&Script::silent_from(4));
    ended.assert_exact(&ALL);
    assert_eq!(ended.dropped(), [(5, Step::Unmask)]);
}

#[test]
fn c_devices_that_stop_at_any_step() {
    for step in 0..5 {
        let ended = round(12, &[1, 8], &Script::silent_from(step));
        let contributors: Vec<usize> =
            (0..12).filter(|index| step > 2 || ![1, 8].contains(index)).collect();
        ended.assert_exact(&contributors);
        let dropped: Vec<usize> = ended.dropped().into_iter().map(|(index, _)| index).collect();
        assert_eq!(dropped, [1, 8], "step {step}");
    }
}

/// Beyond what the cohort survives the round ends, by its reason.
#[test]
fn more_devices_that_stop_than_the_round_survives() {
    let ended = round(6, &[4, 5], &Script::silent_from(2));
    assert_eq!(ended.abort(), (AbortCode::TooFewContributors, vec![]));
}

/// One message of each kind, none of them right, each time another.
fn nonsense(number: u8) -> Vec<Incoming> {
    let signature = Signature([number; 64]);
    let (root, good) = (Hash([number; 32]), Bitmap::of(7, [usize::from(number % 7)]));
    let self_mask_commitment = root;
    vec![
        Incoming::Shares(SharedKeys { self_mask_commitment, shares: vec![], signature }),
        Incoming::Ack(ShareAck { good }),
        Incoming::Masked { message: MaskedInput { root, signature }, received_root: root },
        Incoming::Consistency(ConsistencySignature { signature }),
    ]
}

/// At each step a culprit sends each kind of message a hundred times. All is refused, nothing is
/// left to do or to say about it, and the round goes on as if nothing had come.
#[test]
fn a_flood_at_each_step_leaves_nothing_behind() {
    let steps: [fn(&mut Session, &Script); 5] =
        [Session::share, Session::acknowledge, Session::mask, Session::check, Session::unmask];
    let mut session = Session::new(6, task(6, |_| {}), &[5]);
    let script = Script::honest();
    for step in steps {
        let before = format!("{:?}", session.round.report());
        for number in 0..100 {
            for message in nonsense(number) {
                let from = session.device_id(5);
                let outcome = session.round.handle(START, Event::Received { from, message });
                assert!(outcome.is_err());
                assert!(session.round.poll().is_none(), "the flood made work");
            }
        }
        assert_eq!(format!("{:?}", session.round.report()), before);
        step(&mut session, &script);
    }
    session.end().assert_exact(&ALL);
}

#[test]
fn messages_out_of_turn_are_refused() {
    let mut session = Session::new(6, task(6, |_| {}), &[5]);
    for message in nonsense(1).into_iter().skip(1) {
        session.send_of_culprit(5, message);
    }
    session.send_of_culprit(5, Incoming::Reveal(Reveal { shares: vec![] }));
    session.run(&Script::honest());
    let ended = session.end();
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::NotInRoster; 4]);
}

/// What another device sent, under one's own name.
#[test]
fn messages_of_another_device_are_refused() {
    let mut session = Session::new(6, task(6, |_| {}), &[4, 5]);
    let Member::Colluding(other) = &session.members[4] else { panic!() };
    let deal = other.deal_to(session.round.cohort().unwrap(), |_| true);
    session.send_of_culprit(5, Incoming::Shares(deal));
    session.run(&Script::honest());
    let ended = session.end();
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::DealShape]);
}

#[test]
fn a_second_entry_after_the_roster_is_closed() {
    let mut session = Session::new(6, task(6, |_| {}), &[5]);
    let Member::Colluding(culprit) = &session.members[5] else { panic!() };
    let mut signed = culprit.signed.clone();
    signed.entry.mask_key[0] ^= 1;
    session.send_of_culprit(5, Incoming::Advertise(Box::new(Advertise { signed })));
    session.run(&Script::honest());
    let ended = session.end();
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::DifferentResend]);
}

/// What is no message never reaches the round: cut short, lengthened, of another kind or version.
#[test]
fn bytes_that_are_no_message_are_none_of_its_kinds() {
    fn none<M: Message>(honest: &M) {
        let bytes = honest.to_bytes();
        assert!(M::from_bytes(&bytes).is_ok());
        let [mut version, mut kind] = [bytes.clone(), bytes.clone()];
        version[0] += 1;
        kind[1] += 1;
        let longer = [&bytes[..], &[0]].concat();
        let shorter = bytes[..bytes.len() - 1].to_vec();
        for bad in [version, kind, longer, shorter, Vec::new(), vec![0xff; 1000]] {
            assert!(M::from_bytes(&bad).is_err());
        }
    }
    let session = Session::new(6, task(6, |_| {}), &[5]);
    let cohort = session.round.cohort().unwrap();
    let Member::Colluding(culprit) = &session.members[5] else { panic!() };
    let [all, nobody] = [Bitmap::of(6, 0..6), Bitmap::empty(6)];
    none(&Advertise { signed: culprit.signed.clone() });
    none(&culprit.deal_to(cohort, |_| true));
    none(&ShareAck { good: Bitmap::of(5, 0..5) });
    none(&culprit.masked_input(cohort, &all, &[]));
    none(&ConsistencySignature { signature: culprit.alive(cohort, [&all, &all, &nobody]) });
    none(&Reveal { shares: vec![] });
}
