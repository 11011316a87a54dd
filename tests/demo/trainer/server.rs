//! The server's half: grant a model, run a round, move the model by the mean update.

use std::ffi::OsStr;

use sealsum_demo::{command, npy, words};
use serde_json::{Value, json};

use crate::penguins::{self, COORDINATES, Model};
use crate::{Outcome, ServerArgs};

const CENTRAL_STEPS: usize = 500;

/// Trains, and prints one JSON line a round and one with the final accuracies.
pub(crate) fn run(arguments: &ServerArgs) -> Outcome<()> {
    let (training, test) = penguins::load(&arguments.data)?;
    std::fs::create_dir_all(&arguments.work)?;
    let mut model: Model = [0.0; COORDINATES];
    for number in 1..=arguments.rounds {
        let round = step(arguments, number, &mut model)?;
        let accuracy = penguins::accuracy(&model, &test);
        println!("{}", json!({ "number": number, "round": round, "accuracy": accuracy }));
    }
    let mut central: Model = [0.0; COORDINATES];
    penguins::train(&mut central, &training, CENTRAL_STEPS);
    println!(
        "{}",
        json!({
            "federated": penguins::accuracy(&model, &test),
            "central": penguins::accuracy(&central, &test),
            "untrained": penguins::accuracy(&[0.0; COORDINATES], &test),
            "test_penguins": test.len(),
        })
    );
    Ok(())
}

/// One round: the granted model goes out, the sum of the updates comes back.
fn step(arguments: &ServerArgs, number: u64, model: &mut Model) -> Outcome<Value> {
    let file = |kind: &str| arguments.work.join(format!("{kind}-{number}"));
    let (model_file, grant, result) = (file("model"), file("grant"), file("result"));
    std::fs::write(&model_file, penguins::to_bytes(model))?;
    let call = |words: &[&OsStr]| command::run(&arguments.program, &arguments.dir, words);
    let [task, key] = [arguments.task.as_ref(), arguments.owner_key.as_os_str()];
    let [model_path, grant_path] = [model_file.as_os_str(), grant.as_os_str()];
    let number_text = number.to_string();
    call(&words![
        "task",
        "grant",
        task,
        "--number",
        &number_text,
        "--model",
        model_path,
        "--owner-key",
        key,
        "--out",
        grant_path
    ])?;
    let round = call(&words![
        "round", "start", "--task", task, "--model", model_path, "--grant", grant_path, "--wait"
    ])?;
    let id = round["round"].as_str().ok_or("round start names no round")?;
    call(&words!["round", "result", id, "--out", &result])?;
    let contributors = round["devices"]["contributors"].as_array().map_or(0, Vec::len);
    let sum = npy::values(&std::fs::read(&result)?).ok_or("the result is not an .npy file")?;
    for (weight, update) in model.iter_mut().zip(sum) {
        *weight += update / contributors as f64;
    }
    Ok(round)
}
