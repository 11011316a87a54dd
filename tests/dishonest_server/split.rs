//! Two survivor sets at once: to two halves of a cohort, alone and with the c corrupt devices that
//! sign both, at every size to eleven and at a thousand; another set to each holder, by max-flow,
//! which opens a device where nobody agrees with anybody; and random lies to everybody, after each
//! of which the union of what leaked is one sum or nothing.

use std::collections::BTreeMap;

use rand_core::Rng;
use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::parameters::{CohortInputs, Parameters};
use sealsum_protocol::server::Stage;
use sealsum_test_fleet::*;

use crate::flow::Ring;
use crate::lie::{bytes_refused, ring, sum_of};

/// The first `first` honest devices are told that the last of them is lost, the others that the
/// first is; the colluding sign both. Who refused, and how many signed what the first half signed.
fn halves(n: usize, colluding: &[usize], first: usize) -> (Liar, Vec<Guard>) {
    let mut liar = Liar::new(n, task(n, |_| {}), colluding);
    liar.honestly_until(Stage::Survivors);
    let honest = liar.honest();
    let (one, other) = (honest[0], honest[honest.len() - 1]);
    let lost = |index: usize| if honest[..first].contains(&index) { other } else { one };
    let sets = |liar: &Liar, index: usize| {
        let lost = liar.set([lost(index)]);
        (liar.everybody().without(&lost), lost)
    };
    let signed = liar.tell_each(|liar, index| {
        let (a, d) = sets(liar, index);
        liar.survivors(index, &a, &d)
    });
    assert!(signed.is_empty(), "each set alone is in order: {signed:?}");
    let all = liar.everybody();
    let refused = liar.tell_each(|liar, index| {
        let (a, d) = sets(liar, index);
        liar.quorum(&all, &a, &d)
    });
    (liar, refused.into_values().collect())
}

#[test]
fn two_halves_that_are_told_two_sets() {
    let (mut liar, refused) = halves(8, &[], 4);
    assert_eq!(refused, [Guard::Quorum; 8]);
    assert!((0..8).all(|index| liar.stays_silent(index)));
    assert_eq!(liar.leaks(), Leak::Nothing);
    assert!(liar.both_secrets_known().is_empty());
}

#[test]
fn two_halves_with_c_colluding_devices_that_sign_both() {
    let (mut liar, refused) = halves(9, &[8], 4);
    assert_eq!(liar.cohort.parameters.corrupt, 1);
    assert_eq!(refused, [Guard::Quorum; 8]);
    assert!((0..8).all(|index| liar.stays_silent(index)));
    assert_eq!(liar.leaks(), Leak::Nothing);
    assert_eq!(liar.expose(&[0]), None);
    // A part that is a quorum with the colluding one gets its sum, the rest nothing.
    let (liar, refused) = halves(9, &[8], 5);
    assert_eq!(refused, [Guard::Quorum; 3]);
    assert_eq!(liar.leaks(), Leak::Sum((0..7).collect()));
    assert_eq!(liar.expose(&[0, 1, 2, 3, 4, 5, 6]), Some(sum_of(&[0, 1, 2, 3, 4, 5, 6])));
}

#[test]
fn every_split_of_every_small_cohort_gives_one_sum_or_nothing() {
    for n in 5..=11 {
        let corrupt = Liar::new(n, task(n, |_| {}), &[]).cohort.parameters.corrupt;
        let colluding: Vec<usize> = (n - corrupt..n).collect();
        let honest = n - corrupt;
        for first in 1..honest {
            let (liar, refused) = halves(n, &colluding, first);
            assert!(refused.len() >= first.min(honest - first), "one half at least refuses");
            let leaks = liar.leaks();
            let one = Leak::Sum((0..honest - 1).collect());
            let other = Leak::Sum((1..honest).collect());
            assert!([Leak::Nothing, one, other].contains(&leaks), "n={n} {first}: {leaks:?}");
            assert!(liar.both_secrets_known().is_empty());
        }
    }
}

