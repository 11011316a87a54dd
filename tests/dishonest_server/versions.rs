//! Two rounds that look like one: two rosters under one round id, and two versions of one task, to
//! different devices (models, noise, scales, lengths, sizes, nonces). Nothing of one is any use in
//! the other, and no sum mixes them.

use sealsum_protocol::codec::Message;
use sealsum_protocol::dp::Law;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::server::Stage;
use sealsum_protocol::task::{Grant, ModelRule, Privacy, RoundSpec, Task, TaskFields};
use sealsum_test_fleet::*;

use crate::lie::{bytes_refused, sum_of};

/// Two rosters under one round id, to disjoint halves, with one colluding device in both: two
/// rounds with their own floors, and nothing of one is any use in the other.
#[test]
fn two_rosters_under_one_round_id_are_two_rounds() {
    let spec = spec(task(12, |_| {}), 1);
    let half = |devices: &[usize]| Liar::among(devices, &spec, &[11], &policy());
    let scene = || (half(&[0, 1, 2, 3, 4, 11]), half(&[5, 6, 7, 8, 9, 11]));
    let (mut first, mut second) = scene();
    assert_eq!(first.entries[5], second.entries[5], "the colluding device is one in both");

    first.honestly_until(Stage::InboundShares);
    second.honestly_until(Stage::InboundShares);
    let bytes = second.inbound(0).to_bytes();
    bytes_refused(&mut first, 0, Stage::InboundShares, &bytes, Guard::ForeignShare);

    let (mut first, mut second) = scene();
    first.honestly_until(Stage::Survivors);
    second.honestly_until(Stage::Survivors);
    let (all, none) = (first.everybody(), first.set([]));
    let bytes = second.survivors(0, &all, &none).to_bytes();
    bytes_refused(&mut first, 0, Stage::Survivors, &bytes, Guard::NeighbourView);

    let (mut first, mut second) = scene();
    first.honestly_until(Stage::Quorum);
    second.honestly_until(Stage::Quorum);
    let bytes = second.quorum(&all, &all, &none).to_bytes();
    bytes_refused(&mut first, 0, Stage::Quorum, &bytes, Guard::Quorum);
    for liar in [&mut first, &mut second] {
        let quorum = liar.quorum(&all, &all, &none);
        liar.tell_each(|_, _| quorum.clone());
    }
    // Device 0 of the first has refused; the others of its roster reveal all the same.
    assert_eq!(first.leaks(), Leak::Sum(vec![0, 1, 2, 3, 4]));
    assert_eq!(second.leaks(), Leak::Sum(vec![0, 1, 2, 3, 4]));
}

/// The owner colludes and signs two versions of one task; devices 0 to 2 are shown one, 3 to 5
/// the other. Both halves in one roster: whichever a device entered, it sees through the rest.
pub(crate) fn two_versions(of_first: RoundSpec, of_second: RoundSpec) {
    let devices = [0, 1, 2, 3, 4, 5];
    let mut control = Liar::among(&devices, &of_first, &[], &policy());
    control.tell(0, &control.roster()).expect("one version for all");
    let (first, second) =
        [&of_first, &of_second].map(|spec| Liar::among(&devices, spec, &[], &policy())).into();
    mixed(first, &second, 0, 3);
    let first = Liar::among(&devices, &of_first, &[], &policy());
    mixed(second, &first, 3, 0);
}

/// Device `own` is shown its own half of the roster and the other half of the other version.
fn mixed(mut liar: Liar, other: &Liar, own: usize, foreign: usize) {
    let mut roster = liar.roster();
    roster.entries[foreign..foreign + 3].clone_from_slice(&other.entries[foreign..foreign + 3]);
    let refusal = liar.tell(own, &roster).expect_err("the versions mix");
    assert_eq!(refusal.guard, Guard::EntrySignature);
    assert_eq!(refusal.culprit, Some(roster.entries[foreign].entry.device));
    assert!(liar.stays_silent(own));
}

fn version(change: impl FnOnce(&mut TaskFields)) -> RoundSpec {
    spec(task(6, change), 1)
}

#[test]
fn different_models_to_different_devices_do_not_mix() {
    let task: Task = task(6, |fields| fields.model = ModelRule::Granted);
    let of = |model: u8| {
        let grant = Grant::sign(task.hash(), 1, Hash([model; 32]), &owner());
        RoundSpec { grant: Some(grant), ..spec(task.clone(), 1) }
    };
    two_versions(of(3), of(4));
}

#[test]
fn different_noise_to_different_devices_does_not_mix() {
    let noise = |z_permille| {
        version(|fields| {
            fields.privacy = Privacy::Noise { law: Law::Skellam, z_permille, delta: 1e-6 }
        })
    };
    two_versions(noise(1000), noise(500));
}

#[test]
fn different_scales_to_different_devices_do_not_mix() {
    two_versions(version(|_| {}), version(|fields| fields.scale = 128));
}

#[test]
fn different_lengths_and_sizes_to_different_devices_do_not_mix() {
    two_versions(version(|_| {}), version(|fields| fields.coordinates = 4));
    let longer = version(|fields| fields.max_devices = 7);
    two_versions(version(|_| {}), longer);
}

#[test]
fn different_nonces_to_different_devices_do_not_mix() {
    let other = RoundSpec { nonce: [1; 32], ..version(|_| {}) };
    two_versions(version(|_| {}), other);
}

/// The sums of the two halves are what each half's own round gives; the halves' masked inputs
/// together are none.
#[test]
fn inputs_for_two_models_do_not_add_up() {
    let task: Task = task(6, |fields| fields.model = ModelRule::Granted);
    let run = |model: u8| {
        let grant = Grant::sign(task.hash(), 1, Hash([model; 32]), &owner());
        let spec = RoundSpec { grant: Some(grant), ..spec(task.clone(), 1) };
        let mut liar = Liar::among(&[0, 1, 2, 3, 4, 5], &spec, &[], &policy());
        liar.honestly_until(Stage::Quorum);
        let (all, none) = (liar.everybody(), liar.set([]));
        liar.tell_each(|liar, _| liar.quorum(&all, &all, &none));
        liar
    };
    let (mut first, second) = (run(3), run(4));
    let all = [0, 1, 2, 3, 4, 5];
    assert_eq!(first.expose(&all), Some(sum_of(&all)));
    for index in 3..6 {
        first.heard[index].chunks = second.heard[index].chunks.clone();
    }
    assert_eq!(first.expose(&all), None, "the canaries do not count six");
}
