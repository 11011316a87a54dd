//! One whole small round, byte for byte, with one device lost before its masked input.
//!
//! The vector holds every message, so that another implementation can follow it from the seeds to
//! the sum. Nothing but a new protocol version may change it.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod fleet;

use std::fmt::Write as _;

use fleet::*;
use sealsum_protocol::codec::Message;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::*;
use sealsum_protocol::server::{Incoming, Stage};
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
    let mut simulation = Simulation::new(5, task.clone());
    let mut vector = Map::new();
    let spec = simulation.round.spec().clone();
    vector.insert(
        "announcement".into(),
        hex(&Announcement { rounds: vec![spec.clone()] }.to_bytes()),
    );
    vector.insert("task_hash".into(), json!(task.hash()));
    vector.insert("params_hash".into(), json!(spec.params_hash()));
    vector.insert("round_id".into(), json!(spec.round_id()));
    let cohort = simulation.round.cohort().unwrap();
    vector.insert("roster_root".into(), json!(cohort.transcript.roster_root));
    vector.insert("graph_seed".into(), json!(Hash(cohort.transcript.graph_seed())));
    vector.insert("share_points".into(), points(&simulation));
    vector.insert("roster".into(), fetched::<Roster>(&simulation, Stage::Roster)[0].clone());
    vector.insert("shares".into(), share(&mut simulation));
    vector.insert(
        "inbound".into(),
        fetched::<InboundShares>(&simulation, Stage::InboundShares).into(),
    );
    simulation.acknowledge();
    vector.insert("sharers".into(), fetched::<Sharers>(&simulation, Stage::Sharers)[0].clone());
    simulation.take_sharers();
    simulation.lose(&[4]);
    vector.insert("integers".into(), json!(integers(&simulation)));
    simulation.mask();
    let chunks = simulation.chunks[..4].iter().map(|chunks| hex(&chunks[0]));
    vector.insert("chunks".into(), chunks.collect());
    let survivors = fetched::<Survivors>(&simulation, Stage::Survivors);
    vector.insert("survivors".into(), survivors[..4].into());
    simulation.check();
    vector.insert("quorum".into(), fetched::<Quorum>(&simulation, Stage::Quorum)[0].clone());
    simulation.take_quorum();
    vector.insert("reveals".into(), reveal(&mut simulation));
    vector.insert("sum".into(), json!(simulation.recover().expect("a sum")));
    Value::Object(vector)
}

/// Row i: the point at which each other device holds device i's shares.
fn points(simulation: &Simulation) -> Value {
    let graph = &simulation.round.cohort().unwrap().graph;
    let row = |dealer| (0..5).map(|holder| json!(graph.share_position(dealer, holder))).collect();
    (0..5).map(row).collect::<Vec<Value>>().into()
}

fn fetched<M: Message>(simulation: &Simulation, stage: Stage) -> Vec<Value> {
    (0..5).map(|index| hex(&simulation.fetch::<M>(index, stage).unwrap().to_bytes())).collect()
}

fn share(simulation: &mut Simulation) -> Value {
    let roster: Roster = simulation.fetch(0, Stage::Roster).unwrap();
    let mut all = Vec::new();
    for index in 0..5 {
        let client = take!(simulation, index, Advertised);
        let (identity, mut registry) =
            (&simulation.devices[index].identity, simulation.registry.clone());
        let mut rng = rng(3_000_000 + index as u64);
        let (client, message) =
            client.share(&roster, identity, &mut registry, START, &mut rng).unwrap();
        all.push(hex(&message.to_bytes()));
        simulation.clients[index] = Client::Sharing(client);
        simulation.send(index, Incoming::Shares(message)).unwrap();
    }
    all.into()
}

fn integers(simulation: &Simulation) -> Vec<Vec<i64>> {
    let in_units = |update: &Vec<f64>| update.iter().map(|value| (value * 256.0) as i64).collect();
    simulation.updates.iter().map(in_units).collect()
}

fn reveal(simulation: &mut Simulation) -> Value {
    let mut all = Vec::new();
    for index in 0..4 {
        let message = simulation.reveal(index).unwrap();
        all.push(hex(&message.to_bytes()));
        simulation.send(index, Incoming::Reveal(message)).unwrap();
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
