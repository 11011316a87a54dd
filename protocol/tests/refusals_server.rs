//! What the aggregator refuses, whom it blames, and what it keeps going.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::error::{AbortCode, Refusal};
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::{DeviceId, Hash};
use sealsum_protocol::messages::*;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::{Event, Fetched, Incoming, Output, Round, Stage, State, Step};
use sealsum_protocol::shamir::Share;
use sealsum_test_fleet::*;

fn guard(outcome: Result<(), Refusal>) -> Option<Guard> {
    outcome.err().map(|refusal| refusal.guard)
}

/// A round that waits for six devices, five of which entered; and what device 1 sent.
fn open_round() -> (Rehearsal, Advertise) {
    let rehearsal =
        Rehearsal::new(5, task(5, |fields| (fields.start_when, fields.max_devices) = (6, 6)));
    let mut devices =
        Rehearsal::new(5, task(5, |fields| (fields.start_when, fields.max_devices) = (6, 6)));
    devices.pass_deadline(Step::Advertise);
    let roster: Roster = devices.fetch(1, Stage::Roster).unwrap();
    (rehearsal, Advertise { signed: roster.entries[1].clone() })
}

fn advertise(rehearsal: &mut Rehearsal, from: DeviceId, message: &Advertise) -> Option<Guard> {
    let message = Incoming::Advertise(Box::new(message.clone()));
    guard(rehearsal.event(Event::Received { from, message }))
}

#[test]
fn the_same_message_again_is_taken_and_another_refused() {
    let (mut rehearsal, message) = open_round();
    let from = rehearsal.devices[1].id;
    assert_eq!(advertise(&mut rehearsal, from, &message), None);
    let mut other = message.clone();
    other.signed.entry.mask_key[0] ^= 1;
    assert_eq!(advertise(&mut rehearsal, from, &other), Some(Guard::DifferentResend));
    rehearsal.pass_deadline(Step::Advertise);
    assert_eq!(
        advertise(&mut rehearsal, from, &message),
        None,
        "the step is over, but it is the same"
    );
}

#[test]
fn entries_that_would_make_devices_refuse_the_roster_are_refused_first() {
    let (mut rehearsal, message) = open_round();
    let newcomer = Device::new(5);
    let mut entry = message.clone();
    assert_eq!(advertise(&mut rehearsal, newcomer.id, &entry), Some(Guard::EntryForeign));
    entry.signed.entry.device = newcomer.id;
    assert_eq!(advertise(&mut rehearsal, newcomer.id, &entry), Some(Guard::DuplicateKey));

    let mut own = entry_of(&newcomer, &rehearsal);
    own.signed.entry.channel_key = [0; 32];
    assert_eq!(advertise(&mut rehearsal, newcomer.id, &own), Some(Guard::BadKey));
    let mut own = entry_of(&newcomer, &rehearsal);
    own.signed.signature[0] ^= 1;
    assert_eq!(advertise(&mut rehearsal, newcomer.id, &own), Some(Guard::EntrySignature));
    let mut own = entry_of(&newcomer, &rehearsal);
    own.signed.certificate.push(1);
    assert_eq!(advertise(&mut rehearsal, newcomer.id, &own), Some(Guard::Certificate));
    let list = status_list(2, &[newcomer.id]);
    rehearsal.event(Event::StatusList(list)).unwrap();
    let own = entry_of(&newcomer, &rehearsal);
    assert_eq!(advertise(&mut rehearsal, newcomer.id, &own), Some(Guard::Revoked));
    rehearsal.event(Event::StatusList(status_list(3, &[]))).unwrap();
    assert_eq!(advertise(&mut rehearsal, newcomer.id, &own), None);
    assert_eq!(rehearsal.round.step(), Step::Share, "six devices are enough");
    let old = rehearsal.event(Event::StatusList(status_list(1, &[])));
    assert_eq!(guard(old), Some(Guard::StatusList));
}

fn entry_of(device: &Device, rehearsal: &Rehearsal) -> Advertise {
    use sealsum_protocol::client::{Answers, advertise};
    let spec = rehearsal.round.spec().clone();
    let (answers, mut marks) = (Answers::default(), Marks::default());
    let entering =
        advertise(spec, &device.identity(), &policy(), &answers, &mut marks, START, &mut rng(55));
    let entering = entering.unwrap();
    let signature = device.tpm.sign(entering.statement()).0.to_vec();
    entering.sign(signature).1
}

