//! Lies of dealers and holders: ciphertexts that do not open, to one, to more than c and to all;
//! shares that do not match their commitments, of a, of b and of both; shares of another a or b
//! that match; a share off the polynomial; two deals, two commitments in one; deals of another
//! shape, unsigned, or another's; acknowledgements that slander honest dealers.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::error::AbortCode;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::{ShareAck, SharedKeys};
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::{Incoming, Step};
use sealsum_protocol::transcript::SecretKind;
use sealsum_test_fleet::*;

use crate::session::{Ended, Script, Session, round, six};

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];
const HONEST: [usize; 5] = [0, 1, 2, 3, 4];

/// Deals the true secrets, with each piece tampered with.
fn tampering(tamper: impl Fn(usize, &mut Piece) + 'static) -> Script {
    let deal = move |culprit: &Colluder, cohort: &Cohort, _| {
        Some(culprit.deal_with(cohort, &culprit.mask, &culprit.self_mask, &tamper))
    };
    Script { deal: Box::new(deal), ..Script::honest() }
}

/// The culprit goes on as if nothing were wrong, and is left out.
fn assert_left_out(ended: &Ended) {
    ended.assert_exact(&HONEST);
    assert_eq!(ended.dropped(), [(5, Step::Share)]);
}

#[test]
fn everybody_honest_gives_the_sum_of_all() {
    let ended = six(&Script::honest());
    ended.assert_exact(&ALL);
    assert!(ended.refused.is_empty() && ended.blamed().is_empty() && ended.dropped().is_empty());
}

#[test]
fn garbage_to_one_holder_costs_that_share_only() {
    let ended = six(&tampering(|holder, piece| piece.opens = holder != 0));
    ended.assert_exact(&ALL);
}

#[test]
fn garbage_to_more_holders_than_c_leaves_its_dealer_out() {
    assert_left_out(&six(&tampering(|holder, piece| piece.opens = holder > 1)));
}

#[test]
fn garbage_to_all_from_a_dealer_that_vanishes_then() {
    let Script { deal, .. } = tampering(|_, piece| piece.opens = false);
    let ended = six(&Script { deal, ..Script::silent_from(1) });
    assert_left_out(&ended);
    assert!(ended.refused.is_empty());
}

#[test]
fn garbage_from_c_dealers_at_twelve_devices() {
    let ended = round(12, &[3, 11], &tampering(|_, piece| piece.opens = false));
    ended.assert_exact(&[0, 1, 2, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(ended.dropped(), [(3, Step::Share), (11, Step::Share)]);
}

fn other_scalar() -> SecretScalar {
    SecretScalar::random(&mut rng(8))
}

#[test]
fn a_wrong_share_of_a_to_all_is_attributed_by_its_commitment() {
    let wrong = |_, piece: &mut Piece| piece.mask_key = *other_scalar().as_bytes();
    assert_left_out(&six(&tampering(wrong)));
}

#[test]
fn a_wrong_share_of_b_to_all_is_attributed_by_its_commitment() {
    let wrong = |_, piece: &mut Piece| piece.self_mask = *other_scalar().as_bytes();
    assert_left_out(&six(&tampering(wrong)));
}

#[test]
fn wrong_shares_of_both_to_all_are_attributed_by_their_commitments() {
    let wrong = |_, piece: &mut Piece| {
        piece.mask_key = *other_scalar().as_bytes();
        piece.self_mask = *other_scalar().as_bytes();
    };
    assert_left_out(&six(&tampering(wrong)));
}

#[test]
fn wrong_shares_of_both_to_one_holder_cost_that_share_only() {
    let wrong = |holder, piece: &mut Piece| {
        if holder == 2 {
            piece.mask_key = *other_scalar().as_bytes();
            piece.self_mask = *other_scalar().as_bytes();
        }
    };
    six(&tampering(wrong)).assert_exact(&ALL);
}

#[test]
fn shares_that_are_no_scalars_are_attributed() {
    assert_left_out(&six(&tampering(|_, piece| piece.self_mask = [0xff; 32])));
}

/// Shares of another a, with commitments to match. While the dealer survives nobody asks for a.
fn of_another_a() -> Script {
    let deal = |culprit: &Colluder, cohort: &Cohort, _| {
        Some(culprit.deal_with(cohort, &other_scalar(), &culprit.self_mask, |_, _| {}))
    };
    Script { deal: Box::new(deal), ..Script::honest() }
}

#[test]
fn consistent_shares_of_another_a_from_a_dealer_that_survives() {
    six(&of_another_a()).assert_exact(&ALL);
}

#[test]
fn consistent_shares_of_another_a_from_a_dealer_that_vanishes_end_the_round_by_its_name() {
    let ended = six(&Script { upload: Box::new(|_, _, _| None), ..of_another_a() });
    assert_eq!(ended.abort(), (AbortCode::TooFewShares, vec![5]));
    assert_eq!(ended.blamed(), [(5, Guard::WrongDealer)]);
    round(5, &[], &Script::honest()).assert_exact(&HONEST);
}

#[test]
fn consistent_shares_of_another_b_end_the_round_by_their_dealer_s_name() {
    let deal = |culprit: &Colluder, cohort: &Cohort, _| {
        Some(culprit.deal_with(cohort, &culprit.mask, &other_scalar(), |_, _| {}))
    };
    let ended = six(&Script { deal: Box::new(deal), ..Script::honest() });
    assert_eq!(ended.abort(), (AbortCode::TooFewShares, vec![5]));
    assert_eq!(ended.blamed(), [(5, Guard::WrongDealer)]);
}

/// One holder's share is off the polynomial but matches its commitment: the holder is innocent.
#[test]
fn a_committed_share_off_the_polynomial_is_the_dealer_s_fault_and_not_the_holder_s() {
    let deal = |culprit: &Colluder, cohort: &Cohort, _| {
        let transcript = cohort.transcript;
        let off = move |holder, piece: &mut Piece| {
            if holder == 0 {
                piece.self_mask = *other_scalar().as_bytes();
                piece.self_mask_commitment =
                    transcript.share_commitment(SecretKind::SelfMask, 5, 0, &piece.self_mask);
            }
        };
        Some(culprit.deal_with(cohort, &culprit.mask, &culprit.self_mask, off))
    };
    let ended = six(&Script { deal: Box::new(deal), ..Script::honest() });
    assert_eq!(ended.abort(), (AbortCode::TooFewShares, vec![5]));
    assert_eq!(ended.blamed(), [(5, Guard::WrongDealer)]);
}

/// The commitment that is signed is another than the one that the ciphertexts are bound to.
#[test]
fn two_commitments_to_b_leave_their_dealer_out() {
    let deal = |culprit: &Colluder, cohort: &Cohort, honest: SharedKeys| {
        Some(culprit.sign_deal(cohort, Hash([1; 32]), honest.shares))
    };
    assert_left_out(&six(&Script { deal: Box::new(deal), ..Script::honest() }));
}

/// Two deals of different b under one signature: some holders get the one, some the other.
fn equivocating(of_second: std::ops::Range<usize>) -> Script {
    let deal = move |culprit: &Colluder, cohort: &Cohort, first: SharedKeys| {
        let mut twin = Colluder::enter(5, &spec(task(6, |_| {}), 1));
        twin.self_mask = other_scalar();
        let second = twin.deal_to(cohort, |_| true);
        let mut shares = first.shares;
        shares[of_second.clone()].clone_from_slice(&second.shares[of_second.clone()]);
        Some(culprit.sign_deal(cohort, first.self_mask_commitment, shares))
    };
    Script { deal: Box::new(deal), ..Script::honest() }
}

#[test]
fn another_commitment_to_one_holder_costs_that_share_only() {
    six(&equivocating(4..5)).assert_exact(&ALL);
}

#[test]
fn another_commitment_to_half_the_holders_leaves_their_dealer_out() {
    assert_left_out(&six(&equivocating(2..5)));
}

/// One deal, then another: the first counts.
#[test]
fn two_different_deals() {
    let mut session = Session::new(6, task(6, |_| {}), &[5]);
    let (script, cohort) = (Script::honest(), session.round.cohort().unwrap());
    let Member::Colluding(culprit) = &session.members[5] else { panic!() };
    let first = culprit.deal_to(cohort, |_| true);
    let second = culprit.deal_with(cohort, &culprit.mask, &other_scalar(), |_, _| {});
    session.send_of_culprit(5, Incoming::Shares(first));
    session.send_of_culprit(5, Incoming::Shares(second));
    session.run(&script);
    let ended = session.end();
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::DifferentResend]);
}

