//! Lies about the roster: this device left out or altered; keys of others exchanged, of low order,
//! not canonical, used twice, or from an old round; devices twice, without a certificate of the
//! fleet (Sybils), under another's, revoked; a status list that goes back or cannot be read; too
//! many, too few, too few honest; thresholds put behind it; a second roster. Lies about shares:
//! altered, exchanged, to another holder, one's own back, from a stranger, from an old round. Two
//! rosters under one round id, two models, two amounts of noise: what each device then refuses.

use std::collections::BTreeSet;

use sealsum_protocol::codec::Message;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::{DeviceId, Hash};
use sealsum_protocol::messages::{InboundShares, Roster};
use sealsum_protocol::policy::Policy;
use sealsum_protocol::roster::SignedEntry;
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::task::{Grant, ModelRule, Privacy, RoundSpec, Task};
use sealsum_test_fleet::*;

use crate::lie::{
    self, bytes_refused, of, refused, refused_as_bytes, ring_around_one, six, sum_of,
};

fn entering() -> Liar {
    six(Stage::Roster)
}

/// The entry of colluding device 5, changed and signed again by its TPM.
fn resigned(liar: &Liar, roster: &mut Roster, change: impl FnOnce(&mut SignedEntry)) {
    let signed = &mut roster.entries[5];
    change(signed);
    let statement = signed.entry.statement(&liar.spec.params_hash());
    signed.signature = liar.colluder(5).device.tpm.sign(&statement).0.to_vec();
}

fn drawn() -> [u8; 32] {
    ExchangeKey::draw(&mut rng(77)).public()
}

#[test]
fn a_roster_without_this_device() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| {
            roster.entries.remove(0);
        },
        Guard::OwnEntry,
    );
}

#[test]
fn this_device_under_another_mask_key() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries[0].entry.mask_key = drawn(),
        Guard::OwnEntry,
    );
}

#[test]
fn this_device_with_a_signature_of_another_round() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries[0].signature = entry_of_round(2, 0).signature,
        Guard::OwnEntry,
    );
}

#[test]
fn another_device_s_mask_key_exchanged() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries[2].entry.mask_key = drawn(),
        Guard::EntrySignature,
    );
}

#[test]
fn another_device_s_channel_key_exchanged() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries[2].entry.channel_key = drawn(),
        Guard::EntrySignature,
    );
}

#[test]
fn another_device_s_signing_key_exchanged() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| {
            roster.entries[2].entry.signing_key = SecretKey::from_seed(&[5; 32]).public();
        },
        Guard::EntrySignature,
    );
}

#[test]
fn another_device_s_identity_exchanged() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries[2].entry.static_key = drawn(),
        Guard::EntrySignature,
    );
}

#[test]
fn an_entry_of_an_old_round() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries[2] = entry_of_round(2, 2),
        Guard::EntrySignature,
    );
}

#[test]
fn an_identity_that_the_certificate_does_not_name() {
    refused(
        entering,
        |liar| liar.roster(),
        |liar, roster| resigned(liar, roster, |signed| signed.entry.static_key = drawn()),
        Guard::Certificate,
    );
}

#[test]
fn a_mask_key_of_low_order() {
    refused(
        entering,
        |liar| liar.roster(),
        |liar, roster| resigned(liar, roster, |signed| signed.entry.mask_key = [0; 32]),
        Guard::BadKey,
    );
}

#[test]
fn a_channel_key_of_low_order() {
    refused(
        entering,
        |liar| liar.roster(),
        |liar, roster| {
            resigned(liar, roster, |signed| {
                signed.entry.channel_key = [0; 32];
                signed.entry.channel_key[0] = 1;
            });
        },
        Guard::BadKey,
    );
}

#[test]
fn a_signing_key_of_low_order() {
    refused(
        entering,
        |liar| liar.roster(),
        |liar, roster| {
            resigned(liar, roster, |signed| {
                signed.entry.signing_key.0 = [0; 32];
                signed.entry.signing_key.0[0] = 1;
            });
        },
        Guard::BadKey,
    );
}

#[test]
fn a_mask_key_that_is_not_canonical() {
    refused(
        entering,
        |liar| liar.roster(),
        |liar, roster| resigned(liar, roster, |signed| signed.entry.mask_key[31] |= 0x80),
        Guard::BadKey,
    );
}

#[test]
fn a_device_twice() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries[4] = roster.entries[5].clone(),
        Guard::RosterEncoding,
    );
}

