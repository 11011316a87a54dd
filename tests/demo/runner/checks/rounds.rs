//! What several checks do with rounds.

use std::time::{Duration, Instant};

use sealsum_demo::{npy, words};
use serde_json::Value;

use crate::encoding;
use crate::fleet::Fleet;
use crate::tasks::TaskFile;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Longest wait for anything in a round; five times what was measured on two busy cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hands each of `devices` its own integers for `task`.
pub(crate) fn submit(fleet: &Fleet, task: &TaskFile, devices: &[usize]) -> Outcome<()> {
    for number in devices {
        let file = fleet.work(&format!("{}-{number:02}.f64", task.name));
        let integers = encoding::integers(*number, task.coordinates);
        std::fs::write(&file, encoding::to_f64_file(&integers))?;
        fleet.agent(*number, &words!["submit", "--task", task.name, &file])?;
    }
    Ok(())
}

/// Starts a round and returns its id.
pub(crate) fn start(fleet: &Fleet, task: &TaskFile) -> Outcome<String> {
    let started = fleet.aggregator(&words!["round", "start", "--task", task.name])?;
    Ok(started["round"].as_str().ok_or("round start names no round")?.to_owned())
}

/// The record of a round.
pub(crate) fn show(fleet: &Fleet, round: &str) -> Outcome<Value> {
    Ok(fleet.aggregator(&words!["round", "show", round])?)
}

/// Polls the record of a round until `reached` holds.
pub(crate) fn wait_until(
    fleet: &Fleet,
    round: &str,
    what: &str,
    reached: impl Fn(&Value) -> bool,
) -> Outcome<Value> {
    let started = Instant::now();
    loop {
        let record = show(fleet, round)?;
        if reached(&record) {
            return Ok(record);
        }
        if record["state"] != "running" || started.elapsed() > PATIENCE {
            return Err(format!("no {what}: {record}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Device ids in a list of the record, as numbers of our devices, in order.
pub(crate) fn numbers(fleet: &Fleet, list: &Value) -> Vec<usize> {
    let ids: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    (0..fleet.devices.len()).filter(|number| ids.contains(&fleet.id(*number))).collect()
}

/// Waits for the end of the round and compares its result with the plain sum over exactly the
/// contributors it reports. Returns those.
pub(crate) fn finish_exactly(fleet: &Fleet, task: &TaskFile, round: &str) -> Outcome<Vec<usize>> {
    let finished = |record: &Value| record["state"] == "finished";
    let record = wait_until(fleet, round, "finished round", finished)?;
    let contributors = numbers(fleet, &record["devices"]["contributors"]);
    let file = fleet.work(&format!("{}.npy", task.name));
    fleet.aggregator(&words!["round", "result", round, "--out", &file])?;
    let values = npy::values(&std::fs::read(file)?).ok_or("the result is not an .npy file")?;
    let sum = encoding::from_result(&values).ok_or("a value is no multiple of 1/scale")?;
    if sum != encoding::sum(&contributors, task.coordinates) {
        return Err(format!("the sum is not that of devices {contributors:?}").into());
    }
    Ok(contributors)
}
