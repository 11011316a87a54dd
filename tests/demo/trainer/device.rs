//! The device's half: wait for a model, improve it on local data, hand the difference to the agent.

use crate::penguins::{self, Model};
use crate::{DeviceArgs, Outcome, socket};

const LOCAL_STEPS: usize = 20;

pub(crate) fn run(arguments: &DeviceArgs) -> Outcome<()> {
    let (training, _) = penguins::load(&arguments.data)?;
    let penguins = penguins::shard(training, arguments.shard, arguments.shards);
    let next = format!("/v1/tasks/{}/next?wait=30", arguments.task);
    let mut last = 0;
    while last < arguments.rounds {
        let offer = socket::request(&arguments.socket, "GET", &next, None)?;
        match offer.status {
            200 => {}
            204 => continue,
            status => return Err(format!("the agent answered {status} to {next}").into()),
        }
        let round: u64 = offer.header("sealsum-round").ok_or("no round number")?.parse()?;
        if round > last {
            answer(arguments, round, &penguins::from_bytes(&offer.body)?, &penguins)?;
            last = round;
        } else {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    Ok(())
}

fn answer(
    arguments: &DeviceArgs,
    round: u64,
    model: &Model,
    penguins: &[penguins::Penguin],
) -> Outcome<()> {
    let mut improved = *model;
    penguins::train(&mut improved, penguins, LOCAL_STEPS);
    for (weight, before) in improved.iter_mut().zip(model) {
        *weight -= before;
    }
    let target = format!("/v1/updates?task={}&round={round}", arguments.task);
    let update = penguins::to_bytes(&improved);
    let accepted =
        socket::request(&arguments.socket, "POST", &target, Some(("application/x-f64", &update)))?;
    match accepted.status {
        202 => Ok(()),
        status => {
            let why = String::from_utf8_lossy(&accepted.body).into_owned();
            Err(format!("the agent answered {status} to an update: {why}").into())
        }
    }
}
