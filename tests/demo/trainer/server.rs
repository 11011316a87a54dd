//! The server's half: grant a model, run a round, move the model by the mean update.

use std::ffi::OsString;

use serde_json::{Value, json};

use crate::penguins::{self, COORDINATES, Model};
use crate::{Outcome, ServerArgs, aggregator};

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
    let command = |words: Vec<OsString>| aggregator::run(&arguments.program, &arguments.dir, words);
    command(vec![
        "task".into(),
        "grant".into(),
        (&arguments.task).into(),
        "--number".into(),
        number.to_string().into(),
        "--model".into(),
        (&model_file).into(),
        "--owner-key".into(),
        (&arguments.owner_key).into(),
        "--out".into(),
        (&grant).into(),
    ])?;
    let round = command(vec![
        "round".into(),
        "start".into(),
        "--task".into(),
        (&arguments.task).into(),
        "--model".into(),
        (&model_file).into(),
        "--grant".into(),
        (&grant).into(),
        "--wait".into(),
    ])?;
    let id = round["round"].as_str().ok_or("round start names no round")?.to_owned();
    command(vec!["round".into(), "result".into(), id.into(), "--out".into(), (&result).into()])?;
    let contributors = round["devices"]["contributors"].as_array().map_or(0, Vec::len);
    let sum = npy_values(&std::fs::read(&result)?)?;
    for (weight, update) in model.iter_mut().zip(sum) {
        *weight += update / contributors as f64;
    }
    Ok(round)
}

/// The values of a one-dimensional .npy file of float64 (format 1.0).
fn npy_values(file: &[u8]) -> Outcome<Vec<f64>> {
    let header_len = match file {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, low, high, ..] => {
            usize::from(u16::from_le_bytes([*low, *high]))
        }
        _ => return Err("the result is not an .npy file of format 1.0".into()),
    };
    let values = file.get(10 + header_len..).ok_or("the result is cut short")?;
    Ok(values
        .chunks_exact(8)
        .map(|word| f64::from_le_bytes(word.try_into().unwrap_or_default()))
        .collect())
}
