//! Lies about who agreed: fewer than Q signatures, one twice, of devices outside A, on other sets,
//! of another round, by a key that the aggregator made; a quorum on other sets after the first; a
//! copy of the device that is to reveal once more; a quorum after the deadline. What an answer
//! holds, whatever is asked: one share of each neighbour that shared, none of its own, none of a
//! stranger's, never both of one device. An input that comes after its device was called lost.

use std::collections::BTreeSet;

use sealsum_protocol::codec::Message;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{Quorum, RevealedSecret};
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::SecretKey;
use sealsum_test_fleet::*;

use crate::lie::{bytes_refused, refused, refused_as_bytes, ring_around_one, six, sum_of};
use crate::mask::share_counter;

/// All signed that all survive.
fn signed() -> Liar {
    six(Stage::Quorum)
}

fn all_agree(liar: &Liar) -> Quorum {
    let (all, none) = (liar.everybody(), liar.set([]));
    liar.quorum(&all, &all, &none)
}

fn at_least_q(liar: &Liar) -> Quorum {
    let mut quorum = all_agree(liar);
    quorum.signatures.truncate(liar.cohort.parameters.quorum);
    quorum
}

#[test]
fn one_signature_short_of_a_quorum() {
    refused(
        signed,
        at_least_q,
        |_, shown| {
            shown.signatures.pop();
        },
        Guard::Quorum,
    );
}

#[test]
fn no_signatures_at_all() {
    refused(signed, at_least_q, |_, shown| shown.signatures.clear(), Guard::Quorum);
}

#[test]
fn a_signature_altered() {
    refused(signed, at_least_q, |_, shown| shown.signatures[2].signature.0[0] ^= 1, Guard::Quorum);
}

#[test]
fn a_signature_under_another_device_s_name() {
    refused(signed, at_least_q, |_, shown| shown.signatures[3].device = 4, Guard::Quorum);
}

#[test]
fn a_signature_of_a_device_beyond_the_roster() {
    refused(signed, at_least_q, |_, shown| shown.signatures[3].device = 6, Guard::Quorum);
}

#[test]
fn a_signature_by_a_key_that_the_aggregator_made() {
    refused(
        signed,
        at_least_q,
        |liar, shown| {
            let (all, none) = (liar.everybody(), liar.set([]));
            let string = liar.cohort.transcript.with_sharers(&all).alive_string(&all, &none);
            shown.signatures[3].signature = SecretKey::from_seed(&[5; 32]).sign(&string);
        },
        Guard::Quorum,
    );
}

#[test]
fn a_colluding_device_s_signature_on_other_sets() {
    refused(
        signed,
        colluding_counts,
        |liar, shown| {
            let (all, a, d) = (liar.everybody(), liar.set(0..5), liar.set([5]));
            shown.signatures[3].signature = liar.colluder(5).alive(&liar.cohort, [&all, &a, &d]);
        },
        Guard::Quorum,
    );
}

#[test]
fn signatures_of_another_round() {
    refused(
        signed,
        at_least_q,
        |_, shown| shown.signatures = at_least_q(&six_in_round(2)).signatures,
        Guard::Quorum,
    );
}

/// Q signatures of which one is the colluding device's.
fn colluding_counts(liar: &Liar) -> Quorum {
    let mut quorum = all_agree(liar);
    quorum.signatures.drain(3..5);
    assert_eq!(quorum.signatures.len(), liar.cohort.parameters.quorum);
    quorum
}

fn six_in_round(number: u64) -> Liar {
    let spec = spec(task(6, |_| {}), number);
    let mut liar = Liar::among(&[0, 1, 2, 3, 4, 5], &spec, &[5], &policy());
    liar.honestly_until(Stage::Quorum);
    liar
}

