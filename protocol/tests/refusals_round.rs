//! What a device refuses of a lying aggregator between the roster and its answer.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::client::{Acknowledged, Checking, Masking, Sharing, Signed};
use sealsum_protocol::error::Error;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::*;
use sealsum_protocol::server::Stage;
use sealsum_protocol::time::Now;
use sealsum_test_fleet::*;

fn guard<T>(result: Result<T, Error>) -> Option<Guard> {
    result.err().map(|error| error.guard().expect("a refusal"))
}

fn late(now: Now) -> Now {
    Now { steady_ms: now.steady_ms + 1_000_000, ..now }
}

/// Five devices, c = 1, t = 3, Q = 4, A_min = 4; device 0 about to open its shares.
fn sharing() -> (Rehearsal, Sharing, InboundShares) {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    let inbound = rehearsal.fetch(0, Stage::InboundShares).unwrap();
    let client = take!(rehearsal, 0, Sharing);
    (rehearsal, client, inbound)
}

#[test]
fn shares_of_others_than_neighbours_or_unsigned_are_refused() {
    let (_, client, inbound) = sharing();
    assert_eq!(guard(client.receive(&inbound, START)), None);

    let (_, client, mut inbound) = sharing();
    inbound.shares[1].dealer = 0;
    assert_eq!(guard(client.receive(&inbound, START)), Some(Guard::ForeignShare));

    let (_, client, mut inbound) = sharing();
    inbound.shares.push(inbound.shares[3].clone());
    assert_eq!(guard(client.receive(&inbound, START)), Some(Guard::ForeignShare));

    // The aggregator swaps what two dealers sent, or forwards what was meant for another.
    let (_, client, mut inbound) = sharing();
    inbound.shares[1].dealt = inbound.shares[2].dealt.clone();
    assert_eq!(guard(client.receive(&inbound, START)), Some(Guard::ForeignShare));
    let (rehearsal, client, mut inbound) = sharing();
    let of_other: InboundShares = rehearsal.fetch(1, Stage::InboundShares).unwrap();
    let dealer = inbound.shares.iter().position(|share| share.dealer == 2).unwrap();
    let other = of_other.shares.iter().find(|share| share.dealer == 2).unwrap();
    inbound.shares[dealer] = other.clone();
    assert_eq!(guard(client.receive(&inbound, START)), Some(Guard::ForeignShare));

    let (_, client, inbound) = sharing();
    assert_eq!(guard(client.receive(&inbound, late(START))), Some(Guard::Deadline));
}

fn acknowledged() -> (Rehearsal, Acknowledged) {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    let client = take!(rehearsal, 0, Acknowledged);
    (rehearsal, client)
}

fn sharers(places: impl IntoIterator<Item = usize>) -> Sharers {
    Sharers { shared: Bitmap::of(5, places) }
}

#[test]
fn a_set_that_shared_without_this_device_or_too_small_is_refused() {
    let cases = [
        (sharers(0..5), None),
        (sharers(0..4), None),
        (sharers(1..5), Some(Guard::SharersSelf)),
        (sharers(0..3), Some(Guard::SharersSmall)),
        (Sharers { shared: Bitmap::of(6, 0..5) }, Some(Guard::SharersSmall)),
    ];
    for (message, expected) in cases {
        let (_, client) = acknowledged();
        assert_eq!(guard(client.sharers(&message, START)), expected, "{message:?}");
    }
    let (_, client) = acknowledged();
    assert_eq!(guard(client.sharers(&sharers(0..5), late(START))), Some(Guard::Deadline));

    // Four of five are t neighbours, but the task promises five contributors.
    let mut rehearsal = Rehearsal::new(5, task(5, |fields| fields.dropout_share_permille = 0));
    rehearsal.share();
    rehearsal.acknowledge();
    let client = take!(rehearsal, 0, Acknowledged);
    assert_eq!(guard(client.sharers(&sharers(0..4), START)), Some(Guard::SharersSmall));
}

#[test]
fn a_neighbour_in_the_set_that_sent_nothing_is_refused() {
    let (_, client, mut inbound) = sharing();
    inbound.shares.pop();
    let (client, ack) = client.receive(&inbound, START).unwrap();
    assert_eq!(ack.good.count(), 3);
    assert_eq!(guard(client.sharers(&sharers(0..5), START)), Some(Guard::SharersMismatch));

    let (_, client, mut inbound) = sharing();
    inbound.shares.pop();
    let (client, _) = client.receive(&inbound, START).unwrap();
    assert_eq!(guard(client.sharers(&sharers(0..4), START)), None, "the same, without it");
}

