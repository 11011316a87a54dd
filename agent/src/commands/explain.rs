//! `policy explain`: each floor of this device, and how a task stands to it.

use std::fmt;
use std::path::Path;

use sealsum_daemon::{Failure, codes};
use sealsum_protocol::policy::{self, Floor};
use serde::Serialize;

use crate::config::Config;
use crate::state::StateDir;
use crate::tasks;

/// The task against the policy.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Name of the task.
    pub task: String,
    /// Its owner.
    pub owner: String,
    /// Whether this device takes it.
    pub ok: bool,
    /// Each floor.
    pub floors: Vec<Floor>,
}

/// Explains the task of this name as last announced, or a signed task's file.
///
/// # Errors
/// `not_found` for a task that was never announced, and those of files.
pub fn explain(config_path: &Path, task: &str) -> Result<Explanation, Failure> {
    let config = Config::load(config_path)?;
    let signed = if tasks::is_name(task) && !Path::new(task).exists() {
        let state = StateDir::open(&config.state_dir)?;
        tasks::recall(&state, task).ok_or_else(|| {
            Failure::new(
                codes::NOT_FOUND,
                format!("task {task}: no round of it was announced to this device"),
                "the file that sealsum-aggregator task sign wrote",
            )
        })?
    } else {
        tasks::read_file(Path::new(task))?
    };
    let floors = policy::explain(&config.policy.floors(), &signed);
    Ok(Explanation {
        task: signed.task.name.clone(),
        owner: signed.owner.to_string(),
        ok: floors.iter().all(|floor| floor.ok),
        floors,
    })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok { "taken" } else { "refused" };
        writeln!(f, "{} of {}: {verdict}", self.task, self.owner)?;
        for Floor { name, floor, value, ok } in &self.floors {
            let word = if *ok { "ok" } else { "refused" };
            writeln!(f, "  {word:<8} {name}: {value} (this device: {floor})")?;
        }
        Ok(())
    }
}
