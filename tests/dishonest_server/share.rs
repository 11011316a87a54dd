//! Lies about what others dealt: ciphertexts and commitments altered, exchanged, for another
//! holder, one's own sent back, a path cut short, from a stranger, twice, from an old round.

use std::collections::BTreeSet;

use sealsum_protocol::codec::Message;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{InboundShare, InboundShares};
use sealsum_protocol::server::Stage;
use sealsum_test_fleet::*;

use crate::lie::{refused, refused_as_bytes, ring_around_one, six};

fn dealt() -> Liar {
    six(Stage::InboundShares)
}

fn inbound(liar: &Liar) -> InboundShares {
    liar.inbound(0)
}

#[test]
fn a_ciphertext_altered() {
    refused(dealt, inbound, |_, shown| shown.shares[2].dealt.sealed[40] ^= 1, Guard::ForeignShare);
}

#[test]
fn a_commitment_to_a_share_altered() {
    refused(
        dealt,
        inbound,
        |_, shown| shown.shares[2].dealt.self_mask_commitment.0[0] ^= 1,
        Guard::ForeignShare,
    );
}

#[test]
fn a_commitment_to_a_secret_altered() {
    refused(
        dealt,
        inbound,
        |_, shown| shown.shares[2].dealer_commitment.0[0] ^= 1,
        Guard::ForeignShare,
    );
}

#[test]
fn two_dealers_exchanged() {
    refused(
        dealt,
        inbound,
        |_, shown| {
            let (first, second) = (shown.shares[1].clone(), shown.shares[2].clone());
            (shown.shares[1], shown.shares[2]) = (second, first);
            (shown.shares[1].dealer, shown.shares[2].dealer) = (2, 3);
        },
        Guard::ForeignShare,
    );
}

#[test]
fn a_ciphertext_for_another_holder() {
    refused(
        dealt,
        inbound,
        |liar, shown| {
            shown.shares[2] = liar.inbound(1).shares.into_iter().find(|s| s.dealer == 3).unwrap();
        },
        Guard::ForeignShare,
    );
}

#[test]
fn the_device_s_own_ciphertext_sent_back() {
    refused(
        dealt,
        inbound,
        |liar, shown| {
            let own = liar.inbound(1).shares.into_iter().find(|s| s.dealer == 0).unwrap();
            shown.shares.insert(0, own);
        },
        Guard::ForeignShare,
    );
}

#[test]
fn a_path_cut_short() {
    refused(
        dealt,
        inbound,
        |_, shown| {
            shown.shares[2].path.pop();
        },
        Guard::ForeignShare,
    );
}

#[test]
fn a_dealer_beyond_the_roster() {
    refused(dealt, inbound, |_, shown| shown.shares[4].dealer = 6, Guard::ForeignShare);
}

#[test]
fn a_dealer_s_signature_of_an_old_round() {
    refused(
        dealt,
        inbound,
        |_, shown| {
            shown.shares[2] = deal_of_round(2, 3);
        },
        Guard::ForeignShare,
    );
}

#[test]
fn a_ciphertext_of_a_device_that_is_no_neighbour() {
    refused(
        sparse_dealt,
        inbound,
        |liar, shown| {
            let stranger = stranger(liar);
            let mut foreign = liar.inbound(stranger).shares.swap_remove(0);
            foreign.dealer = stranger as u16;
            shown.shares.push(foreign);
            shown.shares.sort_by_key(|share| share.dealer);
        },
        Guard::ForeignShare,
    );
}

fn deal_of_round(number: u64, dealer: u16) -> InboundShare {
    let spec = spec(task(6, |_| {}), number);
    let mut old = Liar::among(&[0, 1, 2, 3, 4, 5], &spec, &[5], &policy());
    old.honestly_until(Stage::InboundShares);
    old.inbound(0).shares.into_iter().find(|share| share.dealer == dealer).unwrap()
}

/// A ring of which only device 0 is real.
fn sparse_dealt() -> Liar {
    ring_around_one(120, Stage::InboundShares)
}

fn stranger(liar: &Liar) -> usize {
    (1..liar.n()).find(|index| !liar.cohort.graph.are_neighbours(0, *index)).unwrap()
}

#[test]
fn a_dealer_twice() {
    let lie = |bytes: &mut Vec<u8>| {
        let shares = InboundShares::from_bytes(bytes).unwrap().shares;
        let twice = [shares.clone(), shares[4..].to_vec()].concat();
        *bytes = InboundShares { shares: twice }.to_bytes();
    };
    refused_as_bytes(dealt, inbound, lie, Guard::Encoding);
}

/// A share that opened under its own key for one direction says nothing of the other: no two
/// ciphertexts of a round are under one key.
#[test]
fn no_two_ciphertexts_of_a_round_share_a_key() {
    let liar = dealt();
    let mut commitments = BTreeSet::new();
    let deals = (0..6).map(|index| &liar.deal_of(index).unwrap().message);
    for dealt in deals.flat_map(|deal| &deal.shares) {
        assert!(commitments.insert(dealt.sealed[..32].to_vec()), "a key twice");
    }
    assert_eq!(commitments.len(), 6 * 5);
}
