//! Lies about who survived: a device survivor and lost at once (both kinds of share in one
//! answer), members left out or added, this device lost, too few, too few neighbours, a hole in
//! the ring, a neighbour's tau missing, altered, another's, of another round or over another U2;
//! other survivors after the first; a copy that is to sign once more; survivors after the deadline.
//! The attacks on edges of members that are never asked to sign: at n = 8, on a ring cut by two
//! runs of corrupt devices, between two arcs that are far from each other, and beyond c at n = 6.

use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{SurvivorView, Survivors};
use sealsum_protocol::server::Stage;
use sealsum_test_fleet::*;

use crate::lie::{bytes_refused, refused, refused_as_bytes, ring, ring_around_one, six, sum_of};
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

/// Eight devices `ddoooooS`: the target 7 is told that as few others shared as it lets pass, and
/// everybody else that all did.
fn lean(told_to_target: &[usize]) -> (Liar, BTreeMap<usize, Guard>) {
    let eight = task(8, |fields| fields.dropout_share_permille = 250);
    let mut liar = Liar::new(8, eight, &[]);
    liar.honestly_until(Stage::Sharers);
    let (all, to_target) = (liar.everybody(), liar.set(told_to_target.iter().copied()));
    let refused =
        liar.tell_each(|liar, index| liar.sharers(if index == 7 { &to_target } else { &all }));
    (liar, refused)
}

/// The two d are called lost. The five o are asked to sign, who would be a quorum.
fn ask(liar: &mut Liar, asked: std::ops::Range<usize>) -> BTreeMap<usize, Guard> {
    let (a, d) = (liar.set(2..8), liar.set([0, 1]));
    assert!(asked.len() >= liar.cohort.parameters.quorum);
    let mut refused = BTreeMap::new();
    for index in asked {
        if let Err(refusal) = liar.tell(index, &liar.survivors(index, &a, &d)) {
            refused.insert(index, refusal.guard);
        }
    }
    let all = liar.everybody();
    liar.tell_each(|liar, _| liar.quorum(&all, &a, &d));
    refused
}