/// A thousand devices, a tenth of them corrupt. Of the 900 others 450 sign one (A, D) and 450
/// another; with the corrupt, who sign both, each set has one signature less than Q. Only one
/// device is real; the others do here what a real one would do that was told the same.
#[test]
fn two_halves_of_a_thousand_are_one_signature_short() {
    let n = 1000;
    let scene = || {
        let mut liar = ring(n, 100, 100, &(1..n).collect::<Vec<_>>());
        liar.honestly_until(Stage::Survivors);
        let (a, d) = (liar.set(0..n - 1), liar.set([n - 1]));
        liar.tell(0, &liar.survivors(0, &a, &d)).unwrap();
        let parameters = liar.cohort.parameters.clone();
        let halves = (n - parameters.corrupt) / 2 + parameters.corrupt;
        assert_eq!(halves, parameters.quorum - 1);
        let shown = liar.quorum(&liar.everybody(), &a, &d);
        (liar, shown, halves)
    };
    let (mut liar, mut shown, most) = scene();
    shown.signatures.truncate(most);
    bytes_refused(&mut liar, 0, Stage::Quorum, &shown.to_bytes(), Guard::Quorum);
    let (mut control, mut shown, most) = scene();
    shown.signatures.truncate(most + 1);
    control.tell(0, &shown).expect("one more");
}

/// The parameters of another implementation at a thousand devices, where nobody agrees with
/// anybody; open means that one device's input is.
#[test]
fn the_max_flow_opens_a_device_where_nobody_agrees() {
    for (k, t, corrupt_every) in
        [(398, 223, None), (228, 115, None), (194, 124, Some(10)), (302, 206, Some(5))]
    {
        let ring = Ring { k, t, corrupt_every };
        assert!(ring.claims().is_some(), "k={k} t={t} {corrupt_every:?} {}", ring.is_too_narrow());
    }
    for (k, t) in [(96, 67), (52, 37), (140, 104)] {
        assert!(Ring { k, t, corrupt_every: None }.is_too_narrow(), "k={k} t={t}");
    }
}

/// The default shares leave the flow no room above 150 devices, even if nobody agreed.
#[test]
fn the_max_flow_finds_no_room_at_the_default_shares() {
    for n in [200, 400, 1000] {
        let parameters = ring_parameters(n, 100, 200);
        let (k, t) = (parameters.k, parameters.t);
        assert!(Ring { k, t, corrupt_every: None }.is_too_narrow(), "n={n} k={k} t={t}");
    }
}

/// Fewer corrupt devices assumed leave the flow room. Each holder is told its own sets; as many
/// as the windows allow sign them, and then nobody agrees with anybody.
#[test]
fn a_set_for_each_holder_by_max_flow_has_no_quorum() {
    let n = 1000;
    let parameters = ring_parameters(n, 10, 200);
    let (k, t) = (parameters.k, parameters.t);
    let claims = Ring { k, t, corrupt_every: None }.claims().expect("room for the flow");
    let order = ring(n, 10, 200, &(0..n).collect::<Vec<_>>()).ring();
    let at = |place: i64| order[place.rem_euclid(n as i64) as usize];
    let mut signed = 0;
    for place in [-90, -60, -30, 10, 40, 70, 90] {
        let lost: Vec<usize> = claims[&place].iter().map(|dealer| at(*dealer)).collect();
        signed += usize::from(own_sets_have_no_quorum(n, at(place), &lost, &claims, &at));
    }
    assert!(signed >= 2, "the windows alone did not refuse it");
}