/// Dealers that seal garbage to device 0 under their own good signatures: a byte of the ciphertext.
fn garbage_from(dealers: &[usize]) -> (Rehearsal, Acknowledged, ShareAck) {
    garbage_at(50, dealers)
}

fn garbage_at(place_in_sealed: usize, dealers: &[usize]) -> (Rehearsal, Acknowledged, ShareAck) {
    use sealsum_protocol::merkle::Tree;
    let (mut rehearsal, client, mut inbound) = sharing();
    let cohort = client.seat().cohort();
    for dealer in dealers {
        let place = inbound.shares.iter().position(|s| usize::from(s.dealer) == *dealer).unwrap();
        let share = &mut inbound.shares[place];
        share.dealt.sealed[place_in_sealed] ^= 1;
        let others = vec![sealsum_protocol::ids::Hash([1; 32]); cohort.parameters.k];
        let mut leaves = others;
        let own_place = cohort.neighbours(*dealer).position(|holder| holder == 0).unwrap();
        leaves[own_place] = cohort.transcript.deal_leaf(0, &share.dealt);
        let tree = Tree::new(leaves);
        share.path = tree.path(own_place).unwrap();
        let string = cohort.transcript.deal_string(*dealer, &share.dealer_commitment, &tree.root());
        share.signature = sign_as(&mut rehearsal, *dealer, &string);
    }
    let (client, ack) = client.receive(&inbound, START).unwrap();
    (rehearsal, client, ack)
}

/// A corrupt device hands its round key to the aggregator.
fn sign_as(
    rehearsal: &mut Rehearsal,
    index: usize,
    string: &[u8],
) -> sealsum_protocol::signature::Signature {
    rehearsal.round_key(index).sign(string)
}

#[test]
fn a_ciphertext_that_does_not_open_costs_that_share_only() {
    // In the key commitment, in the encrypted shares, in the tag.
    for place in [0, 31, 32, 111] {
        let (_, _, ack) = garbage_at(place, &[3]);
        assert_eq!(ack.good.iter().collect::<Vec<_>>(), [0, 1, 3], "byte {place}");
    }
    let (_, client, _) = garbage_from(&[3]);
    assert_eq!(guard(client.sharers(&sharers(0..5), START)), None);
    let (_, client, ack) = garbage_from(&[3, 4]);
    assert_eq!(ack.good.count(), 2);
    assert_eq!(guard(client.sharers(&sharers(0..5), START)), Some(Guard::SharesLow));
}

fn masking() -> (Rehearsal, Masking) {
    masking_of(5)
}

fn masking_of(coordinates: u32) -> (Rehearsal, Masking) {
    let mut rehearsal = Rehearsal::new(5, task(5, |fields| fields.coordinates = coordinates));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    let client = take!(rehearsal, 0, Masking);
    (rehearsal, client)
}

#[test]
fn vectors_that_are_no_vectors_stay_home() {
    let (mut rehearsal, client) = masking();
    let mut refused = |update: &[f64], weight| {
        client.prepare(update, weight, &mut rehearsal.rng).err().map(|refusal| refusal.guard)
    };
    assert_eq!(refused(&[0.0; 5], None), None);
    assert_eq!(refused(&[0.0; 4], None), Some(Guard::Norm));
    assert_eq!(refused(&[0.0, 0.0, f64::NAN, 0.0, 0.0], None), Some(Guard::Norm));
    assert_eq!(refused(&[0.0; 5], Some(1.0)), Some(Guard::Norm));
}

#[test]
fn a_copy_of_the_device_cannot_mask_after_it() {
    let (mut rehearsal, client) = masking();
    rehearsal.devices[0].counter.0.set(1);
    let quantized = client.prepare(&[0.0; 5], None, &mut rehearsal.rng).unwrap();
    let masked = client.mask(quantized, &mut rehearsal.devices[0].once, START);
    assert_eq!(guard(masked), Some(Guard::OnceCounter));

    let (mut rehearsal, client) = masking();
    let (mut other, of_other) = masking_of(4);
    let short = of_other.prepare(&[0.0; 4], None, &mut other.rng).unwrap();
    let masked = client.mask(short, &mut rehearsal.devices[0].once, START);
    assert_eq!(guard(masked), Some(Guard::Norm));
    assert_eq!(rehearsal.devices[0].counter.0.get(), 0, "nothing was spent");

    let (mut rehearsal, client) = masking();
    let quantized = client.prepare(&[0.0; 5], None, &mut rehearsal.rng).unwrap();
    let masked = client.mask(quantized, &mut rehearsal.devices[0].once, late(START));
    assert_eq!(guard(masked), Some(Guard::Deadline));
}