/// Refused by the aggregator; the round goes on without its sender.
fn refused_deal(change: impl Fn(&Colluder, &Cohort, &mut SharedKeys) + 'static) {
    let deal = move |culprit: &Colluder, cohort: &Cohort, mut deal| {
        change(culprit, cohort, &mut deal);
        Some(deal)
    };
    let ended = six(&Script { deal: Box::new(deal), ..Script::honest() });
    assert_left_out(&ended);
    assert_eq!(ended.refused[0], Guard::DealShape);
}

#[test]
fn a_deal_with_a_share_too_few() {
    refused_deal(|culprit, cohort, deal| {
        deal.shares.pop();
        *deal = culprit.sign_deal(cohort, deal.self_mask_commitment, deal.shares.clone());
    });
}

#[test]
fn a_deal_with_a_share_too_many() {
    refused_deal(|_, _, deal| deal.shares.push(deal.shares[0].clone()));
}

#[test]
fn a_deal_whose_signature_is_over_another() {
    refused_deal(|_, _, deal| deal.shares[1].sealed[40] ^= 1);
}

#[test]
fn a_deal_under_another_key_than_the_entry_s() {
    refused_deal(|_, _, deal| {
        let other = Colluder::enter(4, &spec(task(6, |_| {}), 1));
        deal.signature = other.signing.sign(b"anything");
    });
}

fn slander(n: usize) -> Script {
    let ack = move |_: &Colluder, _: &Cohort, _| Some(ShareAck { good: Bitmap::empty(n - 1) });
    Script { ack: Box::new(ack), ..Script::honest() }
}

#[test]
fn one_acknowledgement_that_slanders_everybody_evicts_nobody() {
    six(&slander(6)).assert_exact(&ALL);
}

#[test]
fn c_acknowledgements_that_slander_everybody_evict_nobody() {
    let ended = round(12, &[0, 7], &slander(12));
    ended.assert_exact(&(0..12).collect::<Vec<_>>());
}

#[test]
fn an_acknowledgement_of_another_shape() {
    let ack = |_: &Colluder, _: &Cohort, _| Some(ShareAck { good: Bitmap::empty(6) });
    let ended = six(&Script { ack: Box::new(ack), ..Script::honest() });
    assert_eq!(ended.refused, [Guard::AckShape]);
    ended.assert_exact(&ALL);
}
