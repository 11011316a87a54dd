//! Lies about who is in the round: this device left out or altered; keys of others exchanged, of
//! low order, not canonical, used twice, or from an old round; devices twice, without a certificate
//! of the fleet or an entry in the log (Sybils), under another's certificate, revoked; a status
//! list that goes back or cannot be read; too many, too few, too few honest; thresholds put behind
//! the roster; a second roster; a roster too late.

use sealsum_protocol::codec::Message;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::{DeviceId, Hash};
use sealsum_protocol::messages::Roster;
use sealsum_protocol::policy::Policy;
use sealsum_protocol::roster::SignedEntry;
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::SecretKey;
use sealsum_test_fleet::*;

use crate::lie::{bytes_refused, refused, refused_as_bytes, six};

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

#[test]
fn a_roster_after_the_device_s_deadline() {
    let mut control = entering();
    control.now.steady_ms += 15_000;
    control.tell(0, &control.roster()).expect("in time");
    let mut liar = entering();
    liar.now.steady_ms += 15_001;
    let bytes = liar.roster().to_bytes();
    bytes_refused(&mut liar, 0, Stage::Roster, &bytes, Guard::Deadline);
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