#[test]
fn a_roster_out_of_order() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries.swap(3, 4),
        Guard::RosterEncoding,
    );
}

#[test]
fn a_device_twice_under_two_ids() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| {
            let id = roster.entries[4].entry.device;
            roster.entries[4] = roster.entries[5].clone();
            roster.entries[4].entry.device = id;
        },
        Guard::DuplicateKey,
    );
}

#[test]
fn the_mask_key_of_another_device() {
    refused(
        entering,
        |liar| liar.roster(),
        |liar, roster| {
            let key = roster.entries[2].entry.mask_key;
            resigned(liar, roster, |signed| signed.entry.mask_key = key);
        },
        Guard::DuplicateKey,
    );
}

#[test]
fn a_sybil_without_a_certificate_of_the_fleet() {
    refused(
        entering,
        |liar| liar.roster(),
        |liar, roster| {
            resigned(liar, roster, |signed| {
                signed.certificate.truncate(95);
                signed.entry.certificate = certificate_hash(&signed.certificate);
            });
        },
        Guard::Certificate,
    );
}

#[test]
fn a_sybil_under_the_certificate_of_another_device() {
    refused(
        entering,
        |liar| liar.roster(),
        |liar, roster| {
            let own = liar.colluder(5).device.certificate.clone();
            let foreign = &mut roster.entries[4];
            foreign.certificate = own;
            foreign.entry.certificate = certificate_hash(&foreign.certificate);
            roster.entries.truncate(5);
        },
        Guard::Certificate,
    );
}

#[test]
fn a_certificate_that_the_entry_does_not_name() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries[3].certificate = roster.entries[4].certificate.clone(),
        Guard::Certificate,
    );
}

#[test]
fn a_revoked_device() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| {
            roster.status_list = status_list(2, &[roster.entries[3].entry.device]);
        },
        Guard::Revoked,
    );
}

#[test]
fn a_status_list_that_cannot_be_read() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.status_list = vec![1],
        Guard::StatusList,
    );
}

#[test]
fn more_devices_than_the_task_takes() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| {
            let mut seventh = roster.entries[5].clone();
            seventh.entry.device = DeviceId([9; 32]);
            roster.entries.push(seventh);
        },
        Guard::CohortSize,
    );
}

#[test]
fn fewer_devices_than_the_task_takes() {
    refused(
        entering,
        |liar| liar.roster(),
        |_, roster| roster.entries.truncate(2),
        Guard::CohortSize,
    );
}

fn certificate_hash(certificate: &[u8]) -> Hash {
    use sha2::Digest;
    Hash(sha2::Sha256::digest(certificate).into())
}

/// What a device says when it enters another round of the same task.
fn entry_of_round(number: u64, index: usize) -> SignedEntry {
    let spec = spec(task(6, |_| {}), number);
    Liar::among(&(0..6).collect::<Vec<_>>(), &spec, &[], &policy()).entries.remove(index)
}

/// The authority's CA signed it, but its log does not show it: whoever watches the log does not
/// know this device.
#[test]
fn a_sybil_that_the_authority_s_log_does_not_show() {
    let mut control = entering();
    control.tell(0, &control.roster()).unwrap();
    let mut liar = entering();
    let sybil = liar.entries[4].entry.device;
    liar.device(0).registry.miss_in_the_log(sybil);
    let refusal = liar.tell(0, &liar.roster()).expect_err("a member that the log does not show");
    assert_eq!((refusal.guard, refusal.culprit), (Guard::Certificate, Some(sybil)));
    assert!(liar.stays_silent(0));
}

#[test]
fn a_status_list_older_than_the_device_has_seen() {
    let scene = |seen: u64| {
        move || {
            use sealsum_protocol::membership::Membership;
            let mut liar = entering();
            let list = status_list(seen, &[]);
            liar.device(0).registry.admit_status_list(&list, START.unix_s).unwrap();
            liar
        }
    };
    let mut control = scene(1)();
    control.tell(0, &control.roster()).unwrap();
    let mut liar = scene(2)();
    let bytes = liar.roster().to_bytes();
    bytes_refused(&mut liar, 0, Stage::Roster, &bytes, Guard::StatusList);
}

