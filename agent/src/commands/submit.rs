//! `submit`: a file to the running agent, and the wait for its round.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::http::Method;
use sealsum_daemon::codes::Code;
use sealsum_daemon::http::UnixClient;
use sealsum_daemon::{Failure, codes, files};
use sealsum_protocol::guard::Guard;
use serde::{Serialize, Serializer};

use super::{agent, wait_for};
use crate::config::Config;
use crate::intake::{self, Format};
use crate::pending::{Progress, Receipt};
use crate::rounds::Reason;

/// 2^26 coordinates of 8 bytes, and room for a header.
const FILE_MAX: u64 = (8 << 26) + (2 << 20);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What the command line said.
#[derive(Clone, Debug)]
pub struct Request {
    /// The configuration file.
    pub config: PathBuf,
    /// The task it is for.
    pub task: String,
    /// What is submitted.
    pub update: Update,
    /// The number of the round it answers.
    pub round: Option<u64>,
    /// The weight, for tasks that have weights.
    pub weight: Option<u32>,
    /// The number of the data that it was made from.
    pub data_epoch: Option<u64>,
    /// How long to wait for the end of the round; not at all if none.
    pub wait: Option<Duration>,
}

/// What a device adds to a sum.
#[derive(Clone, Debug)]
pub enum Update {
    /// A vector's file.
    File(PathBuf),
    /// The answer to a query: a number, or `-` for the one on standard input.
    Value(String),
}

/// What became of it.
#[derive(Debug)]
pub struct Submitted(Receipt);

impl Serialize for Submitted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Display for Submitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { receipt, task, state, .. } = &self.0;
        let word = match state {
            Progress::Queued => "waits for a round",
            Progress::Consumed => "was given to a round",
            Progress::Finished => "its round ended",
        };
        write!(f, "{task}: {word}; receipt {receipt}")
    }
}

/// Checks the file, hands it to the agent, and waits if asked to.
///
/// # Errors
/// `file_not_found`, those of [`intake::read`], `agent_not_running`, what the agent refuses, and
/// with a wait `deadline` or why the round did not take the update.
pub fn submit(request: &Request) -> Result<Submitted, Failure> {
    let config = Config::load(&request.config)?;
    let (format, bytes) = request.update.read()?;
    let target = target(request, format);
    wait_for(async {
        let agent = agent(&config);
        let answer = agent.request(Method::POST, &target, bytes).await?;
        agent.accepted(&answer)?;
        let receipt: Receipt = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::bug(format!("receipt: {error}")))?;
        match request.wait {
            None => Ok(Submitted(receipt)),
            Some(wait) => follow(&agent, receipt, wait).await.map(Submitted),
        }
    })
}

impl Update {
    fn read(&self) -> Result<(Format, Vec<u8>), Failure> {
        match self {
            Self::File(file) => {
                let format = Format::of_file(file)?;
                let bytes = files::read(file, FILE_MAX)?;
                // Here the file has a name; the agent checks again.
                intake::read(format, &file.display().to_string(), &bytes)?;
                Ok((format, bytes))
            }
            Self::Value(text) => Ok((Format::F64, number(text)?.to_le_bytes().to_vec())),
        }
    }
}

fn number(text: &str) -> Result<f64, Failure> {
    let mut line = String::new();
    let text = if text == "-" {
        let read = std::io::stdin().read_line(&mut line);
        read.map_err(|error| no_number(format!("standard input: {error}")))?;
        line.trim()
    } else {
        text
    };
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| no_number(format!("{text:?} is no finite number")))
}

fn no_number(why: String) -> Failure {
    Failure::new(codes::USAGE, format!("value: {why}"), "--value 37, or --value - and a line")
}

fn target(request: &Request, format: Format) -> String {
    let mut target = format!("/v1/updates?task={}&format={}", request.task, format.ending());
    if let Some(round) = request.round {
        target += &format!("&round={round}");
    }
    if let Some(weight) = request.weight {
        target += &format!("&weight={weight}");
    }
    if let Some(epoch) = request.data_epoch {
        target += &format!("&data_epoch={epoch}");
    }
    target
}

async fn follow(
    agent: &UnixClient,
    mut receipt: Receipt,
    wait: Duration,
) -> Result<Receipt, Failure> {
    let until = Instant::now() + wait;
    loop {
        match (receipt.state, &receipt.reason) {
            (Progress::Finished, None) => return Ok(receipt),
            (Progress::Finished, Some(reason)) => return Err(failure(reason)),
            (_, Some(reason)) if is_refusal(reason) => return Err(failure(reason)),
            _ => {}
        }
        if Instant::now() >= until {
            return Err(Failure::new(
                codes::DEADLINE,
                format!("task {}: no round ended in {} s", receipt.task, wait.as_secs()),
                "a longer --timeout; the update stays where it is",
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        receipt = agent.get(&format!("/v1/updates/{}", receipt.receipt)).await?;
    }
}

/// Whether this device said no to a round, which it will say to the next one too.
fn is_refusal(reason: &Reason) -> bool {
    [Guard::PolicyFloor, Guard::Budget, Guard::Width, Guard::Norm, Guard::TaskWindow]
        .iter()
        .any(|guard| guard.name() == reason.code)
}

fn failure(reason: &Reason) -> Failure {
    let hint = "sealsum-agent rounds shows every round and why";
    Failure::new(Code::remote(&reason.code, 403), reason.message.clone(), hint)
}
