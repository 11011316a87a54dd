//! `rounds`: what this device took part in, what it refused, and why.

use std::fmt;
use std::path::Path;

use sealsum_daemon::Failure;
use serde::Serialize;

use crate::config::Config;
use crate::rounds::{Record, Rounds};
use crate::state::StateDir;
use crate::status::outcome_word;

/// The history, oldest first.
#[derive(Debug, Serialize)]
pub struct History {
    /// One for each round.
    pub rounds: Vec<Record>,
}

/// Reads the history.
///
/// # Errors
/// `not_enrolled`, and those of files.
pub fn rounds(config_path: &Path) -> Result<History, Failure> {
    let config = Config::load(config_path)?;
    let state = StateDir::open(&config.state_dir)?;
    Ok(History { rounds: Rounds::read(&state)?.history().to_vec() })
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rounds.is_empty() {
            return f.write_str("no round yet");
        }
        for record in &self.rounds {
            let Record { task, number, at, outcome, code, message, epsilon, .. } = record;
            write!(f, "{at:.0}  {task} {number}: {}", outcome_word(*outcome))?;
            if let Some(code) = code {
                write!(f, ", {code}: {}", message.as_deref().unwrap_or("no reason given"))?;
            }
            match epsilon {
                Some(epsilon) => writeln!(f, "; epsilon {epsilon:.3}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