/// Device 0 with the survivors that an honest aggregator shows it; device 4 is lost.
fn checking() -> (Rehearsal, Checking, Survivors) {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    rehearsal.lose(&[4]);
    rehearsal.mask();
    let survivors = rehearsal.fetch(0, Stage::Survivors).unwrap();
    let client = take!(rehearsal, 0, Checking);
    (rehearsal, client, survivors)
}

fn agree_on(change: impl FnOnce(&mut Survivors)) -> Option<Guard> {
    let (mut rehearsal, client, mut survivors) = checking();
    change(&mut survivors);
    let now = rehearsal.now;
    let guard = guard(client.agree(&survivors, &mut rehearsal.devices[0].once, now));
    let spent = rehearsal.devices[0].counter.0.get();
    assert_eq!(spent, if guard.is_none() { 2 } else { 1 }, "a refusal signs nothing");
    guard
}

#[test]
fn sets_that_overlap_or_are_not_the_set_that_shared_are_refused() {
    assert_eq!(agree_on(|_| {}), None);
    assert_eq!(agree_on(|shown| shown.lost.insert(3)), Some(Guard::Sets));
    assert_eq!(agree_on(|shown| shown.lost = Bitmap::empty(5)), Some(Guard::Sets));
    assert_eq!(agree_on(|shown| shown.survivors = Bitmap::of(5, [0, 1, 2])), Some(Guard::Sets));
    assert_eq!(agree_on(|shown| shown.survivors = Bitmap::of(6, 0..4)), Some(Guard::Sets));
    let without_self = |shown: &mut Survivors| {
        shown.survivors = Bitmap::of(5, 1..4);
        shown.lost = Bitmap::of(5, [0, 4]);
    };
    assert_eq!(agree_on(without_self), Some(Guard::Sets));
}

#[test]
fn too_few_survivors_are_refused() {
    let fewer = |shown: &mut Survivors| {
        shown.survivors = Bitmap::of(5, 0..3);
        shown.lost = Bitmap::of(5, 3..5);
    };
    assert_eq!(agree_on(fewer), Some(Guard::SurvivorsSmall));
}

#[test]
fn a_neighbour_s_view_that_is_missing_foreign_or_of_other_chunks_is_refused() {
    assert_eq!(agree_on(|shown| shown.views.truncate(2)), Some(Guard::NeighbourView));
    assert_eq!(agree_on(|shown| shown.views[1].device = 4), Some(Guard::NeighbourView));
    assert_eq!(agree_on(|shown| shown.views[1].root.0[0] ^= 1), Some(Guard::NeighbourView));
    let swap = |shown: &mut Survivors| {
        let signature = shown.views[0].signature;
        shown.views[1].signature = signature;
    };
    assert_eq!(agree_on(swap), Some(Guard::NeighbourView));
}

#[test]
fn the_survivors_after_the_deadline_or_after_a_copy_signed_are_refused() {
    let (mut rehearsal, client, survivors) = checking();
    let later = late(START);
    let agreed = client.agree(&survivors, &mut rehearsal.devices[0].once, later);
    assert_eq!(guard(agreed), Some(Guard::Deadline));
    let (mut rehearsal, client, survivors) = checking();
    rehearsal.devices[0].counter.0.set(2);
    let now = rehearsal.now;
    let agreed = client.agree(&survivors, &mut rehearsal.devices[0].once, now);
    assert_eq!(guard(agreed), Some(Guard::OnceCounter));
}

