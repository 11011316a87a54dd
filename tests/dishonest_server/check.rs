//! Lies about who survived: a device survivor and lost at once (both kinds of share in one
//! answer), members left out or added, this device lost, too few, too few neighbours, a hole in
//! the ring, a neighbour's tau missing, altered, another's, of another round or over another U2;
//! other survivors after the first; a copy that is to sign once more; survivors after the deadline.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{SurvivorView, Survivors};
use sealsum_protocol::server::Stage;
use sealsum_test_fleet::*;

use crate::lie::{bytes_refused, refused, refused_as_bytes, ring_around_one, six};
use crate::mask::share_counter;

fn masked() -> Liar {
    six(Stage::Survivors)
}

fn all_survive(liar: &Liar) -> Survivors {
    liar.survivors(0, &liar.everybody(), &liar.set([]))
}

/// Device 4 is lost.
fn one_lost(liar: &Liar) -> Survivors {
    liar.survivors(0, &liar.set([0, 1, 2, 3, 5]), &liar.set([4]))
}

/// What another honest device signed in another round.
fn view_of_round(number: u64, device: u16) -> SurvivorView {
    let spec = spec(task(6, |_| {}), number);
    let mut old = Liar::among(&[0, 1, 2, 3, 4, 5], &spec, &[5], &policy());
    old.honestly_until(Stage::Survivors);
    all_survive(&old).views.into_iter().find(|view| view.device == device).unwrap()
}

#[test]
fn a_device_that_survives_and_is_lost() {
    refused(masked, one_lost, |_, shown| shown.lost.insert(3), Guard::Sets);
}

#[test]
fn a_member_that_neither_survives_nor_is_lost() {
    refused(masked, one_lost, |liar, shown| shown.lost = liar.set([]), Guard::Sets);
}

#[test]
fn this_device_called_lost() {
    refused(
        masked,
        one_lost,
        |liar, shown| {
            (shown.survivors, shown.lost) = (liar.set([1, 2, 3, 4, 5]), liar.set([0]));
        },
        Guard::Sets,
    );
}

#[test]
fn survivors_of_more_places_than_the_roster() {
    refused(masked, all_survive, |_, shown| shown.survivors = Bitmap::of(7, 0..6), Guard::Sets);
}

#[test]
fn lost_of_fewer_places_than_the_roster() {
    refused(masked, all_survive, |_, shown| shown.lost = Bitmap::empty(5), Guard::Sets);
}

#[test]
fn a_survivor_that_did_not_share() {
    refused(
        without_the_last,
        five_survive,
        |liar, shown| shown.survivors = liar.everybody(),
        Guard::Sets,
    );
}

#[test]
fn a_lost_device_that_did_not_share() {
    refused(without_the_last, five_survive, |liar, shown| shown.lost = liar.set([5]), Guard::Sets);
}

#[test]
fn fewer_survivors_than_the_task_promises() {
    refused(
        masked,
        one_lost,
        |liar, shown| {
            *shown = liar.survivors(0, &liar.set([0, 1, 2, 5]), &liar.set([3, 4]));
        },
        Guard::SurvivorsSmall,
    );
}

#[test]
fn a_neighbour_s_tau_missing() {
    refused(
        masked,
        all_survive,
        |_, shown| {
            shown.views.remove(2);
        },
        Guard::NeighbourView,
    );
}

#[test]
fn a_neighbour_s_tau_altered() {
    refused(
        masked,
        all_survive,
        |_, shown| shown.views[2].signature.0[0] ^= 1,
        Guard::NeighbourView,
    );
}

#[test]
fn a_neighbour_s_root_altered() {
    refused(masked, all_survive, |_, shown| shown.views[2].root.0[0] ^= 1, Guard::NeighbourView);
}

#[test]
fn a_neighbour_s_tau_under_another_name() {
    refused(
        masked,
        all_survive,
        |_, shown| {
            let (root, signature) = (shown.views[1].root, shown.views[1].signature);
            (shown.views[2].root, shown.views[2].signature) = (root, signature);
        },
        Guard::NeighbourView,
    );
}

#[test]
fn a_tau_of_a_lost_device_too() {
    refused(
        masked,
        one_lost,
        |liar, shown| {
            let lost = all_survive(liar).views.remove(3);
            shown.views.insert(3, lost);
        },
        Guard::NeighbourView,
    );
}

#[test]
fn a_tau_of_another_round() {
    refused(
        masked,
        all_survive,
        |_, shown| shown.views[2] = view_of_round(2, 3),
        Guard::NeighbourView,
    );
}

#[test]
fn a_colluding_neighbour_s_tau_over_another_set() {
    refused(
        masked,
        all_survive,
        |liar, shown| {
            let tau = liar.colluder(5).masked_input(&liar.cohort, &liar.set(0..5), &[]);
            (shown.views[4].root, shown.views[4].signature) = (tau.root, tau.signature);
        },
        Guard::NeighbourView,
    );
}

#[test]
fn an_honest_neighbour_that_was_told_another_set() {
    refused(
        one_was_told_another,
        five_of_six,
        |liar, shown| *shown = all_survive(liar),
        Guard::NeighbourView,
    );
}