#[test]
fn one_device_counted_twice() {
    let lie = |bytes: &mut Vec<u8>| {
        let mut quorum = Quorum::from_bytes(bytes).unwrap();
        quorum.signatures[3] = quorum.signatures[2].clone();
        *bytes = quorum.to_bytes();
    };
    refused_as_bytes(signed, at_least_q, lie, Guard::Encoding);
}

/// A colluding device that the sets call lost signs them all the same; it does not count.
#[test]
fn a_colluding_device_that_is_called_lost_does_not_count() {
    let scene = || {
        let mut liar = six(Stage::Survivors);
        let (a, d) = (liar.set(0..5), liar.set([5]));
        for index in 0..5 {
            liar.tell(index, &liar.survivors(index, &a, &d)).unwrap();
        }
        liar
    };
    let shown = |liar: &Liar, first: usize| {
        let (all, a, d) = (liar.everybody(), liar.set(0..5), liar.set([5]));
        let mut quorum = liar.quorum(&all, &a, &d);
        quorum.signatures.drain(..first);
        quorum
    };
    let mut control = scene();
    let message = shown(&control, 1);
    assert_eq!(message.signatures.len(), control.cohort.parameters.quorum + 1);
    control.tell(0, &message).expect("four survivors signed");
    let mut liar = scene();
    let message = shown(&liar, 2);
    assert_eq!(message.signatures.len(), liar.cohort.parameters.quorum);
    bytes_refused(&mut liar, 0, Stage::Quorum, &message.to_bytes(), Guard::Quorum);
}

/// Which device's share, and whether it is of the mask key.
fn answer(liar: &Liar, of: usize) -> Vec<(usize, bool)> {
    let reveal = liar.heard[of].reveal.as_ref().unwrap();
    let kind = |secret: &RevealedSecret| matches!(secret, RevealedSecret::MaskKey(_));
    reveal.shares.iter().map(|share| (share.dealer.into(), kind(&share.secret))).collect()
}

#[test]
fn an_answer_holds_one_share_of_each_peer_and_none_of_its_own() {
    let mut liar = six(Stage::Survivors);
    let (all, a, d) = (liar.everybody(), liar.set([0, 1, 2, 4, 5]), liar.set([3]));
    for index in [0, 1, 2, 4] {
        liar.tell(index, &liar.survivors(index, &a, &d)).unwrap();
    }
    liar.tell(0, &liar.quorum(&all, &a, &d)).unwrap();
    let expected = [(1, false), (2, false), (3, true), (4, false), (5, false)];
    assert_eq!(answer(&liar, 0), expected);
}

/// Device 0 of a ring never hears a stranger's shares, and has none to reveal.
#[test]
fn an_answer_holds_no_share_of_a_device_that_is_no_neighbour() {
    let mut liar = ring_around_one(120, Stage::Quorum);
    liar.tell(0, &all_agree(&liar)).unwrap();
    let dealers: Vec<usize> = answer(&liar, 0).into_iter().map(|(dealer, _)| dealer).collect();
    let neighbours: Vec<usize> = liar.cohort.neighbours(0).collect();
    assert_eq!(dealers, neighbours);
    assert!(neighbours.len() < 119);
}

/// A member that did not share is in nobody's answer.
#[test]
fn an_answer_holds_no_share_of_a_device_outside_the_set_that_shared() {
    let mut liar = six(Stage::Sharers);
    let shared = liar.set(0..5);
    liar.tell_each(|liar, _| liar.sharers(&shared));
    let none = liar.set([]);
    for index in 0..5 {
        liar.tell(index, &liar.survivors(index, &shared, &none)).unwrap();
    }
    liar.tell(0, &liar.quorum(&shared, &shared, &none)).unwrap();
    assert_eq!(answer(&liar, 0), [(1, false), (2, false), (3, false), (4, false)]);
}