/// The attack of the review's F1, at n = 8: one device is shown another U2 than the rest, who are
/// asked to unmask it. Each of them sees that it masked against another set, and refuses.
#[test]
fn a_device_that_was_shown_another_set_is_never_unmasked() {
    let mut rehearsal = Rehearsal::new(8, task(8, |fields| fields.dropout_share_permille = 250));
    rehearsal.share();
    rehearsal.acknowledge();
    let target = 7;
    let client = take!(rehearsal, target, Acknowledged);
    let without_one = Sharers { shared: Bitmap::of(8, (0..8).filter(|index| *index != 1)) };
    rehearsal.clients[target] =
        Client::Masking(client.sharers(&without_one, rehearsal.now).unwrap());
    rehearsal.take_sharers();
    // An honest aggregator refuses the target's signature; a lying one shows it as a survivor.
    let client = take!(rehearsal, target, Masking);
    let quantized = client.prepare(&[0.0; 5], None, &mut rehearsal.rng).unwrap();
    let now = rehearsal.now;
    let mut uploading = client.mask(quantized, &mut rehearsal.devices[target].once, now).unwrap();
    let tau = uploading.masked_input();
    rehearsal.mask();
    for index in 0..target {
        let mut shown: Survivors = rehearsal.fetch(index, Stage::Survivors).unwrap();
        shown.survivors = Bitmap::of(8, 0..8);
        shown.lost = Bitmap::empty(8);
        let (root, signature) = (tau.root, tau.signature);
        shown.views.push(SurvivorView { device: target as u16, root, signature });
        let client = take!(rehearsal, index, Checking);
        let now = rehearsal.now;
        let agreed = client.agree(&shown, &mut rehearsal.devices[index].once, now);
        assert_eq!(guard(agreed), Some(Guard::NeighbourView));
    }
}

/// The example of the second review: two arcs of a ring shown two sets that shared. With whole
/// bitmaps the device refuses; a check of neighbours only would pass.
#[test]
fn a_lie_about_devices_far_away_is_seen_too() {
    let n = 150;
    let mut rehearsal = Rehearsal::new(n, task(n, |fields| fields.clip = 8192.0));
    rehearsal.share();
    rehearsal.acknowledge();
    let cohort = rehearsal.round.cohort().unwrap();
    let far = (1..n).find(|index| !cohort.graph.are_neighbours(0, *index)).unwrap();
    let client = take!(rehearsal, 0, Acknowledged);
    let without = Sharers { shared: Bitmap::of(n, (0..n).filter(|index| *index != far)) };
    rehearsal.clients[0] = Client::Masking(client.sharers(&without, rehearsal.now).unwrap());
    rehearsal.take_sharers();
    let client = take!(rehearsal, 0, Masking);
    let quantized = client.prepare(&update(0, 5), None, &mut rehearsal.rng).unwrap();
    let now = rehearsal.now;
    let once = &mut rehearsal.devices[0].once;
    let uploading = client.mask(quantized, once, now).unwrap();
    let client = uploading.acknowledged();
    let all = Survivors { survivors: Bitmap::of(n, 0..n), lost: Bitmap::empty(n), views: vec![] };
    assert_eq!(guard(client.agree(&all, once, now)), Some(Guard::Sets));
}

#[test]
fn survivors_that_leave_a_hole_in_the_ring_are_refused() {
    let n = 150;
    let mut rehearsal = Rehearsal::new(
        n,
        task(n, |fields| (fields.clip, fields.dropout_share_permille) = (8192.0, 300)),
    );
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    let (hole, own) = {
        let cohort = rehearsal.round.cohort().unwrap();
        let parameters = &cohort.parameters;
        // A run of the ring just long enough that one window keeps w_min - 1 survivors.
        let run = parameters.k / 2 - parameters.w_min + 1;
        assert!(run <= n - parameters.a_min, "the count alone would not refuse it");
        let ring = ring_order(&cohort.graph, n);
        let own = ring[n / 2 + run / 2];
        (ring[..run].to_vec(), own)
    };
    rehearsal.lose(&hole);
    rehearsal.mask();
    assert_eq!(rehearsal.abort_code().map(|code| code.as_str()), Some("too_few_contributors"));
    let client = take!(rehearsal, own, Checking);
    let survivors = Bitmap::of(n, (0..n).filter(|index| !hole.contains(index)));
    let lost = Bitmap::of(n, hole.iter().copied());
    let shown = Survivors { survivors, lost, views: vec![] };
    let now = rehearsal.now;
    let agreed = client.agree(&shown, &mut rehearsal.devices[own].once, now);
    assert_eq!(guard(agreed), Some(Guard::Window));
}