/// Whether the holder signed; if it did, it finds no quorum.
fn own_sets_have_no_quorum(
    n: usize,
    holder: usize,
    lost: &[usize],
    claims: &BTreeMap<i64, Vec<i64>>,
    at: &impl Fn(i64) -> usize,
) -> bool {
    let stand_ins: Vec<usize> = (0..n).filter(|index| *index != holder).collect();
    let scene = || {
        let mut liar = ring(n, 10, 200, &stand_ins);
        liar.honestly_until(Stage::Survivors);
        let d = liar.set(lost.iter().copied());
        let a = liar.everybody().without(&d);
        let told = liar.tell(holder, &liar.survivors(holder, &a, &d));
        (liar, told, a, d)
    };
    let (mut liar, told, a, d) = scene();
    if let Err(refusal) = told {
        assert_eq!(refusal.guard, Guard::Window, "{refusal}");
        assert!(liar.stays_silent(holder));
        return false;
    }
    // Who was told the same, and c corrupt devices.
    let same = |other: &&i64| {
        at(**other) == holder || {
            let theirs: Vec<usize> = claims[*other].iter().map(|dealer| at(*dealer)).collect();
            theirs == lost
        }
    };
    let mut signers: Vec<usize> = claims.keys().filter(same).map(|place| at(*place)).collect();
    let more = stand_ins.iter().filter(|index| a.contains(**index)).copied();
    signers.extend(more.take(liar.cohort.parameters.corrupt));
    let all = liar.everybody();
    let full = liar.quorum(&all, &a, &d);
    let mut shown = full.clone();
    shown.signatures.retain(|signature| signers.contains(&signature.device.into()));
    bytes_refused(&mut liar, holder, Stage::Quorum, &shown.to_bytes(), Guard::Quorum);
    let (mut control, ..) = scene();
    control.tell(holder, &full).expect("everybody on its string");
    true
}

/// The aggregator tells each device whatever it likes, of few sets that nearly fit.
#[test]
fn random_lies_to_everybody_give_one_sum_or_nothing() {
    let (mut sums, mut refusals) = (0, 0);
    for seed in 0..200 {
        let (liar, refused) = random_lies(seed);
        refusals += refused;
        match liar.leaks() {
            Leak::Nothing => {}
            Leak::Sum(devices) => {
                sums += 1;
                let honest_floor = liar.cohort.parameters.honest_floor();
                assert!(devices.len() >= honest_floor, "seed {seed}: {devices:?}");
                assert_eq!(liar.expose(&devices), Some(sum_of(&devices)), "seed {seed}");
            }
            more => panic!("seed {seed}: {more:?}"),
        }
        assert!(liar.both_secrets_known().is_empty(), "seed {seed}");
    }
    assert!(sums > 20 && refusals > 200, "the lies are of one sort: {sums} {refusals}");
}

/// Mostly everybody is told the same, so that now and then there is a quorum. Who refused, in all.
fn random_lies(seed: u64) -> (Liar, usize) {
    let mut rng = rng(seed);
    let n = 5 + (seed % 4) as usize;
    let mut liar = Liar::new(n, task(n, |_| {}), &[n - 1]);
    liar.honestly_until(Stage::Sharers);
    // One time in eight a device other than usual.
    let mut odd = |usual: Option<usize>| {
        let draw = rng.next_u64() as usize;
        if draw.is_multiple_of(8) { Some(draw / 8 % n) } else { usual }
    };
    let without = |set: &Bitmap, one: Option<usize>| set.without(&Bitmap::of(n, one));
    let usual = (!seed.is_multiple_of(3)).then_some(0);
    let all = liar.everybody();
    let told: Vec<Bitmap> = (0..n).map(|_| without(&all, odd(None))).collect();
    let survive: Vec<Bitmap> = told.iter().map(|told| without(told, odd(usual))).collect();
    let lost = |index: usize| told[index].without(&survive[index]);
    let refused = [
        liar.tell_each(|liar, index| liar.sharers(&told[index])),
        liar.tell_each(|liar, index| liar.survivors(index, &survive[index], &lost(index))),
        liar.tell_each(|liar, index| liar.quorum(&told[index], &survive[index], &lost(index))),
    ];
    (liar, refused.iter().map(BTreeMap::len).sum())
}

fn ring_parameters(n: usize, corrupt: u32, dropout: u32) -> Parameters {
    let inputs = CohortInputs {
        min_contributors: 3,
        corrupt_share_permille: corrupt,
        dropout_share_permille: dropout,
    };
    Parameters::derive(&inputs, n, 0).unwrap()
}