#[test]
fn a_device_revoked_or_gone_before_the_roster_closes_is_not_in_it() {
    let (mut rehearsal, _) = open_round();
    let (revoked, gone) = (rehearsal.devices[2].id, rehearsal.devices[4].id);
    rehearsal.event(Event::StatusList(status_list(2, &[revoked]))).unwrap();
    rehearsal.event(Event::Gone(gone)).unwrap();
    rehearsal.pass_deadline(Step::Advertise);
    let roster = rehearsal.report().roster;
    assert_eq!(roster.len(), 3);
    assert!(!roster.contains(&revoked) && !roster.contains(&gone));
    assert_eq!(rehearsal.blamed, [(revoked, Guard::Revoked)]);
}

#[test]
fn no_more_devices_enter_than_the_task_takes() {
    let (mut rehearsal, _) = open_round();
    let gone = rehearsal.devices[4].id;
    rehearsal.event(Event::Gone(gone)).unwrap();
    for (index, refused) in [(5, None), (6, Some(Guard::Late))] {
        let newcomer = Device::new(index);
        let entry = entry_of(&newcomer, &rehearsal);
        assert_eq!(advertise(&mut rehearsal, newcomer.id, &entry), refused, "device {index}");
    }
}

#[test]
fn a_device_revoked_after_its_upload_is_not_in_the_sum() {
    let mut rehearsal = Rehearsal::new(6, task(6, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    (0..5).for_each(|index| rehearsal.mask_of(index));
    let revoked = rehearsal.devices[2].id;
    rehearsal.event(Event::Revoked(revoked)).unwrap();
    rehearsal.event(Event::Back(revoked)).unwrap();
    rehearsal.lose(&[2]);
    assert_eq!(rehearsal.round.step(), Step::Mask, "the last upload is awaited");
    rehearsal.mask_of(5);
    assert_eq!(rehearsal.round.step(), Step::Check, "the revoked device is not");
    rehearsal.check();
    rehearsal.take_quorum();
    rehearsal.unmask();
    assert_eq!(rehearsal.recover(), Some(rehearsal.expected()));
    assert_eq!(rehearsal.blamed, [(revoked, Guard::Revoked)]);
    assert!(!rehearsal.report().contributors.contains(&revoked));
}

#[test]
fn a_device_revoked_before_its_upload_is_refused() {
    let mut rehearsal = Rehearsal::new(6, task(6, |_| {}));
    rehearsal.share();
    let revoked = rehearsal.devices[2].id;
    rehearsal.event(Event::Revoked(revoked)).unwrap();
    let ack = Incoming::Ack(ShareAck { good: Bitmap::empty(6) });
    assert_eq!(guard(rehearsal.send(2, ack)), Some(Guard::Revoked));
}

#[test]
fn a_contributor_revoked_before_the_shares_came_ends_the_round() {
    for (step, ends) in [(Step::Check, true), (Step::Unmask, true), (Step::Recover, false)] {
        let mut rehearsal = Rehearsal::new(6, task(6, |_| {}));
        rehearsal.share();
        rehearsal.acknowledge();
        rehearsal.take_sharers();
        rehearsal.mask();
        if step > Step::Check {
            rehearsal.check();
        }
        if step > Step::Unmask {
            rehearsal.take_quorum();
            rehearsal.unmask();
        }
        assert_eq!(rehearsal.round.step(), step);
        let revoked = rehearsal.devices[2].id;
        rehearsal.event(Event::Revoked(revoked)).unwrap();
        let code = rehearsal.abort_code();
        assert_eq!(code, ends.then_some(AbortCode::ContributorRevoked), "{step:?}");
    }
}

#[test]
fn strangers_and_latecomers_are_refused() {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    let stranger = Device::new(9);
    let entry = entry_of(&stranger, &rehearsal);
    assert_eq!(advertise(&mut rehearsal, stranger.id, &entry), Some(Guard::Late));
    let fetched = rehearsal.round.fetch(stranger.id, Stage::Roster);
    assert_eq!(fetched.map_err(|refusal| refusal.guard), Err(Guard::NotInRoster));
    let early = Incoming::Ack(ShareAck { good: Bitmap::empty(4) });
    assert_eq!(guard(rehearsal.send(0, early)), Some(Guard::NotInRoster));
    let not_yet = rehearsal.round.fetch(rehearsal.devices[0].id, Stage::Sharers);
    assert_eq!(not_yet, Ok(Fetched::NotYet));

    // Device 4 deals nothing; its acknowledgement and its late shares are refused.
    let client = take!(rehearsal, 4, Advertised);
    rehearsal.share();
    let ack = Incoming::Ack(ShareAck { good: Bitmap::empty(4) });
    assert_eq!(guard(rehearsal.send(4, ack)), Some(Guard::NotInRoster));
    let roster: Roster = rehearsal.fetch(4, Stage::Roster).unwrap();
    let (identity, mut registry) = (&rehearsal.devices[4].identity, rehearsal.registry.clone());
    let now = rehearsal.now;
    let (_, late) =
        client.share(&roster, identity, &mut registry, now, &mut rehearsal.rng).unwrap();
    assert_eq!(guard(rehearsal.send(4, Incoming::Shares(late))), Some(Guard::Late));
}

/// Device 0's shares, before they are sent.
fn dealing() -> (Rehearsal, SharedKeys) {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    let roster: Roster = rehearsal.fetch(0, Stage::Roster).unwrap();
    let client = take!(rehearsal, 0, Advertised);
    let (identity, mut registry) = (&rehearsal.devices[0].identity, rehearsal.registry.clone());
    let (client, shares) =
        client.share(&roster, identity, &mut registry, START, &mut rehearsal.rng).unwrap();
    rehearsal.clients[0] = Client::Sharing(client);
    (rehearsal, shares)
}

#[test]
fn shares_of_another_shape_or_unsigned_are_refused() {
    let (mut rehearsal, mut shares) = dealing();
    shares.shares.pop();
    assert_eq!(guard(rehearsal.send(0, Incoming::Shares(shares))), Some(Guard::DealShape));
    let (mut rehearsal, mut shares) = dealing();
    shares.shares[2].sealed[0] ^= 1;
    assert_eq!(guard(rehearsal.send(0, Incoming::Shares(shares))), Some(Guard::DealShape));
    let (mut rehearsal, mut shares) = dealing();
    shares.self_mask_commitment.0[0] ^= 1;
    assert_eq!(guard(rehearsal.send(0, Incoming::Shares(shares))), Some(Guard::DealShape));
}

#[test]
fn nobody_acknowledges_shares_before_they_were_forwarded() {
    let (mut rehearsal, message) = dealing();
    rehearsal.send(0, Incoming::Shares(message)).unwrap();
    let ack = Incoming::Ack(ShareAck { good: Bitmap::of(4, 0..4) });
    assert_eq!(guard(rehearsal.send(0, ack)), Some(Guard::NotInRoster));
}

#[test]
fn an_acknowledgement_has_one_bit_for_each_neighbour() {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    for places in [3, 5] {
        let ack = Incoming::Ack(ShareAck { good: Bitmap::empty(places) });
        assert_eq!(guard(rehearsal.send(0, ack)), Some(Guard::AckShape));
    }
}

/// Six devices, of which `liars` call dealer 5 bad; c = 1, t = 4.
fn sharers_if_called_bad_by(liars: usize) -> Bitmap {
    let mut rehearsal = Rehearsal::new(6, task(6, |_| {}));
    rehearsal.share();
    for index in 0..6 {
        let client = take!(rehearsal, index, Sharing);
        let inbound = rehearsal.fetch(index, Stage::InboundShares).unwrap();
        let (_, mut ack) = client.receive(&inbound, START).unwrap();
        if index < liars {
            ack.good = Bitmap::of(5, 0..4);
        }
        rehearsal.send(index, Incoming::Ack(ack)).unwrap();
    }
    rehearsal.fetch::<Sharers>(0, Stage::Sharers).unwrap().shared
}

#[test]
fn a_dealer_is_left_out_only_if_more_than_c_call_it_bad() {
    assert_eq!(sharers_if_called_bad_by(0).count(), 6);
    assert_eq!(sharers_if_called_bad_by(1).count(), 6, "one liar evicts nobody");
    assert_eq!(sharers_if_called_bad_by(2), Bitmap::of(6, 0..5));
}

#[test]
fn a_masked_input_under_another_set_or_root_is_refused() {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    let root = Hash([1; 32]);
    let transcript = rehearsal.round.cohort().unwrap().transcript;
    let tau = |rehearsal: &Rehearsal, shared: Bitmap| {
        let string = transcript.with_sharers(&shared).masked_string(&root);
        let signature = rehearsal.round_key(0).sign(&string);
        MaskedInput { root, signature }
    };
    let all = tau(&rehearsal, Bitmap::of(5, 0..5));
    let (message, received_root) = (all.clone(), Hash([2; 32]));
    let outcome = rehearsal.send(0, Incoming::Masked { message, received_root });
    assert_eq!(guard(outcome), Some(Guard::MaskedRoot));
    let message = tau(&rehearsal, Bitmap::of(5, 0..4));
    let outcome = rehearsal.send(0, Incoming::Masked { message, received_root: root });
    assert_eq!(guard(outcome), Some(Guard::MaskedSignature));
    let outcome = rehearsal.send(0, Incoming::Masked { message: all, received_root: root });
    assert_eq!(guard(outcome), None);
}

#[test]
fn a_signature_on_other_survivors_is_refused() {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    rehearsal.mask();
    let message = ConsistencySignature { signature: rehearsal.round_key(0).sign(b"other") };
    let outcome = rehearsal.send(0, Incoming::Consistency(message));
    assert_eq!(guard(outcome), Some(Guard::AliveSignature));
}

/// Six devices that saw a quorum, device 5 lost before its masked input.
fn unmasking() -> Rehearsal {
    let mut rehearsal = Rehearsal::new(6, task(6, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    rehearsal.lose(&[5]);
    rehearsal.mask();
    rehearsal.check();
    rehearsal.take_quorum();
    rehearsal
}

fn copy(share: &Share) -> Share {
    Share::from_canonical_bytes(share.as_bytes()).unwrap()
}

#[test]
fn an_answer_that_the_agreed_sets_do_not_call_for_is_refused() {
    let shapes: [fn(&mut Reveal); 3] = [
        |reveal| reveal.shares[0].dealer = 0,
        |reveal| {
            let RevealedSecret::SelfMask(share) = &reveal.shares[1].secret else { panic!() };
            reveal.shares[1].secret = RevealedSecret::MaskKey(copy(share));
        },
        |reveal| {
            let RevealedSecret::MaskKey(share) = &reveal.shares[4].secret else { panic!() };
            reveal.shares[4].secret = RevealedSecret::SelfMask(copy(share));
        },
    ];
    for shape in shapes {
        let mut rehearsal = unmasking();
        let mut reveal = rehearsal.reveal(0).unwrap();
        shape(&mut reveal);
        let outcome = rehearsal.send(0, Incoming::Reveal(reveal));
        assert_eq!(guard(outcome), Some(Guard::RevealShape));
    }
    let mut rehearsal = unmasking();
    let reveal = rehearsal.reveal(0).unwrap();
    assert_eq!(guard(rehearsal.send(5, Incoming::Reveal(reveal))), Some(Guard::NotInRoster));
}

#[test]
fn a_wrong_share_is_named_and_dropped_and_the_round_completes() {
    let mut rehearsal = Rehearsal::new(6, task(6, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    rehearsal.mask();
    rehearsal.check();
    rehearsal.take_quorum();
    let mut reveal = rehearsal.reveal(2).unwrap();
    let random = Share::from_canonical_bytes(SecretScalar::random(&mut rng(8)).as_bytes());
    reveal.shares[0].secret = RevealedSecret::SelfMask(random.unwrap());
    rehearsal.send(2, Incoming::Reveal(reveal)).unwrap();
    let liar = rehearsal.devices[2].id;
    assert_eq!(rehearsal.blamed, [(liar, Guard::WrongShare)]);
    rehearsal.unmask();
    assert_eq!(rehearsal.recover(), Some(rehearsal.expected()));
    assert_eq!(rehearsal.report().blamed, [(liar, Guard::WrongShare)]);
}

#[test]
fn a_dealer_of_a_wrong_secret_ends_the_round_by_name() {
    let (mut rehearsal, mut shares) = dealing();
    // Signed and well-formed, but the commitment is to another secret than the shares.
    let cohort = rehearsal.round.cohort().unwrap();
    let other = SecretScalar::random(&mut rng(8));
    shares.self_mask_commitment = cohort.transcript.self_mask_commitment(0, &other);
    reseal(&rehearsal, &mut shares);
    rehearsal.send(0, Incoming::Shares(shares)).unwrap();
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    rehearsal.mask();
    rehearsal.check();
    rehearsal.take_quorum();
    rehearsal.unmask();
    let liar = rehearsal.devices[0].id;
    let State::Aborted(abort) = rehearsal.report().state else { panic!("no abort") };
    assert_eq!((abort.code, abort.culprits), (AbortCode::TooFewShares, vec![liar]));
    assert_eq!(rehearsal.blamed, [(liar, Guard::WrongDealer)]);
}

/// Device 0 deals shares of one secret and commits to another, all else in order.
fn reseal(rehearsal: &Rehearsal, shares: &mut SharedKeys) {
    use sealsum_protocol::channel::{self, OwnKeys, Side};
    use sealsum_protocol::exchange::ExchangeKey;
    use sealsum_protocol::shamir;
    use sealsum_protocol::transcript::SecretKind;
    let cohort = rehearsal.round.cohort().unwrap();
    let mut rng = entry_rng(0);
    let mask = SecretScalar::random(&mut rng);
    let channel_key = ExchangeKey::draw(&mut rng);
    let secret = SecretScalar::random(&mut rng);
    let keys = OwnKeys { identity: &rehearsal.devices[0].identity, channel: &channel_key };
    let holders: Vec<usize> = cohort.neighbours(0).collect();
    let points: Vec<u16> =
        holders.iter().map(|holder| cohort.graph.share_position(0, *holder).unwrap()).collect();
    let t = cohort.parameters.t;
    let of_mask = shamir::split(&mask, t, &points, &mut rng).unwrap();
    let of_self = shamir::split(&secret, t, &points, &mut rng).unwrap();
    let side = |index: usize| Side { index, entry: &cohort.entries[index] };
    let transcript = &cohort.transcript;
    let mut leaves = Vec::new();
    for (place, holder) in holders.iter().enumerate() {
        let (a, b) = (of_mask[place].as_bytes(), of_self[place].as_bytes());
        let mask_key = transcript.share_commitment(SecretKind::MaskKey, 0, *holder, a);
        let self_mask = transcript.share_commitment(SecretKind::SelfMask, 0, *holder, b);
        let data = transcript.share_data(&shares.self_mask_commitment, &mask_key, &self_mask);
        let (sender, _) = channel::establish(transcript, side(0), keys, side(*holder)).unwrap();
        let plain: [u8; 64] = [*a, *b].concat().try_into().unwrap();
        let sealed = sender.seal(&plain, &data);
        let dealt =
            DealtShare { mask_key_commitment: mask_key, self_mask_commitment: self_mask, sealed };
        leaves.push(transcript.deal_leaf(*holder, &dealt));
        shares.shares[place] = dealt;
    }
    let root = sealsum_protocol::merkle::root(leaves);
    let string = transcript.deal_string(0, &shares.self_mask_commitment, &root);
    shares.signature = rehearsal.round_key(0).sign(&string);
}

#[test]
fn devices_that_assume_more_corrupt_ones_are_served_too() {
    use sealsum_protocol::policy::Policy;
    let wary = |index: usize| Policy { corrupt_fleet: if index < 3 { 3 } else { 0 }, ..policy() };
    let mut rehearsal = Rehearsal::with_policies(12, spec(task(12, |_| {}), 1), wary);
    rehearsal.run(&no_losses());
    assert_eq!(rehearsal.recover(), Some(rehearsal.expected()));
}

#[test]
fn a_sum_whose_canaries_are_wrong_is_not_published() {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.run(&no_losses());
    assert_eq!(rehearsal.round.step(), Step::Recover);
    rehearsal.chunks[3][0][0] ^= 1;
    assert_eq!(rehearsal.recover(), None);
    assert_eq!(rehearsal.abort_code(), Some(AbortCode::Canary));
}

#[test]
fn the_operator_can_end_a_round_and_devices_hear_of_it() {
    let mut rehearsal = Rehearsal::new(5, task(5, |_| {}));
    rehearsal.share();
    let end = Event::End { code: AbortCode::Cancelled, message: "by hand".to_owned() };
    rehearsal.event(end).unwrap();
    let fetched = rehearsal.round.fetch(rehearsal.devices[0].id, Stage::Sharers).unwrap();
    let Fetched::Aborted(abort) = fetched else { panic!() };
    assert_eq!((abort.code, abort.message.as_str()), (AbortCode::Cancelled, "by hand"));
    let again = Event::End { code: AbortCode::Deadline, message: String::new() };
    rehearsal.event(again).unwrap();
    assert_eq!(rehearsal.abort_code(), Some(AbortCode::Cancelled), "a round ends once");
}

#[test]
fn nothing_is_shown_before_it_is_written_down() {
    let mut rehearsal =
        Rehearsal::new(3, task(3, |fields| (fields.start_when, fields.max_devices) = (4, 4)));
    let from = rehearsal.devices[0].id;
    rehearsal.now.steady_ms = rehearsal.wake_at;
    let round: &mut Round = &mut rehearsal.round;
    round.handle(rehearsal.now, Event::Tick).unwrap();
    assert!(matches!(round.poll(), Some(Output::Persist(_))));
    assert_eq!(round.fetch(from, Stage::Roster), Ok(Fetched::NotYet));
    assert!(matches!(round.poll(), Some(Output::Publish(Stage::Roster))));
    assert!(matches!(round.fetch(from, Stage::Roster), Ok(Fetched::Ready(_))));
}