/// The devices in the order of the ring, from device 0 on: each is one ahead of the one before.
fn ring_order(graph: &sealsum_protocol::graph::Graph, n: usize) -> Vec<usize> {
    let mut ring = vec![0];
    while ring.len() < n {
        let last = ring[ring.len() - 1];
        let next = (0..n).find(|index| graph.share_position(last, *index) == Some(1)).unwrap();
        ring.push(next);
    }
    ring
}

#[test]
fn survivors_that_leave_a_device_too_few_neighbours_are_refused() {
    let n = 150;
    let mut rehearsal = Rehearsal::new(
        n,
        task(n, |fields| (fields.clip, fields.dropout_share_permille) = (8192.0, 300)),
    );
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    let lost: Vec<usize> = {
        let cohort = rehearsal.round.cohort().unwrap();
        let spared = cohort.parameters.t - 1;
        let lost: Vec<usize> = cohort.neighbours(0).skip(spared).collect();
        assert!(n - lost.len() >= cohort.parameters.a_min);
        lost
    };
    rehearsal.lose(&lost);
    rehearsal.mask();
    let client = take!(rehearsal, 0, Checking);
    let survivors = Bitmap::of(n, (0..n).filter(|index| !lost.contains(index)));
    let shown = Survivors { survivors, lost: Bitmap::of(n, lost), views: vec![] };
    let now = rehearsal.now;
    let agreed = client.agree(&shown, &mut rehearsal.devices[0].once, now);
    assert_eq!(guard(agreed), Some(Guard::NeighboursFew));
}

fn signed() -> (Rehearsal, Signed, Quorum) {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    rehearsal.mask();
    rehearsal.check();
    let quorum = rehearsal.fetch(0, Stage::Quorum).unwrap();
    let client = take!(rehearsal, 0, Signed);
    (rehearsal, client, quorum)
}

#[test]
fn a_quorum_too_small_or_on_another_string_is_refused() {
    let (_, client, quorum) = signed();
    assert_eq!(quorum.signatures.len(), 5);
    assert_eq!(guard(client.quorum(&quorum, START)), None);

    for (kept, expected) in [(4, None), (3, Some(Guard::Quorum))] {
        let (_, client, mut quorum) = signed();
        quorum.signatures.truncate(kept);
        assert_eq!(guard(client.quorum(&quorum, START)), expected);
    }
    // Two corrupt devices signed another (A, D).
    let (mut rehearsal, client, mut quorum) = signed();
    let cohort = rehearsal.round.cohort().unwrap();
    let transcript = cohort.transcript.with_sharers(&Bitmap::of(5, 0..5));
    let other = transcript.alive_string(&Bitmap::of(5, 0..4), &Bitmap::of(5, [4]));
    for index in [2, 3] {
        quorum.signatures[index].signature = sign_as(&mut rehearsal, index, &other);
    }
    assert_eq!(guard(client.quorum(&quorum, START)), Some(Guard::Quorum));
    // One device counted twice.
    let (_, client, mut quorum) = signed();
    quorum.signatures.truncate(3);
    let again = quorum.signatures[2].clone();
    quorum.signatures.push(again);
    let decoded = <Quorum as sealsum_protocol::codec::Message>::from_bytes(
        &sealsum_protocol::codec::Message::to_bytes(&quorum),
    );
    assert!(decoded.is_err(), "a device counted twice has no encoding");
    drop(client);

    let (_, client, quorum) = signed();
    assert_eq!(guard(client.quorum(&quorum, late(START))), Some(Guard::Deadline));
}

#[test]
fn an_answer_is_given_once_and_holds_one_share_for_each_neighbour() {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    rehearsal.lose(&[3]);
    rehearsal.mask();
    rehearsal.check();
    rehearsal.take_quorum();
    let reveal = rehearsal.reveal(0).unwrap();
    let kinds: Vec<(u16, bool)> = reveal
        .shares
        .iter()
        .map(|share| (share.dealer, matches!(share.secret, RevealedSecret::SelfMask(_))))
        .collect();
    assert_eq!(kinds, [(1, true), (2, true), (3, false), (4, true)]);
    assert_eq!(rehearsal.devices[0].counter.0.get(), 3, "three steps were spent");

    // A copy of device 1 revealed before it.
    rehearsal.devices[1].counter.0.set(3);
    assert!(rehearsal.reveal(1).is_none());
    assert!(matches!(rehearsal.clients[1], Client::Out(Some(Guard::OnceCounter))));
}
