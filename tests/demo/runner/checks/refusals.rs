//! Rounds that must not give a result.

use sealsum_demo::words;
use serde_json::Value;

use crate::checks::{everyone, rounds};
use crate::fleet::Fleet;
use crate::report::Finding;
use crate::tasks::{BELOW_FLOOR, FLOOR_CONTRIBUTORS, TOO_FEW, TaskFile};

/// Devices whose policy asks for more contributors than the task does stay away.
pub(crate) fn below_floor(fleet: &Fleet) -> Finding {
    BELOW_FLOOR.publish(fleet)?;
    let round = rounds::start(fleet, &BELOW_FLOOR)?;
    aborted_without_result(fleet, &BELOW_FLOOR, &round)?;
    let history = fleet.agent(0, &words!["rounds"])?;
    let refused = history["rounds"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|entry| entry["task"] == BELOW_FLOOR.name && entry["code"] == "policy_floor");
    if !refused {
        return Err(format!("device 0 does not say policy_floor: {history}").into());
    }
    Ok(format!(
        "{} contributors asked for, policy floor {FLOOR_CONTRIBUTORS}: every device stayed away",
        BELOW_FLOOR.min_contributors
    ))
}

/// Five devices come where six are needed.
pub(crate) fn too_few(fleet: &Fleet) -> Finding {
    TOO_FEW.publish(fleet)?;
    let came = &everyone()[..FLOOR_CONTRIBUTORS as usize - 1];
    rounds::submit(fleet, &TOO_FEW, came)?;
    let round = rounds::start(fleet, &TOO_FEW)?;
    aborted_without_result(fleet, &TOO_FEW, &round)?;
    Ok(format!("{} of {FLOOR_CONTRIBUTORS} devices came: too_few_devices, no result", came.len()))
}

fn aborted_without_result(fleet: &Fleet, task: &TaskFile, round: &str) -> Finding {
    let ended = |record: &Value| record["state"] == "aborted";
    let record = rounds::wait_until(fleet, round, "aborted round", ended)?;
    if record["abort"]["code"] != "too_few_devices" || !record["result"].is_null() {
        return Err(format!("aborted otherwise: {record}").into());
    }
    let file = fleet.work(&format!("{}.npy", task.name));
    match fleet.aggregator(&words!["round", "result", round, "--out", &file]) {
        Err(refusal) if refusal.exit == Some(3) && !file.exists() => Ok(refusal.code),
        other => Err(format!("the result of an aborted round: {other:?}").into()),
    }
}
