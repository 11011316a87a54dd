//! One whole small round, byte for byte, with one device lost before its masked input.
//!
//! The vector holds every message and the secrets of the channels, so that another implementation
//! can open each share and follow the round to the sum; `tests/second_reader.py` does. Nothing but
//! a new protocol version may change it.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::fmt::Write as _;

use rand_core::Rng;
use sealsum_protocol::codec::Message;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::*;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::{Incoming, Stage};
use sealsum_test_fleet::*;
use serde_json::{Map, Value, json};

const VECTOR: &str = include_str!("vectors/round.json");

fn hex(bytes: &[u8]) -> Value {
    let mut text = String::new();
    bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
    Value::String(text)
}

/// Five devices, c = 1, t = 3, Q = 4, A_min = 4; device 4 is lost after it shared.
fn recompute() -> Value {
    let task = task(5, |fields| fields.coordinates = 6);
    let mut rehearsal = Rehearsal::new(5, task.clone());
    let mut vector = Map::new();
    let spec = rehearsal.round.spec().clone();
    vector.insert(
        "announcement".into(),
        hex(&Announcement { rounds: vec![spec.clone()] }.to_bytes()),
    );
    vector.insert("task_hash".into(), json!(task.hash()));
    vector.insert("params_hash".into(), json!(spec.params_hash()));
    vector.insert("round_id".into(), json!(spec.round_id()));
    let cohort = rehearsal.round.cohort().unwrap();
    vector.insert("roster_root".into(), json!(cohort.transcript.roster_root));
    vector.insert("graph_seed".into(), json!(Hash(cohort.transcript.graph_seed())));
    vector.insert("share_points".into(), points(&rehearsal));
    vector.insert("secrets".into(), (0..5).map(secrets).collect());
    vector.insert("roster".into(), fetched::<Roster>(&rehearsal, Stage::Roster)[0].clone());
    vector.insert("shares".into(), share(&mut rehearsal));
    vector.insert(
        "inbound".into(),
        fetched::<InboundShares>(&rehearsal, Stage::InboundShares).into(),
    );
    vector.insert("acks".into(), acknowledge(&mut rehearsal));
    vector.insert("sharers".into(), fetched::<Sharers>(&rehearsal, Stage::Sharers)[0].clone());
    rehearsal.take_sharers();
    rehearsal.lose(&[4]);
    vector.insert("integers".into(), json!(integers(&rehearsal)));
    rehearsal.mask();
    let chunks = rehearsal.chunks[..4].iter().map(|chunks| hex(&chunks[0]));
    vector.insert("chunks".into(), chunks.collect());
    let survivors = fetched::<Survivors>(&rehearsal, Stage::Survivors);
    vector.insert("survivors".into(), survivors[..4].into());
    vector.insert("masked".into(), masked(&rehearsal));
    rehearsal.check();
    vector.insert("quorum".into(), fetched::<Quorum>(&rehearsal, Stage::Quorum)[0].clone());
    rehearsal.take_quorum();
    vector.insert("reveals".into(), reveal(&mut rehearsal));
    vector.insert("sum".into(), json!(rehearsal.recover().expect("a sum")));
    Value::Object(vector)
}

/// Row i: the point at which each other device holds device i's shares.
fn points(rehearsal: &Rehearsal) -> Value {
    let graph = &rehearsal.round.cohort().unwrap().graph;
    let row = |dealer| (0..5).map(|holder| json!(graph.share_position(dealer, holder))).collect();
    (0..5).map(row).collect::<Vec<Value>>().into()
}

fn fetched<M: Message>(rehearsal: &Rehearsal, stage: Stage) -> Vec<Value> {
    (0..5).map(|index| hex(&rehearsal.fetch::<M>(index, stage).unwrap().to_bytes())).collect()
}

fn share(rehearsal: &mut Rehearsal) -> Value {
    let roster: Roster = rehearsal.fetch(0, Stage::Roster).unwrap();
    let mut all = Vec::new();
    for index in 0..5 {
        let client = take!(rehearsal, index, Advertised);
        let (identity, mut registry) =
            (&rehearsal.devices[index].identity, rehearsal.registry.clone());
        let mut rng = rng(3_000_000 + index as u64);
        let (client, message) =
            client.share(&roster, identity, &mut registry, START, &mut rng).unwrap();
        all.push(hex(&message.to_bytes()));
        rehearsal.clients[index] = Client::Sharing(client);
        rehearsal.send(index, Incoming::Shares(message)).unwrap();
    }
    all.into()
}

/// The halves of a device's channels that stay with it: its round's, drawn second, and its identity.
fn secrets(index: usize) -> Value {
    let mut round = entry_rng(index);
    let _mask_key = SecretScalar::random(&mut round);
    let mut life = rng(1_000_000 + index as u64);
    let drawn = |rng: &mut dyn Rng| {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        hex(&bytes)
    };
    json!({ "channel": drawn(&mut round), "identity": drawn(&mut life) })
}

fn acknowledge(rehearsal: &mut Rehearsal) -> Value {
    let mut all = Vec::new();
    for index in 0..5 {
        let inbound: InboundShares = rehearsal.fetch(index, Stage::InboundShares).unwrap();
        let (client, message) = take!(rehearsal, index, Sharing).receive(&inbound, START).unwrap();
        all.push(hex(&message.to_bytes()));
        rehearsal.clients[index] = Client::Acknowledged(client);
        rehearsal.send(index, Incoming::Ack(message)).unwrap();
    }
    all.into()
}

/// As the others were shown them.
fn masked(rehearsal: &Rehearsal) -> Value {
    let view = |index: usize| {
        let shown: Survivors = rehearsal.fetch((index + 1) % 4, Stage::Survivors).unwrap();
        let view = shown.views.iter().find(|view| usize::from(view.device) == index).unwrap();
        hex(&MaskedInput { root: view.root, signature: view.signature }.to_bytes())
    };
    (0..4).map(view).collect()
}

fn integers(rehearsal: &Rehearsal) -> Vec<Vec<i64>> {
    let in_units = |update: &Vec<f64>| update.iter().map(|value| (value * 256.0) as i64).collect();
    rehearsal.updates.iter().map(in_units).collect()
}

fn reveal(rehearsal: &mut Rehearsal) -> Value {
    let mut all = Vec::new();
    for index in 0..4 {
        let message = rehearsal.reveal(index).unwrap();
        all.push(hex(&message.to_bytes()));
        rehearsal.send(index, Incoming::Reveal(message)).unwrap();
    }
    all.into()
}

#[test]
fn the_round_of_the_vector_is_the_round_we_run() {
    let published: Value = serde_json::from_str(VECTOR).unwrap();
    let ours = recompute();
    if published != ours {
        eprintln!("the round as it runs now: {}", serde_json::to_string_pretty(&ours).unwrap());
    }
    let (published, ours) = (published.as_object().unwrap(), ours.as_object().unwrap());
    assert!(published.keys().eq(ours.keys()));
    for (name, value) in ours {
        assert_eq!(published.get(name), Some(value), "{name}");
    }
}

#[test]
fn the_sum_of_the_vector_is_that_of_its_integers() {
    let published: Value = serde_json::from_str(VECTOR).unwrap();
    let integers: Vec<Vec<i64>> = serde_json::from_value(published["integers"].clone()).unwrap();
    let sum: Vec<i64> = serde_json::from_value(published["sum"].clone()).unwrap();
    let expected = (0..6).map(|at| integers[..4].iter().map(|row| row[at]).sum::<i64>());
    assert!(expected.eq(sum));
}