/// U2 is the first five.
fn without_the_last() -> Liar {
    let mut liar = six(Stage::Sharers);
    let shared = liar.set(0..5);
    liar.tell_each(|liar, _| liar.sharers(&shared));
    liar
}

fn five_survive(liar: &Liar) -> Survivors {
    liar.survivors(0, &liar.set(0..5), &liar.set([]))
}

/// Device 1 was told that device 2 did not share; all others that everybody did.
fn one_was_told_another() -> Liar {
    let mut liar = six(Stage::Sharers);
    let (all, without) = (liar.everybody(), liar.set([0, 1, 3, 4, 5]));
    liar.tell(1, &liar.sharers(&without)).unwrap();
    liar.tell_each(|liar, _| liar.sharers(&all));
    liar
}

/// The honest way out: device 1 is lost.
fn five_of_six(liar: &Liar) -> Survivors {
    liar.survivors(0, &liar.set([0, 2, 3, 4, 5]), &liar.set([1]))
}

#[test]
fn a_neighbour_s_tau_twice() {
    let lie = |bytes: &mut Vec<u8>| {
        let mut shown = Survivors::from_bytes(bytes).unwrap();
        shown.views[2] = shown.views[1].clone();
        *bytes = shown.to_bytes();
    };
    refused_as_bytes(masked, all_survive, lie, Guard::Encoding);
}

/// A second answer would give the other kind of share: the device signs once and is not heard
/// about other survivors.
#[test]
fn other_survivors_after_the_first() {
    let mut liar = masked();
    liar.tell(0, &all_survive(&liar)).unwrap();
    let (count, signature) = (liar.heard[0].count, liar.heard[0].alive);
    let bytes = one_lost(&liar).to_bytes();
    liar.tell_bytes(0, Stage::Survivors, &bytes).unwrap();
    assert_eq!((liar.heard[0].count, liar.heard[0].alive), (count, signature));
}

#[test]
fn a_copy_of_the_device_asked_to_sign_other_survivors() {
    let (mut first, mut copy) = (masked(), masked());
    let counter = first.device(0).device.counter.clone();
    share_counter(&mut copy, &counter);
    first.tell(0, &all_survive(&first)).unwrap();
    let bytes = one_lost(&copy).to_bytes();
    bytes_refused(&mut copy, 0, Stage::Survivors, &bytes, Guard::OnceCounter);
    let mut control = masked();
    control.tell(0, &one_lost(&control)).expect("survivors that a first copy would sign");
}

#[test]
fn survivors_after_the_device_s_deadline() {
    let late = |by: u64| {
        let mut liar = masked();
        liar.now.steady_ms += 45_000 + by;
        liar
    };
    let mut control = late(0);
    control.tell(0, &all_survive(&control)).expect("in time");
    let mut liar = late(1);
    let bytes = all_survive(&liar).to_bytes();
    bytes_refused(&mut liar, 0, Stage::Survivors, &bytes, Guard::Deadline);
}

/// A ring of 150 of which only device 0 is real, and which of its members to call lost.
fn ring_with_losses(lose: impl Fn(&Liar) -> Vec<usize>) -> (Liar, Survivors) {
    let liar = ring_around_one(150, Stage::Survivors);
    let lost = liar.set(lose(&liar));
    let survivors = liar.everybody().without(&lost);
    assert!(survivors.count() >= liar.cohort.parameters.a_min, "the count alone does not refuse");
    let shown = liar.survivors(0, &survivors, &lost);
    (liar, shown)
}

#[test]
fn a_hole_in_the_ring() {
    // On the far side, so that device 0 has its neighbours; one window keeps w_min - 1 survivors.
    let hole = |liar: &Liar, spared: usize| {
        let parameters = &liar.cohort.parameters;
        let run = parameters.k / 2 - parameters.w_min + 1 - spared;
        liar.ring()[75 - run / 2..][..run].to_vec()
    };
    let (mut control, shown) = ring_with_losses(|liar| hole(liar, 1));
    control.tell(0, &shown).expect("a window with just enough survivors");
    let (mut liar, shown) = ring_with_losses(|liar| hole(liar, 0));
    bytes_refused(&mut liar, 0, Stage::Survivors, &shown.to_bytes(), Guard::Window);
}

#[test]
fn too_few_neighbours_survive() {
    // Every second neighbour by place in the ring goes first, so that no window is the reason.
    let lose = |liar: &Liar, spared: usize| {
        let ring = liar.ring();
        let neighbours: Vec<usize> =
            ring.into_iter().filter(|index| liar.cohort.graph.are_neighbours(0, *index)).collect();
        let even = neighbours.iter().step_by(2).chain(neighbours.iter().skip(1).step_by(2));
        even.copied().take(neighbours.len() - spared).collect::<Vec<_>>()
    };
    let (mut control, shown) = ring_with_losses(|liar| lose(liar, liar.cohort.parameters.t));
    control.tell(0, &shown).expect("t neighbours survive");
    let (mut liar, shown) = ring_with_losses(|liar| lose(liar, liar.cohort.parameters.t - 1));
    bytes_refused(&mut liar, 0, Stage::Survivors, &shown.to_bytes(), Guard::NeighboursFew);
}
