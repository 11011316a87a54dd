//! Each message of a whole round: it goes round, and nothing else decodes.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use proptest::prelude::*;
use sealsum_protocol::codec::{CodecError, Encode, Message};
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::*;
use sealsum_protocol::server::Stage;
use sealsum_protocol::task::{Grant, ModelRule, SignedTask};
use sealsum_test_fleet::*;

/// Decodes a message and gives its bytes back, or says why not.
type Recode = fn(&[u8]) -> Result<Vec<u8>, CodecError>;

fn recode<M: Message>(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    M::from_bytes(bytes).map(|message| message.to_bytes())
}

/// One message of each kind, from a round with one device lost before its masked input.
fn all_messages() -> Vec<(&'static str, Vec<u8>, Recode)> {
    let task = task(4, |fields| {
        (fields.model, fields.dropout_share_permille) = (ModelRule::Granted, 0);
    });
    let grant = Grant::sign(task.hash(), 1, Hash([3; 32]), &owner());
    let mut granted = spec(task, 1);
    granted.grant = Some(grant.clone());
    let mut rehearsal = Rehearsal::with_spec(4, granted.clone());
    let mut all: Vec<(&'static str, Vec<u8>, Recode)> = vec![
        ("task", granted.signed_task.to_bytes(), recode::<SignedTask>),
        ("grant", grant.to_bytes(), recode::<Grant>),
        ("open", Announcement { rounds: vec![granted] }.to_bytes(), recode::<Announcement>),
    ];
    let roster: Roster = rehearsal.fetch(0, Stage::Roster).unwrap();
    let advertise = Advertise { signed: roster.entries[0].clone() };
    all.push(("advertise", advertise.to_bytes(), recode::<Advertise>));
    all.push(("roster", roster.to_bytes(), recode::<Roster>));
    let client = take!(rehearsal, 0, Advertised);
    let (identity, mut registry) = (&rehearsal.devices[0].identity, Registry::default());
    let (client, shares) =
        client.share(&roster, identity, &mut registry, START, &mut rehearsal.rng).unwrap();
    all.push(("shares", shares.to_bytes(), recode::<SharedKeys>));
    rehearsal.clients[0] = Client::Sharing(client);
    rehearsal.send(0, sealsum_protocol::server::Incoming::Shares(shares)).unwrap();
    rehearsal.share();
    let inbound: InboundShares = rehearsal.fetch(0, Stage::InboundShares).unwrap();
    all.push(("inbound", inbound.to_bytes(), recode::<InboundShares>));
    let ack = ShareAck { good: sealsum_protocol::bitmap::Bitmap::of(3, 0..3) };
    all.push(("ack", ack.to_bytes(), recode::<ShareAck>));
    rehearsal.acknowledge();
    let sharers: Sharers = rehearsal.fetch(0, Stage::Sharers).unwrap();
    all.push(("sharers", sharers.to_bytes(), recode::<Sharers>));
    rehearsal.take_sharers();
    rehearsal.mask();
    let masked = MaskedInput { root: Hash([1; 32]), signature: rehearsal.round_key(0).sign(b"x") };
    all.push(("masked", masked.to_bytes(), recode::<MaskedInput>));
    let survivors: Survivors = rehearsal.fetch(0, Stage::Survivors).unwrap();
    all.push(("survivors", survivors.to_bytes(), recode::<Survivors>));
    rehearsal.check();
    let signed = ConsistencySignature { signature: rehearsal.round_key(0).sign(b"x") };
    all.push(("consistency", signed.to_bytes(), recode::<ConsistencySignature>));
    let quorum: Quorum = rehearsal.fetch(0, Stage::Quorum).unwrap();
    all.push(("quorum", quorum.to_bytes(), recode::<Quorum>));
    rehearsal.take_quorum();
    all.push(("reveal", rehearsal.reveal(0).unwrap().to_bytes(), recode::<Reveal>));
    all
}

#[test]
fn each_message_goes_round() {
    for (name, bytes, recode) in all_messages() {
        assert_eq!(recode(&bytes).as_ref(), Ok(&bytes), "{name}");
    }
}

#[test]
fn kinds_are_distinct() {
    let mut kinds: Vec<u8> = all_messages().iter().map(|(_, bytes, _)| bytes[1]).collect();
    let count = kinds.len();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), count);
}

#[test]
fn every_truncation_and_every_longer_string_is_refused() {
    for (name, bytes, recode) in all_messages() {
        for length in 0..bytes.len() {
            assert!(recode(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        let refused = recode(&longer);
        let bounded = matches!(refused, Err(CodecError::TooLong { .. }));
        assert!(bounded || refused == Err(CodecError::TrailingBytes), "{name}: {refused:?}");
    }
}

#[test]
fn another_version_or_kind_is_refused() {
    for (name, mut bytes, recode) in all_messages() {
        bytes[0] = 2;
        assert_eq!(recode(&bytes), Err(CodecError::Version(2)), "{name}");
        bytes[0] = 1;
        bytes[1] ^= 0x80;
        assert!(matches!(recode(&bytes), Err(CodecError::Kind { .. })), "{name}");
    }
}

/// Whatever decodes is the one encoding of what it decodes to.
#[test]
fn no_flipped_bit_gives_a_second_encoding() {
    for (name, bytes, recode) in all_messages() {
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (place % 8);
            if let Ok(again) = recode(&flipped) {
                assert_eq!(again, flipped, "{name} at byte {place}");
            }
        }
    }
}

#[test]
fn lists_that_do_not_increase_are_refused() {
    let signature = owner().sign(b"x");
    let twice = |device| QuorumSignature { device, signature };
    for devices in [[1, 1], [2, 1]] {
        let quorum = Quorum { signatures: devices.map(twice).to_vec() };
        assert!(matches!(Quorum::from_bytes(&quorum.to_bytes()), Err(CodecError::NotCanonical(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_a_decoder_panic(kind in 0u8..24, mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        bytes.splice(0..0, [1, kind]);
        let recoders: [Recode; 14] = [
            recode::<SignedTask>, recode::<Grant>, recode::<Announcement>, recode::<Advertise>,
            recode::<Roster>, recode::<SharedKeys>, recode::<InboundShares>, recode::<ShareAck>,
            recode::<Sharers>, recode::<MaskedInput>, recode::<Survivors>,
            recode::<ConsistencySignature>, recode::<Quorum>, recode::<Reveal>,
        ];
        for recode in recoders {
            if let Ok(again) = recode(&bytes) {
                prop_assert_eq!(&again, &bytes);
            }
        }
    }
}

#[test]
fn a_task_has_one_hash() {
    let (first, second) = (task(4, |_| {}), task(4, |_| {}));
    assert_eq!(first.encoded(), second.encoded());
    assert_eq!(first.hash(), second.hash());
    assert_ne!(first.hash(), task(4, |fields| fields.version = 2).hash());
}
