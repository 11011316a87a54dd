//! One message of each kind with its fields, and what a decoder must refuse of it.
//!
//! For other implementations: to check an encoder and a decoder by. The messages of a round are
//! those of `vectors/round.json`.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod fields;

use fields::{Fields, hex, unhex};
use sealsum_protocol::codec::{CodecError, Message};
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::*;
use sealsum_protocol::task::{Grant, ModelRule, SignedTask};
use sealsum_test_fleet::{owner, spec, task};
use serde_json::{Map, Value, json};

const ROUND: &str = include_str!("vectors/round.json");
const MESSAGES: &str = include_str!("vectors/messages.json");

/// One kind of message.
struct Kind {
    name: &'static str,
    kind: u8,
    bytes: Vec<u8>,
    fields: fn(&[u8]) -> Result<Value, CodecError>,
    bent: Vec<Bent>,
}

/// One change to the bytes.
struct Bent {
    why: &'static str,
    change: Change,
}

enum Change {
    /// The byte at a place, from the end if negative.
    Byte(isize, u8),
    Append,
    Cut,
}

fn kind<M: Message + Fields>(name: &'static str, bytes: Vec<u8>, own: Vec<Bent>) -> Kind {
    let of_every_message = [
        ("another version", Change::Byte(0, 2)),
        ("another kind", Change::Byte(1, 0x7f)),
        ("a byte too few", Change::Cut),
        ("a byte too many", Change::Append),
    ];
    let bent = of_every_message.map(|(why, change)| Bent { why, change }).into_iter();
    let fields = |bytes: &[u8]| M::from_bytes(bytes).map(|message| message.fields());
    Kind { name, kind: M::KIND, bytes, fields, bent: bent.chain(own).collect() }
}

fn byte(why: &'static str, at: isize, to: u8) -> Bent {
    Bent { why, change: Change::Byte(at, to) }
}

/// A message of the published round.
fn published(round: &Value, place: &str) -> Vec<u8> {
    unhex(round.pointer(place).unwrap().as_str().unwrap())
}

const INDEX: &str = "an index that does not increase";
const BEYOND: &str = "an index beyond the largest roster";
const LENGTH: &str = "a length above its bound";
const PADDING: &str = "a padding bit";

fn kinds() -> Vec<Kind> {
    let round: Value = serde_json::from_str(ROUND).unwrap();
    let task = task(5, |fields| fields.model = ModelRule::Granted);
    let grant = Grant::sign(task.hash(), 1, Hash([3; 32]), &owner());
    let mut granted = spec(task, 1);
    granted.grant = Some(grant.clone());
    let signed = granted.signed_task.to_bytes();
    let announcement = Announcement { rounds: vec![granted] }.to_bytes();
    let option = announcement.len() as isize - 137;
    let roster = Roster::from_bytes(&published(&round, "/roster")).unwrap();
    let advertise = Advertise { signed: roster.entries[0].clone() }.to_bytes();
    let quorum = Quorum::from_bytes(&published(&round, "/quorum")).unwrap();
    let consistency = ConsistencySignature { signature: quorum.signatures[0].signature };
    vec![
        kind::<SignedTask>("SignedTask", signed, task_bent(2)),
        kind::<Grant>("Grant", grant.to_bytes(), vec![]),
        kind::<Announcement>(
            "Announcement",
            announcement,
            vec![byte(LENGTH, 5, 1), byte("an option that is neither 0 nor 1", option, 2)],
        ),
        kind::<Advertise>("Advertise", advertise, vec![byte(LENGTH, 197, 1)]),
        kind::<Roster>("Roster", published(&round, "/roster"), vec![byte(LENGTH, 5, 1)]),
        kind::<SharedKeys>("SharedKeys", published(&round, "/shares/0"), vec![byte(LENGTH, 37, 1)]),
        kind::<InboundShares>(
            "InboundShares",
            published(&round, "/inbound/0"),
            vec![byte(LENGTH, 5, 1), byte(INDEX, 6, 9), byte(BEYOND, 7, 0xff)],
        ),
        kind::<ShareAck>("ShareAck", published(&round, "/acks/0"), bitmap_bent(2, -1)),
        kind::<Sharers>("Sharers", published(&round, "/sharers"), bitmap_bent(2, -1)),
        kind::<MaskedInput>("MaskedInput", published(&round, "/masked/0"), vec![]),
        kind::<Survivors>("Survivors", published(&round, "/survivors/0"), {
            let views = [byte(LENGTH, 11, 1), byte(INDEX, 12, 9), byte(BEYOND, 13, 0xff)];
            bitmap_bent(2, 4).into_iter().chain(bitmap_bent(5, 7)).chain(views).collect()
        }),
        kind::<ConsistencySignature>("ConsistencySignature", consistency.to_bytes(), vec![]),
        kind::<Quorum>(
            "Quorum",
            published(&round, "/quorum"),
            vec![byte(LENGTH, 5, 1), byte(INDEX, 6, 9), byte(BEYOND, 7, 0xff)],
        ),
        kind::<Reveal>(
            "Reveal",
            published(&round, "/reveals/0"),
            vec![
                byte(LENGTH, 5, 1),
                byte(INDEX, 6, 9),
                byte(BEYOND, 7, 0xff),
                byte("a kind of share that there is not", 8, 2),
                byte("a share that is not below the group's order", -1, 0xff),
            ],
        ),
    ]
}

