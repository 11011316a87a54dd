//! The JSON of the administration interface, which the commands print, and its text.

use std::fmt::Write as _;

use jiff::Timestamp;
use sealsum_protocol::ids::{Hash, RoundId};
use sealsum_protocol::signature::PublicKey;
use serde::{Deserialize, Serialize};

use crate::record::{RoundRecord, State, StepName};

/// `status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusBody {
    /// Of this program.
    pub version: String,
    /// Where devices connect.
    pub listen: String,
    /// Whether rounds can be opened.
    pub ready: bool,
    /// If not, why.
    pub reasons: Vec<String>,
    /// The fleet.
    pub fleet: String,
    /// The name in this aggregator's certificate.
    pub name: String,
    /// When that certificate ends.
    pub certificate_not_after: Timestamp,
    /// Number of the newest status list.
    pub status_list: Option<u64>,
    /// Devices.
    pub devices: DeviceCounts,
    /// Rounds.
    pub rounds: RoundCounts,
    /// Its own log of rounds.
    pub log: LogHead,
}

/// Devices by state.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DeviceCounts {
    /// Connected now.
    pub active: u64,
    /// On the status list.
    pub revoked: u64,
}

/// Rounds by state.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RoundCounts {
    /// Running.
    pub running: u64,
    /// With a result.
    pub finished: u64,
    /// Without one.
    pub aborted: u64,
}

/// The head of a log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogHead {
    /// Entries.
    pub size: u64,
    /// Root of the tree, hex.
    pub root: String,
}

/// A registered task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskBody {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its hash.
    pub task_sha256: Hash,
    /// Who signed it.
    pub owner: PublicKey,
    /// `vector`, `count`, `mean`, `histogram` or `quantiles`.
    pub kind: String,
    /// Coordinates of the sum.
    pub coordinates: u64,
    /// Width of the ring.
    pub ring_bits: u32,
    /// L2 bound of one device's vector.
    pub clip: f64,
    /// Units per 1.0.
    pub scale: u64,
    /// `skellam`, `discrete_gaussian` or `none`.
    pub mechanism: String,
    /// Fewer contributors: nothing is revealed.
    pub min_contributors: u32,
    /// Most devices of a round.
    pub max_devices: u32,
    /// `none` or `granted`.
    pub model: String,
    /// Most rounds.
    pub max_rounds: u64,
    /// The number of its last round; 0 before the first.
    pub last_round: u64,
    /// First moment of a round.
    pub not_before: Timestamp,
    /// Last moment of a round.
    pub not_after: Timestamp,
}

/// `task list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TasksBody {
    /// By name.
    pub tasks: Vec<TaskBody>,
}

/// `round list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundsBody {
    /// Oldest first.
    pub rounds: Vec<RoundLine>,
}

/// One line of `round list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundLine {
    /// The round.
    pub round: RoundId,
    /// Its task.
    pub task: String,
    /// Its number.
    pub number: u64,
    /// Where it stands.
    pub state: State,
    /// What a running round waits for.
    pub step: Option<StepName>,
    /// Why it has no result.
    pub code: Option<String>,
    /// Devices in the sum.
    pub contributors: u64,
    /// When it was opened.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Asks for a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// The task's name.
    pub task: String,
    /// The grant, base64, where the task's rounds have a model.
    pub grant: Option<String>,
}

/// A round was opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartedBody {
    /// Its record so far.
    #[serde(flatten)]
    pub record: RoundRecord,
    /// What cohorts of the likely sizes survive, a sentence each.
    pub cohorts: Vec<String>,
}

/// How far a round is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressBody {
    /// Counts changes, so that a poll can wait for the next.
    pub version: u64,
    /// Where it stands.
    pub state: State,
    /// What it waits for.
    pub step: Option<StepName>,
    /// Devices that completed the step.
    pub devices: u64,
    /// Devices that could.
    pub of: u64,
    /// Chunks unmasked so far, of all.
    pub chunks: Option<(u64, u64)>,
}

/// A model is kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ModelBody {
    /// Its hash.
    pub model_sha256: Hash,
}

impl StatusBody {
    /// For people.
    pub fn text(&self) -> String {
        let state = if self.ready {
            "ready".to_owned()
        } else {
            format!("not ready: {}", self.reasons.join("; "))
        };
        format!(
            "aggregator {} of fleet {}, {} on {}: {state}\n\
             devices: {} connected, {} revoked\n\
             rounds: {} running, {} finished, {} aborted\n\
             log: {} entries, root {}",
            self.name,
            self.fleet,
            self.version,
            self.listen,
            self.devices.active,
            self.devices.revoked,
            self.rounds.running,
            self.rounds.finished,
            self.rounds.aborted,
            self.log.size,
            self.log.root
        )
    }
}

impl TaskBody {
    /// For people.
    pub fn text(&self) -> String {
        format!(
            "{} version {}: {}, {} coordinates, {} devices or more, noise {}, round {} of {}\n\
             owner {}\ntask {}",
            self.name,
            self.version,
            self.kind,
            self.coordinates,
            self.min_contributors,
            self.mechanism,
            self.last_round,
            self.max_rounds,
            self.owner,
            self.task_sha256
        )
    }
}

impl TasksBody {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for task in &self.tasks {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}  version {}  round {} of {}",
                task.name, task.version, task.last_round, task.max_rounds
            );
        }
        text
    }
}

impl RoundsBody {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.rounds {
            let what = match (line.step, &line.code) {
                (Some(step), _) => step.name().to_owned(),
                (None, Some(code)) => code.clone(),
                (None, None) => format!("{} contributors", line.contributors),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}  {} {}  {}  {what}",
                line.round,
                line.task,
                line.number,
                line.state.name()
            );
        }
        text
    }
}

impl RoundLine {
    /// The line of a record.
    pub fn of(record: &RoundRecord) -> Self {
        Self {
            round: record.round,
            task: record.task.clone(),
            number: record.number,
            state: record.state,
            step: record.step,
            code: record.abort.as_ref().map(|abort| abort.code.clone()),
            contributors: record.devices.contributors.len() as u64,
            started_at: record.started_at,
            ended_at: record.ended_at,
        }
    }
}

impl ProgressBody {
    /// One line.
    pub fn text(&self) -> String {
        let Some(step) = self.step else { return self.state.name().to_owned() };
        let mut text = format!("{}: {} of {} devices", step.name(), self.devices, self.of);
        if let Some((done, all)) = self.chunks {
            text = format!("{}: {done} of {all} chunks", step.name());
        }
        text
    }
}
