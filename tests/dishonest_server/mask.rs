//! Lies about who shared: without this device, of another size, too small, with a device whose
//! ciphertext was withheld (the edge deletion of step 2), with too few neighbours or too few
//! shares that open; another set after the first; a set after the deadline; a copy of the device
//! that is to mask once more.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{InboundShares, Sharers};
use sealsum_protocol::server::Stage;
use sealsum_test_fleet::*;

use crate::lie::{bytes_refused, refused, refused_as_bytes, ring_around_one, six};

fn acknowledged() -> Liar {
    six(Stage::Sharers)
}

fn everybody(liar: &Liar) -> Sharers {
    liar.sharers(&liar.everybody())
}

#[test]
fn a_set_without_this_device() {
    refused(
        acknowledged,
        everybody,
        |liar, shown| shown.shared = liar.set(1..6),
        Guard::SharersSelf,
    );
}

#[test]
fn a_set_of_more_places_than_the_roster() {
    refused(
        acknowledged,
        everybody,
        |_, shown| shown.shared = Bitmap::of(7, 0..6),
        Guard::SharersSmall,
    );
}

#[test]
fn a_set_of_fewer_places_than_the_roster() {
    refused(
        acknowledged,
        everybody,
        |_, shown| shown.shared = Bitmap::of(5, 0..5),
        Guard::SharersSmall,
    );
}

#[test]
fn a_set_below_the_fewest_contributors() {
    refused(
        acknowledged,
        everybody,
        |liar, shown| shown.shared = liar.set(0..4),
        Guard::SharersSmall,
    );
}

/// Every neighbour of a ring's device but t - 1 is left out, and not one too many of the rest.
#[test]
fn a_set_with_too_few_neighbours() {
    refused(
        ring_acknowledged,
        everybody,
        |liar, shown| {
            let spared = liar.cohort.parameters.t - 1;
            let out: Vec<usize> = liar.cohort.neighbours(0).skip(spared).collect();
            shown.shared = liar.set((0..liar.n()).filter(|index| !out.contains(index)));
            assert!(shown.shared.count() >= liar.cohort.parameters.a_min);
        },
        Guard::SharersSmall,
    );
}

fn ring_acknowledged() -> Liar {
    ring_around_one(150, Stage::Sharers)
}

/// Device 0 was sent the ciphertexts of all but `withheld`.
fn withheld(withheld: usize) -> Liar {
    let mut liar = six(Stage::InboundShares);
    let from = liar.set((0..6).filter(|index| *index != withheld));
    liar.tell(0, &liar.inbound_from(0, &from)).unwrap();
    liar
}

/// The edge to device 3 is deleted on one side only, so that its mask stays on one side.
#[test]
fn a_device_whose_ciphertext_was_withheld() {
    let mut control = withheld(3);
    let without = control.set([0, 1, 2, 4, 5]);
    control.tell(0, &control.sharers(&without)).expect("a set that fits what was sent");
    let mut liar = withheld(3);
    let bytes = everybody(&liar).to_bytes();
    bytes_refused(&mut liar, 0, Stage::Sharers, &bytes, Guard::SharersMismatch);
    assert_eq!(liar.heard[0].chunks.len(), 0);
}

/// Three of five dealers collude and send garbage under their signatures; t is 4.
#[test]
fn too_few_shares_that_open() {
    let garbage = |dealers: &[usize]| {
        let mut liar = Liar::new(6, task(6, |_| {}), &[3, 4, 5]);
        for dealer in dealers {
            let colluder = liar.colluder(*dealer);
            let spoil = |_, piece: &mut Piece| piece.opens = false;
            let (a, b) = (&colluder.mask, &colluder.self_mask);
            let deal = colluder.deal_with(&liar.cohort, a, b, spoil);
            liar.take_deal(*dealer, deal);
        }
        liar.honestly_until(Stage::Sharers);
        liar
    };
    let mut control = garbage(&[4]);
    control.tell(0, &everybody(&control)).expect("four of five shares open");
    let mut liar = garbage(&[4, 5]);
    let bytes = everybody(&liar).to_bytes();
    bytes_refused(&mut liar, 0, Stage::Sharers, &bytes, Guard::SharesLow);
}

#[test]
fn a_padding_bit_that_makes_a_second_encoding() {
    let lie = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() |= 0x80;
    refused_as_bytes(acknowledged, everybody, lie, Guard::Encoding);
}

#[test]
fn a_set_that_is_another_message() {
    let lie = |bytes: &mut Vec<u8>| *bytes = InboundShares { shares: vec![] }.to_bytes();
    refused_as_bytes(acknowledged, everybody, lie, Guard::Encoding);
}

/// U2 is taken once: the device masks against the first, and the second is not heard.
#[test]
fn a_second_set_after_the_device_masked() {
    let mut liar = acknowledged();
    liar.tell(0, &everybody(&liar)).unwrap();
    let (count, chunks) = (liar.heard[0].count, liar.heard[0].chunks.clone());
    let other = liar.set(0..5);
    let bytes = liar.sharers(&other).to_bytes();
    liar.tell_bytes(0, Stage::Sharers, &bytes).unwrap();
    assert_eq!((liar.heard[0].count, &liar.heard[0].chunks), (count, &chunks));
}

/// The aggregator resumes a copy of the device's memory to have its input under two sets of masks.
#[test]
fn a_copy_of_the_device_asked_to_mask_again() {
    let (mut first, mut copy) = (acknowledged(), acknowledged());
    let counter = first.device(0).device.counter.clone();
    share_counter(&mut copy, &counter);
    first.tell(0, &everybody(&first)).unwrap();
    let other = copy.set(0..5);
    let bytes = copy.sharers(&other).to_bytes();
    bytes_refused(&mut copy, 0, Stage::Sharers, &bytes, Guard::OnceCounter);

    let mut control = acknowledged();
    control.tell(0, &control.sharers(&other)).expect("a set that a first copy would take");
}

/// Gives device 0 of a scene the TPM counter of another, as a copy of the machine has.
pub(crate) fn share_counter(copy: &mut Liar, counter: &Counter) {
    use sealsum_protocol::client::Once;
    let device = &mut copy.device(0).device;
    let expected = device.once.expected();
    device.counter = counter.clone();
    device.once = Once::new(counter.clone(), expected);
}

#[test]
fn a_set_after_the_device_s_deadline() {
    let late = |by: u64| {
        let mut liar = acknowledged();
        liar.now.steady_ms += 35_000 + by;
        liar
    };
    let mut control = late(0);
    control.tell(0, &everybody(&control)).expect("in time");
    let mut liar = late(1);
    let bytes = everybody(&liar).to_bytes();
    bytes_refused(&mut liar, 0, Stage::Sharers, &bytes, Guard::Deadline);
}