#[test]
fn one_device_s_edges_deleted_at_eight_devices() {
    // As in the attack: the target has seen the two d only.
    let (mut liar, refused) = lean(&[0, 1, 7]);
    assert_eq!(refused, BTreeMap::from([(7, Guard::SharersSmall)]));
    assert!(liar.heard[7].chunks.is_empty() && liar.stays_silent(7));

    // As many deleted as the target lets pass: its neighbours see that it masked otherwise.
    let (mut liar, refused) = lean(&[0, 1, 2, 3, 4, 7]);
    assert!(refused.is_empty());
    let refused = ask(&mut liar, 2..7);
    assert_eq!(refused, (2..7).map(|index| (index, Guard::NeighbourView)).collect());
    assert!((2..7).all(|index| liar.stays_silent(index)));
    assert_eq!(liar.leaks(), Leak::Nothing);
    assert_eq!(liar.expose(&[7]), None);

    // The same without the lie, and with the target asked too: the sum of six.
    let (mut liar, refused) = lean(&[0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(refused.is_empty() && ask(&mut liar, 2..8).is_empty());
    assert_eq!(liar.leaks(), Leak::Sum((2..8).collect()));
    assert_eq!(liar.expose(&[2, 3, 4, 5, 6, 7]), Some(sum_of(&[2, 3, 4, 5, 6, 7])));
}

/// The smallest ring of the default shares, cut by its c corrupt devices in two runs:
/// `C…C o…o C…C S…s…S`. Members of the arc S next to a run are told a U2 without the nearest o of
/// the other arc, as many as they let pass; all others that everybody shared.
struct CutRing {
    liar: Liar,
    /// Who is told the smaller U2.
    apart: Bitmap,
    smaller: Bitmap,
}

fn cut_ring(lie: bool) -> CutRing {
    let n = 101;
    let order = ring(n, 100, 200, &(0..n).collect::<Vec<_>>()).ring();
    let corrupt = ring(n, 100, 200, &[]).cohort.parameters.corrupt;
    let first = corrupt / 2;
    let arc = (n - corrupt) / 2;
    let second = first + arc;
    let colluding = [&order[..first], &order[second..second + corrupt - first]].concat();
    let mut liar = ring(n, 100, 200, &colluding);
    let parameters = liar.cohort.parameters.clone();
    assert!(parameters.k / 2 > corrupt, "a run does not cut the ring alone");
    let spare = n - parameters.a_min;
    let near_ends = [&order[first..][..spare / 2], &order[second - spare.div_ceil(2)..second]];
    let deleted = liar.set(near_ends.concat());
    let beyond = &order[second + corrupt - first..];
    let touches = |index: &&usize| liar.cohort.neighbours_in(**index, &deleted).count() > 0;
    let apart = liar.set(beyond.iter().filter(touches).copied());
    let (all, smaller) = (liar.everybody(), liar.everybody().without(&deleted));
    liar.honestly_until(Stage::Sharers);
    let refused = liar.tell_each(|liar, index| {
        liar.sharers(if lie && apart.contains(index) { &smaller } else { &all })
    });
    // Who would keep fewer than t neighbours does not take the smaller set.
    assert!(refused.values().all(|guard| *guard == Guard::SharersSmall), "{refused:?}");
    assert!(lie || refused.is_empty());
    CutRing { liar, apart, smaller }
}

#[test]
fn edges_deleted_across_a_ring_cut_by_corrupt_devices() {
    let CutRing { mut liar, apart, smaller } = cut_ring(true);
    let (all, none) = (liar.everybody(), liar.set([]));
    assert!(apart.count() > 0 && smaller.count() == liar.cohort.parameters.a_min);
    let took_the_lie: Vec<usize> =
        apart.iter().filter(|index| liar.shared[*index].is_some()).collect();
    let refused = liar.tell_each(|liar, to| liar.survivors(to, &all, &none));
    for index in liar.honest() {
        let beside = took_the_lie.iter().any(|s| liar.cohort.graph.are_neighbours(index, *s));
        let expected = match &liar.shared[index] {
            Some(shared) if *shared == smaller => Some(Guard::Sets),
            Some(_) if beside => Some(Guard::NeighbourView),
            _ => None,
        };
        assert_eq!(refused.get(&index).copied(), expected, "device {index}");
    }
    liar.tell_each(|liar, _| liar.quorum(&all, &all, &none));
    assert_eq!(liar.leaks(), Leak::Nothing);

    let CutRing { mut liar, .. } = cut_ring(false);
    assert!(liar.tell_each(|liar, to| liar.survivors(to, &all, &none)).is_empty());
    assert!(liar.tell_each(|liar, _| liar.quorum(&all, &all, &none)).is_empty());
    assert_eq!(liar.leaks(), Leak::Sum(liar.honest()));
}

/// Two arcs of a ring so long that their middles do not see each other, each told a U2 without
/// the ends of the other. If the middles looked at neighbours only, they would sign one (A, D) and
/// be a quorum. n and the shares are about the smallest that the parameters allow. Of each end
/// `spared` devices are not left out.
fn two_arcs(
    spared: usize,
    real: impl Fn(&[usize]) -> Vec<usize>,
) -> (Liar, [Bitmap; 2], Vec<usize>) {
    let n = 300;
    let stand_ins: Vec<usize> = (0..n).collect();
    let order = ring(n, 1, 200, &stand_ins).ring();
    let real = real(&order);
    let stand_ins: Vec<usize> = stand_ins.into_iter().filter(|i| !real.contains(i)).collect();
    let mut liar = ring(n, 1, 200, &stand_ins);
    let parameters = &liar.cohort.parameters;
    let (half, ends) = (n / 2, parameters.k / 2);
    let middles = n - 2 * parameters.k;
    assert!(middles + parameters.corrupt >= parameters.quorum, "the middles are a quorum");
    let without = |from: usize| {
        let last = from + half - ends + spared;
        let ends = [&order[from..from + ends - spared], &order[last..from + half]];
        liar.everybody().without(&liar.set(ends.concat()))
    };
    let told = [without(half), without(0)];
    assert!(told[0].count() >= parameters.a_min);
    liar.honestly_until(Stage::Sharers);
    (liar, told, order)
}

#[test]
fn two_arcs_that_do_not_see_each_other_are_told_two_sets() {
    let middle = |order: &[usize]| vec![order[75], order[149]];
    let (mut liar, [told, _], order) = two_arcs(0, middle);
    let (inside, edge) = (order[75], order[149]);
    // A device at the edge would keep half its neighbours, one fewer than t.
    let bytes = liar.sharers(&told).to_bytes();
    bytes_refused(&mut liar, edge, Stage::Sharers, &bytes, Guard::SharersSmall);
    // One inside has them all, and cannot see the difference among them.
    let peers: Vec<usize> = liar.cohort.neighbours(inside).collect();
    assert!(peers.iter().all(|peer| told.contains(*peer)));
    liar.tell(inside, &liar.sharers(&told)).unwrap();
    let (all, none) = (liar.everybody(), liar.set([]));
    let shown = liar.survivors(inside, &all, &none).to_bytes();
    bytes_refused(&mut liar, inside, Stage::Survivors, &shown, Guard::Sets);
}

/// Told sets that fit its own U2, the device finds the hole in the ring.
#[test]
fn two_arcs_leave_holes_where_they_were_parted() {
    let scene = |spared: usize| {
        let (mut liar, told, order) = two_arcs(spared, |order| vec![order[75]]);
        liar.tell(order[75], &liar.sharers(&told[0])).unwrap();
        let shown = liar.survivors(order[75], &told[0], &liar.set([]));
        (liar, shown, order[75])
    };
    let (mut liar, shown, inside) = scene(0);
    bytes_refused(&mut liar, inside, Stage::Survivors, &shown.to_bytes(), Guard::Window);
    let (mut control, shown, inside) = scene(control_w_min());
    control.tell(inside, &shown).expect("no hole");
}

fn control_w_min() -> usize {
    let (liar, ..) = two_arcs(0, |_| vec![]);
    liar.cohort.parameters.w_min
}

/// Without a hole it signs; but the signatures of the other arc, over the other U2, are not on its
/// string.
#[test]
fn two_arcs_do_not_make_one_quorum() {
    let spared = control_w_min();
    let scene = || {
        let (mut liar, told, order) = two_arcs(spared, |order| vec![order[75]]);
        let inside = order[75];
        liar.tell(inside, &liar.sharers(&told[0])).unwrap();
        let none = liar.set([]);
        liar.tell(inside, &liar.survivors(inside, &told[0], &none)).unwrap();
        (liar, told, order)
    };
    let (mut liar, [own, other], order) = scene();
    let (none, inside) = (liar.set([]), order[75]);
    let mut shown = liar.quorum(&own, &own, &none);
    let of_other = liar.quorum(&other, &other, &none);
    let beyond = liar.set(order[150..].iter().copied());
    for signature in &mut shown.signatures {
        if beyond.contains(signature.device.into()) {
            let theirs = of_other.signatures.iter().find(|s| s.device == signature.device);
            *signature = theirs.unwrap().clone();
        }
    }
    bytes_refused(&mut liar, inside, Stage::Quorum, &shown.to_bytes(), Guard::Quorum);
    let (mut control, [own, _], _) = scene();
    control.tell(inside, &control.quorum(&own, &own, &none)).expect("all on one string");
}

/// 0 and 1 are told that 3 is lost, 2 and 3 that 0 is; the colluding sign both.
fn two_quorums(colluding: &[usize]) -> (Liar, BTreeMap<usize, Guard>) {
    let mut liar = Liar::new(6, task(6, |_| {}), colluding);
    liar.honestly_until(Stage::Survivors);
    let sets = |liar: &Liar, index: usize| {
        let lost = if index < 2 { 3 } else { 0 };
        (liar.everybody().without(&liar.set([lost])), liar.set([lost]))
    };
    let all = liar.everybody();
    for index in 0..4 {
        let (a, d) = sets(&liar, index);
        liar.tell(index, &liar.survivors(index, &a, &d)).unwrap();
    }
    let refused = liar.tell_each(|liar, index| {
        let (a, d) = sets(liar, index);
        liar.quorum(&all, &a, &d)
    });
    (liar, refused)
}

/// Where the promise ends. c = 1; with two corrupt devices both pairs have their quorum, and the
/// aggregator learns the sum of two inputs, fewer than A_min. With one it learns nothing.
#[test]
fn beyond_c_two_inputs_are_open_at_six_devices() {
    let (mut liar, refused) = two_quorums(&[5]);
    assert_eq!(liar.cohort.parameters.corrupt, 1);
    assert_eq!(refused, (0..4).map(|index| (index, Guard::Quorum)).collect());
    assert!((0..4).all(|index| liar.stays_silent(index)));
    assert_eq!(liar.leaks(), Leak::Nothing);

    let (liar, refused) = two_quorums(&[4, 5]);
    assert!(refused.is_empty());
    assert_eq!(liar.leaks(), Leak::Sum(vec![1, 2]));
    assert_eq!(liar.expose(&[1, 2]), Some(sum_of(&[1, 2])));
    assert!(liar.cohort.parameters.a_min > 2);
}
