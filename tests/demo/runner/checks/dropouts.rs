//! Devices lost in mid-round.

use sealsum_demo::words;
use serde_json::Value;

use crate::checks::{everyone, rounds};
use crate::fleet::Fleet;
use crate::report::{Finding, Report};
use crate::tasks::{COHORT, DROPOUTS};

/// Killed once they have shared their keys.
const LOST_AFTER_SHARING: [usize; 3] = [2, 5, 8];
/// Killed once its masked vector is complete.
const LOST_AFTER_UPLOAD: usize = 10;
/// Held still while the others share, so that the killing falls between two steps.
const HELD: usize = 0;
/// Comes last, when the one to hold is held.
const LAST: usize = 11;

/// Three agents are killed after sharing keys and one more after its upload; the result is the
/// sum over exactly the reported contributors.
pub(crate) fn exact(fleet: &mut Fleet, report: &Report) -> Finding {
    DROPOUTS.publish(fleet)?;
    let early: Vec<usize> = everyone().into_iter().filter(|number| *number != LAST).collect();
    rounds::submit(fleet, &DROPOUTS, &early)?;
    let round = rounds::start(fleet, &DROPOUTS)?;
    hold_between_roster_and_shares(fleet, &round)?;
    report.progress("killing three agents that have shared their keys");
    for number in LOST_AFTER_SHARING {
        kill(fleet, number);
    }
    resume(fleet, HELD);
    wait_for_upload(fleet, &round)?;
    report.progress("killing one agent that has uploaded");
    kill(fleet, LOST_AFTER_UPLOAD);
    let contributors = rounds::finish_exactly(fleet, &DROPOUTS, &round)?;
    if contributors != fleet.others(&LOST_AFTER_SHARING) {
        return Err(format!("contributors are {contributors:?}").into());
    }
    for number in LOST_AFTER_SHARING.into_iter().chain([LOST_AFTER_UPLOAD]) {
        fleet.start_agent(number)?;
    }
    stayed_out(fleet)?;
    Ok(format!(
        "3 killed after sharing, 1 after uploading: exact sum of the {} that uploaded",
        contributors.len()
    ))
}

/// Lets every device but one share its keys, while that one stands still.
fn hold_between_roster_and_shares(
    fleet: &mut Fleet,
    round: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let present = |record: &Value| count(&record["devices"]["roster"]) == COHORT - 1;
    rounds::wait_until(fleet, round, "eleven devices present", present)?;
    if let Some(agent) = &mut fleet.devices[HELD].agent {
        agent.pause();
    }
    rounds::submit(fleet, &DROPOUTS, &[LAST])?;
    let shared = |record: &Value| count(&record["devices"]["shared"]) == COHORT - 1;
    rounds::wait_until(fleet, round, "eleven devices that shared", shared)?;
    Ok(())
}

fn wait_for_upload(fleet: &Fleet, round: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let id = fleet.id(LOST_AFTER_UPLOAD).to_owned();
    let uploaded = |record: &Value| {
        let contributors = record["devices"]["contributors"].as_array();
        contributors.is_some_and(|ids| ids.iter().any(|one| *one == id.as_str()))
    };
    rounds::wait_until(fleet, round, "upload of the device to kill", uploaded)
}

/// A killed agent that comes back does not answer in the round it was killed in, and says why.
fn stayed_out(fleet: &Fleet) -> Result<(), Box<dyn std::error::Error>> {
    let status = fleet.agent(LOST_AFTER_SHARING[0], &words!["status"])?;
    let last = &status["last_round"];
    if last["task"] == DROPOUTS.name && last["outcome"] == "dropped" {
        return Ok(());
    }
    Err(format!("a restarted agent says {last}").into())
}

fn kill(fleet: &mut Fleet, number: usize) {
    if let Some(mut agent) = fleet.devices[number].agent.take() {
        agent.kill();
    }
}

fn resume(fleet: &mut Fleet, number: usize) {
    if let Some(agent) = &mut fleet.devices[number].agent {
        agent.resume();
    }
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}