#[test]
fn a_roster_with_fewer_honest_devices_than_the_device_demands() {
    let scene = |min_honest: u32| {
        let policy = Policy { min_honest, ..policy() };
        Liar::among(&[0, 1, 2, 3, 4, 5], &spec(task(6, |_| {}), 1), &[5], &policy)
    };
    // A_min = 5 of which one may be corrupt.
    let mut content = scene(4);
    content.tell(0, &content.roster()).unwrap();
    let mut liar = scene(5);
    let bytes = liar.roster().to_bytes();
    bytes_refused(&mut liar, 0, Stage::Roster, &bytes, Guard::TooFewHonest);
}

/// c bounds the corrupt devices in any roster that the aggregator can pick out of the fleet.
#[test]
fn a_roster_so_small_that_the_corrupt_devices_of_the_fleet_fill_it() {
    let scene = |corrupt_fleet: u32| {
        let policy = Policy { corrupt_fleet, ..policy() };
        Liar::among(&[0, 1, 2, 3, 4, 5], &spec(task(6, |_| {}), 1), &[5], &policy)
    };
    let mut content = scene(1);
    content.tell(0, &content.roster()).unwrap();
    let mut liar = scene(6);
    let bytes = liar.roster().to_bytes();
    bytes_refused(&mut liar, 0, Stage::Roster, &bytes, Guard::Parameters);
}

#[test]
fn thresholds_that_the_aggregator_chose_have_no_place_behind_a_roster() {
    let smaller = [4u16, 2, 2].map(u16::to_le_bytes).concat();
    let lie = |bytes: &mut Vec<u8>| bytes.extend(&smaller);
    refused_as_bytes(entering, |liar| liar.roster(), lie, Guard::Encoding);
}

/// An aggregator that reckons with a quorum of its own gets nothing: the device has computed its.
#[test]
fn a_smaller_quorum_than_the_devices_computed_gets_nothing() {
    let mut liar = six(Stage::Quorum);
    let (all, none) = (liar.everybody(), liar.set([]));
    let quorum = liar.cohort.parameters.quorum;
    let mut message = liar.quorum(&all, &all, &none);
    message.signatures.truncate(quorum - 1);
    let refused = liar.tell_each(|_, _| message.clone());
    assert_eq!(refused.into_values().collect::<Vec<_>>(), [Guard::Quorum; 5]);
    assert_eq!(liar.leaks(), Leak::Nothing);
}

#[test]
fn a_second_roster_is_not_heard_and_the_round_goes_on_with_the_first() {
    let mut liar = entering();
    let first = liar.roster();
    liar.tell(0, &first).unwrap();
    let count = liar.heard[0].count;
    let mut second = liar.roster();
    second.entries.pop();
    liar.tell(0, &second).unwrap();
    assert_eq!(liar.heard[0].count, count, "nothing was said about it");
    liar.honestly_until(Stage::Quorum);
    assert!(liar.heard[0].alive.is_some());
}

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
            let mut own = liar.inbound(1).shares.into_iter().find(|s| s.dealer == 0).unwrap();
            shown.shares[0].dealt = own.dealt.clone();
            own.dealt = shown.shares[0].dealt.clone();
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

fn deal_of_round(number: u64, dealer: u16) -> sealsum_protocol::messages::InboundShare {
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

/// The halves of one roster, of which each is shown itself only.
#[test]
fn a_roster_cut_below_the_floor_for_one_half() {
    let cut = |_: &Liar, roster: &mut Roster| roster.entries.truncate(3);
    let scene = || of_at_least(4);
    refused(scene, |liar| liar.roster(), cut, Guard::CohortSize);
}

fn of_at_least(min_contributors: u32) -> Liar {
    Liar::new(6, task(6, |fields| fields.min_contributors = min_contributors), &[5])
}

/// The owner colludes and signs two versions of one task; devices 0 to 2 are shown one, 3 to 5
/// the other. Both halves in one roster: whichever a device entered, it sees through the rest.
fn two_versions(of_first: RoundSpec, of_second: RoundSpec) {
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

fn version(change: impl FnOnce(&mut sealsum_protocol::task::TaskFields)) -> RoundSpec {
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
        version(|fields| fields.privacy = Privacy::Skellam { z_permille, delta: 1e-6 })
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

#[test]
fn a_roster_after_the_device_s_deadline() {
    let mut control = of(6, &[5], Stage::Roster);
    control.now.steady_ms += 15_000;
    control.tell(0, &control.roster()).expect("in time");
    let mut liar = lie::six(Stage::Roster);
    liar.now.steady_ms += 15_001;
    let bytes = liar.roster().to_bytes();
    bytes_refused(&mut liar, 0, Stage::Roster, &bytes, Guard::Deadline);
}