/// The task of the tests is called `test`, so its fields are where they are.
fn task_bent(task: isize) -> Vec<Bent> {
    vec![
        byte("a name above its bound", task, 64),
        byte("a name of other characters", task + 4, b'T'),
        byte("a ring of 7 bits", task + 16, 7),
        byte("a clip that is no number", task + 24, 0xff),
        byte("a mechanism that there is not", task + 37, 3),
        byte("noise without a mechanism", task + 38, 1),
        byte("a mask suite that there is not", task + 70, 2),
        byte("a kind that there is not", task + 71, 6),
        byte("a model rule that there is not", task + 72, 2),
    ]
}

fn bitmap_bent(places: isize, last: isize) -> Vec<Bent> {
    vec![byte(LENGTH, places + 1, 0xff), byte(PADDING, last, 0xff)]
}

impl Bent {
    fn bytes(&self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        match self.change {
            Change::Byte(at, to) => {
                let place = if at < 0 { bytes.len() as isize + at } else { at };
                assert_ne!(std::mem::replace(&mut bytes[place as usize], to), to, "{}", self.why);
            }
            Change::Append => bytes.push(0),
            Change::Cut => drop(bytes.pop()),
        }
        bytes
    }

    fn published(&self, good: &[u8], error: CodecError) -> Value {
        let change = match self.change {
            Change::Byte(at, to) if at < 0 => json!({ "at": good.len() as isize + at, "to": to }),
            Change::Byte(at, to) => json!({ "at": at, "to": to }),
            Change::Append => json!({ "append": 0 }),
            Change::Cut => json!({ "cut": 1 }),
        };
        json!({ "why": self.why, "change": change, "error": name(error) })
    }
}

fn name(error: CodecError) -> &'static str {
    match error {
        CodecError::Truncated => "truncated",
        CodecError::TrailingBytes => "trailing_bytes",
        CodecError::Version(_) => "version",
        CodecError::Kind { .. } => "kind",
        CodecError::TooLong { .. } => "too_long",
        CodecError::NotCanonical(_) => "not_canonical",
    }
}

fn recompute() -> Value {
    let messages = kinds().into_iter().map(|kind| {
        let refused = kind.bent.iter().map(|bent| {
            let refused = (kind.fields)(&bent.bytes(&kind.bytes));
            bent.published(&kind.bytes, refused.expect_err(bent.why))
        });
        let mut message = Map::new();
        message.insert("kind".into(), kind.kind.into());
        message.insert("name".into(), kind.name.into());
        message.insert("bytes".into(), hex(&kind.bytes));
        message.insert("fields".into(), (kind.fields)(&kind.bytes).unwrap());
        message.insert("refused".into(), refused.collect());
        Value::Object(message)
    });
    messages.collect()
}

#[test]
fn the_published_messages_are_those_we_read_and_refuse() {
    let (published, ours): (Value, Value) = (serde_json::from_str(MESSAGES).unwrap(), recompute());
    if published != ours {
        eprintln!("the messages as we read them: {}", serde_json::to_string_pretty(&ours).unwrap());
    }
    let (published, ours) = (published.as_array().unwrap(), ours.as_array().unwrap());
    assert_eq!(published.len(), ours.len());
    for (published, ours) in published.iter().zip(ours) {
        assert_eq!(published, ours, "{}", ours["name"]);
    }
}

#[test]
fn every_kind_of_the_protocol_is_published() {
    let published: Value = serde_json::from_str(MESSAGES).unwrap();
    let kinds: Vec<u64> =
        published.as_array().unwrap().iter().map(|kind| kind["kind"].as_u64().unwrap()).collect();
    assert_eq!(kinds, [1, 2].into_iter().chain(10..=21).collect::<Vec<u64>>());
}
