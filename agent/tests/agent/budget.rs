//! The privacy ledger in rounds with the real aggregator, and what an operator sees of it.

use std::collections::BTreeSet;
use std::fs;

use sealsum_attest_tpm::Tpm;
use sealsum_attest_tpm::counter::{MonotonicCounter as _, TpmCounter};
use sealsum_protocol::dp::accountant::{Charge, Orders};
use sealsum_test_support::Process;
use serde_json::Value;

use crate::rounds::{COHORT, Fleet, PATIENCE, Settings};
use crate::world::{Device, World, copy_dir};

const TASKS: [&str; 2] = ["first", "second"];
const NOISY: Settings =
    Settings { noise: Some(4.0), scale: 256, advertise_s: 20, step_s: 8, ..Settings::EXACT };

fn budget(device: &Device) -> Value {
    device.run(&["budget"]).data().clone()
}

/// A file of the state directory; null while it is not there.
fn state(device: &Device, file: &str) -> Value {
    let bytes = fs::read(device.dir.join("state").join(file)).ok();
    bytes.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Opens a round of each task, enters them with all devices, and returns their ids.
fn rounds_of_both(fleet: &Fleet) -> [String; 2] {
    let submit = |number: usize| {
        for task in TASKS {
            fleet.submit(number, task, &[1.0, 2.0, 3.0]).data();
        }
    };
    (0..COHORT - 1).for_each(submit);
    let rounds = TASKS.map(|task| fleet.start(task));
    let entered = |device: &Device| {
        let rounds = state(device, "rounds.json");
        rounds["current"].as_array().is_some_and(|current| current.len() == TASKS.len())
    };
    let started = std::time::Instant::now();
    while !fleet.devices[..COHORT - 1].iter().all(entered) {
        assert!(started.elapsed() < PATIENCE, "they do not enter both rounds");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Only now a roster can be full: each device is in both rounds before it charges for one.
    submit(COHORT - 1);
    rounds
}

/// What one round cost, as the ledger has it.
fn cost(device: &Device) -> Charge {
    let entry = state(device, "ledger.json")["tasks"][TASKS[0]].clone();
    Charge { xi: entry["xi"].as_u64().unwrap(), rho: entry["rho"].as_u64().unwrap() }
}

/// Epsilon of so many rounds of that cost.
fn epsilon(cost: Charge, rounds: u64) -> f64 {
    let Charge { xi, rho } = cost;
    Charge { xi: xi * rounds, rho: rho * rounds }.epsilon(1e-5, Orders::Integer)
}

fn restart(fleet: &mut Fleet, number: usize) {
    fleet.agents[number].kill();
    fleet.agents[number] = fleet.devices[number].start();
}

#[test]
fn two_rounds_at_once_are_both_paid_and_one_that_cannot_be_takes_nothing() {
    let mut fleet = Fleet::new();
    TASKS.iter().for_each(|task| fleet.publish(task, &NOISY));
    let enrolled = budget(&fleet.devices[0])["counter"]["expected"].as_u64().unwrap();
    let before = fleet.world.dir.path().join("before");
    copy_dir(&fleet.devices[0].dir.join("state"), &before);

    for round in rounds_of_both(&fleet) {
        fleet.result(&round);
    }
    for (number, device) in fleet.devices.iter().enumerate() {
        fleet.last_round(number, |last| last["outcome"] == "contributed");
        device.await_answer(&["budget"], PATIENCE, |answer| {
            answer.json["data"]["counter"]["expected"] == enrolled + 6
        });
        let shown = budget(device);
        assert_eq!((&shown["charges"], &shown["failed"]), (&2.into(), &0.into()), "{shown}");
        assert_eq!(shown["counter"]["state"], "matches");
    }

    // A third round can be paid, a fourth cannot.
    let cost = cost(&fleet.devices[0]);
    let limit = f64::midpoint(epsilon(cost, 3), epsilon(cost, 4));
    for number in 0..COHORT {
        fleet.devices[number].edit("max_epsilon", &format!("{limit:?}"));
        restart(&mut fleet, number);
    }
    let rounds = rounds_of_both(&fleet);
    for round in &rounds {
        fleet.await_round(round, "end", |record| record["state"] != "running");
    }
    for device in &fleet.devices[..COHORT - 1] {
        let ended = |answer: &crate::world::Answer| {
            let records = answer.json["data"]["rounds"].as_array();
            records.is_some_and(|records| records.len() == 4)
        };
        let history = device.await_answer(&["rounds"], PATIENCE, ended);
        let records = history.data()["rounds"].as_array().unwrap();
        let refused: Vec<&Value> = records.iter().filter(|r| r["code"] == "budget").collect();
        assert_eq!(refused.len(), 1, "{records:?}");
        let refused = refused[0];
        assert_eq!((&refused["outcome"], &refused["epsilon"]), (&"refused".into(), &Value::Null));
        assert!(rounds.iter().any(|round| refused["round"] == round.as_str()));
        let waiting = device.run(&["status"]).json["data"]["pending"].clone();
        let waiting: BTreeSet<&str> =
            waiting.as_array().unwrap().iter().map(|w| w["task"].as_str().unwrap()).collect();
        assert!(waiting.contains(refused["task"].as_str().unwrap()), "the update is lost");
        assert_eq!(budget(device)["charges"], 3, "one of the two was paid");
    }

    a_state_directory_put_back_takes_no_part(&mut fleet, &before);
}

/// The first device comes back with the state that it had before all rounds.
fn a_state_directory_put_back_takes_no_part(fleet: &mut Fleet, before: &std::path::Path) {
    fleet.agents[0].kill();
    let state = fleet.devices[0].dir.join("state");
    fs::remove_dir_all(&state).unwrap();
    copy_dir(before, &state);
    let offline = budget(&fleet.devices[0]);
    assert_eq!(offline["counter"]["state"], "ledger_rolled_back");
    fleet.agents[0] = fleet.devices[0].start();
    let status = fleet.devices[0].run(&["status"]);
    let refusal = status.refused("ledger_rolled_back", 7);
    assert!(refusal["hint"].as_str().unwrap().contains("ledger.json"), "{refusal}");
    assert_eq!(budget(&fleet.devices[0])["refusal"]["code"], "ledger_rolled_back");
    fleet.submit(0, TASKS[0], &[1.0, 2.0, 3.0]);
    let round = fleet.start(TASKS[0]);
    let last = fleet.last_round(0, |last| last["round"] == round.as_str());
    assert_eq!(
        (&last["outcome"], &last["code"]),
        (&"refused".into(), &"ledger_rolled_back".into())
    );

    // The way out that the hint names.
    fleet.agents[0].kill();
    fs::remove_file(state.join("ledger.json")).unwrap();
    fleet.agents[0] = fleet.devices[0].start();
    let shown = budget(&fleet.devices[0]);
    assert_eq!(
        (&shown["refusal"]["code"], &shown["epsilon"]),
        (&"ledger_lost".into(), &shown["limit"])
    );
    assert_eq!(shown["counter"]["state"], "matches");
}

#[test]
fn the_budget_is_shown_and_resumed_with_and_without_an_agent() {
    let world = World::new();
    let device = world.enrolled("device");
    let alone = budget(&device);
    assert_eq!(alone["counter"]["state"], "matches");
    assert_eq!((&alone["epsilon"], &alone["refusal"]), (&0.0.into(), &Value::Null));
    let resume = || device.run(&["budget", "--resume"]).data().clone();
    assert_eq!(resume(), alone);
    let mut agent = device.start();
    assert_eq!(budget(&device), alone);
    assert_eq!(resume(), alone);
    agent.kill();
}

/// Stops the agent, loses the ledger, and starts again.
fn lose_the_ledger(device: &Device, agent: &mut Process) {
    agent.kill();
    fs::remove_file(device.dir.join("state/ledger.json")).unwrap();
    *agent = device.start();
}

#[test]
fn a_lost_ledger_comes_back_from_the_authority_with_each_step_since_in_doubt() {
    let world = World::new();
    let device = world.enrolled("device");
    device.edit("max_epsilon_per_round", "1.5");
    let mut agent = device.start();
    lose_the_ledger(&device, &mut agent);
    // The authority has nothing of it: no renewal brought a head.
    device.run(&["renew"]).data();
    assert_eq!(budget(&device)["refusal"]["code"], "ledger_lost");

    let device = world.enrolled("another");
    device.edit("max_epsilon_per_round", "1.5");
    let mut agent = device.start();
    device.run(&["renew"]).data();
    agent.kill();
    let counter = TpmCounter::new(&Tpm::new(device.tpm.tcti().parse().unwrap()));
    for _ in 0..2 {
        counter.increment().unwrap();
    }
    agent = device.start();
    assert_eq!(budget(&device)["refusal"]["code"], "ledger_rolled_back");
    device.run(&["renew"]).data();
    lose_the_ledger(&device, &mut agent);
    let comes_back = || {
        let back = |answer: &crate::world::Answer| answer.json["data"]["refusal"].is_null();
        device.await_answer(&["budget"], PATIENCE, back);
        let shown = budget(&device);
        assert_eq!((&shown["in_doubt"], &shown["epsilon"]), (&3.0.into(), &3.0.into()), "{shown}");
        assert_eq!(shown["counter"]["state"], "matches");
    };
    comes_back();

    // Another disk in the same machine.
    agent.kill();
    fs::remove_dir_all(device.dir.join("state")).unwrap();
    world.enrol(&device).data();
    let _agent = device.start();
    comes_back();
}