/// Repeated unmasking with another set: the answer was given, and no other is.
#[test]
fn a_second_quorum_on_other_sets() {
    let mut liar = signed();
    let quorum = all_agree(&liar);
    liar.tell_each(|_, _| quorum.clone());
    assert_eq!(liar.leaks(), Leak::Sum(vec![0, 1, 2, 3, 4]));
    let (all, a, d) = (liar.everybody(), liar.set([0, 1, 2, 3, 5]), liar.set([4]));
    let before: Vec<usize> = liar.heard.iter().map(|heard| heard.count).collect();
    for index in 0..5 {
        let other = liar.quorum(&all, &a, &d).to_bytes();
        liar.tell_bytes(index, Stage::Quorum, &other).unwrap();
        let again = liar.survivors(index, &a, &d).to_bytes();
        liar.tell_bytes(index, Stage::Survivors, &again).unwrap();
    }
    let after: Vec<usize> = liar.heard.iter().map(|heard| heard.count).collect();
    assert_eq!(before, after);
    assert_eq!(liar.leaks(), Leak::Sum(vec![0, 1, 2, 3, 4]));
    assert!(liar.both_secrets_known().is_empty());
}

/// The aggregator resumes a copy of the device's memory to have the other share of each pair.
#[test]
fn a_copy_of_the_device_asked_to_reveal_again() {
    let (mut first, mut copy) = (signed(), signed());
    let counter = first.device(0).device.counter.clone();
    share_counter(&mut copy, &counter);
    first.tell(0, &all_agree(&first)).unwrap();
    let bytes = all_agree(&copy).to_bytes();
    bytes_refused(&mut copy, 0, Stage::Quorum, &bytes, Guard::OnceCounter);
}

#[test]
fn a_quorum_after_the_device_s_deadline() {
    let late = |by: u64| {
        let mut liar = signed();
        liar.now.steady_ms += 55_000 + by;
        liar
    };
    let mut control = late(0);
    control.tell(0, &all_agree(&control)).expect("in time");
    let mut liar = late(1);
    let bytes = all_agree(&liar).to_bytes();
    bytes_refused(&mut liar, 0, Stage::Quorum, &bytes, Guard::Deadline);
}

/// Device 4 is called lost; its mask key is opened. Its input comes after all, and is still under
/// its self mask, of which nobody reveals a share.
#[test]
fn an_input_that_comes_after_its_device_was_called_lost_stays_masked() {
    let mut liar = six(Stage::Survivors);
    let (all, a, d) = (liar.everybody(), liar.set([0, 1, 2, 3, 5]), liar.set([4]));
    assert!(liar.heard[4].masked.is_some(), "the late input is in the aggregator's hands");
    for index in 0..4 {
        liar.tell(index, &liar.survivors(index, &a, &d)).unwrap();
    }
    liar.tell_each(|liar, _| liar.quorum(&all, &a, &d));
    assert!(liar.mask_key(4).is_some(), "its pair masks are open");
    assert!(liar.self_mask(4).is_none());
    assert_eq!(liar.expose(&[4]), None);
    assert_eq!(liar.leaks(), Leak::Sum(vec![0, 1, 2, 3]));
    assert_eq!(liar.expose(&[0, 1, 2, 3]), Some(sum_of(&[0, 1, 2, 3])));
}

/// Whatever the aggregator asks, the union of all answers opens each device at most once.
#[test]
fn no_device_has_both_secrets_open() {
    let mut liar = six(Stage::Survivors);
    let (all, a, d) = (liar.everybody(), liar.set([0, 1, 2, 3, 5]), liar.set([4]));
    for index in 0..4 {
        liar.tell(index, &liar.survivors(index, &a, &d)).unwrap();
    }
    liar.tell_each(|liar, _| liar.quorum(&all, &a, &d));
    let open = |index: &usize| liar.self_mask(*index).is_some();
    let opened: BTreeSet<usize> = (0..5).filter(open).collect();
    assert_eq!(opened, BTreeSet::from([0, 1, 2, 3]));
    assert!(liar.both_secrets_known().is_empty());
}
