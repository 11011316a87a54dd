//! Edges deleted on one side only, of members that are never asked to sign: at eight devices, on a
//! ring cut by two runs of corrupt devices, and between two arcs that do not see each other. And
//! where the promise ends: two quorums beyond c, at six devices.

use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::server::Stage;
use sealsum_test_fleet::*;

use crate::lie::{bytes_refused, ring, sum_of};

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
