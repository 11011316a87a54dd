//! Training with differential privacy, by an application that knows only sockets and commands.

use std::process::{Command, Stdio};

use sealsum_demo::words;
use sealsum_test_support::Process;
use serde_json::Value;

use crate::checks::everyone;
use crate::fleet::Fleet;
use crate::report::{Finding, Report};
use crate::tasks::PENGUINS;

/// The table of penguins, CC0; see the README beside it.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/penguins.csv");
/// How much accuracy the noise may cost: three of the 68 test penguins. In 150 simulated runs of
/// the same training none lost more than two.
const LOSS_ALLOWED: f64 = 0.05;
/// The promise of the devices' policies, over all rounds of all tasks.
const EPSILON_LIMIT: f64 = 8.0;

/// The federated model is as good as the central one.
pub(crate) fn accuracy(fleet: &Fleet, report: &Report, last_round: &mut Option<Value>) -> Finding {
    PENGUINS.publish(fleet)?;
    let applications: Vec<Process> =
        everyone().into_iter().map(|number| start_application(fleet, number)).collect();
    let lines = run_server(fleet, report)?;
    drop(applications);
    let (rounds, last) = lines.split_at(lines.len() - 1);
    *last_round = rounds.last().map(|line| line["round"].clone());
    let value = |key: &str| last[0][key].as_f64().ok_or(format!("no {key} accuracy"));
    let (federated, central, untrained) =
        (value("federated")?, value("central")?, value("untrained")?);
    let summary = format!(
        "{} private rounds: {:.1} % of test penguins, central training {:.1} %, untrained {:.1} %",
        rounds.len(),
        100.0 * federated,
        100.0 * central,
        100.0 * untrained
    );
    let good = federated >= central - LOSS_ALLOWED && untrained < central - LOSS_ALLOWED;
    if good { Ok(summary) } else { Err(summary.into()) }
}

fn start_application(fleet: &Fleet, number: usize) -> Process {
    let device = &fleet.devices[number];
    let mut command = Command::new(fleet.program("sealsum-demo-trainer"));
    command
        .args(["device", "--task", PENGUINS.name, "--data", DATA, "--socket"])
        .arg(device.dir.join("api.sock"))
        .args(["--shard", &number.to_string(), "--shards", &fleet.devices.len().to_string()])
        .args(["--rounds", &PENGUINS.max_rounds.to_string()]);
    Process::start(command, device.dir.join("trainer.log"))
}

/// Runs the server's half and returns its lines: one a round, and the summary.
fn run_server(fleet: &Fleet, report: &Report) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let mut server = Command::new(fleet.program("sealsum-demo-trainer"))
        .args(["server", "--task", PENGUINS.name, "--data", DATA, "--dir"])
        .arg(fleet.aggregator_dir())
        .arg("--program")
        .arg(fleet.program("sealsum-aggregator"))
        .arg("--owner-key")
        .arg(fleet.owner_key())
        .args(["--rounds", &PENGUINS.max_rounds.to_string(), "--work"])
        .arg(fleet.work("training"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = server.stdout.take().ok_or("no output of the training")?;
    let mut lines = Vec::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(output)) {
        let line: Value = serde_json::from_str(&line?)?;
        if let (Some(number), Some(accuracy)) = (line["number"].as_u64(), line["accuracy"].as_f64())
        {
            report.progress(&format!("training round {number}: {:.1} %", 100.0 * accuracy));
        }
        lines.push(line);
    }
    if server.wait()?.success() { Ok(lines) } else { Err("the training failed".into()) }
}

/// Server and device report the same spending, within the policy and above zero.
pub(crate) fn epsilon(fleet: &Fleet, last_round: Option<&Value>) -> Finding {
    let round = last_round.ok_or("no training round finished")?;
    let reported =
        round["privacy"]["epsilon_task"].as_f64().ok_or("the round reports no epsilon")?;
    let status = fleet.agent(0, &words!["status"])?;
    let ledger = status["privacy"].as_array().into_iter().flatten();
    let spent = ledger
        .filter(|entry| entry["task"] == PENGUINS.name)
        .find_map(|entry| entry["epsilon"].as_f64())
        .ok_or("the device reports no epsilon")?;
    let summary =
        format!("server {reported:.2}, device {spent:.2} at delta 1e-5, limit {EPSILON_LIMIT}");
    let agree = (reported - spent).abs() <= 0.02 * reported;
    if agree && reported > 0.5 && spent <= EPSILON_LIMIT {
        Ok(summary)
    } else {
        Err(summary.into())
    }
}
