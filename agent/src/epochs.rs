//! Which data this device gave to tasks without noise.
//!
//! The sums of such a task are exact: two of them over the same data, with and without one device,
//! differ by that device's part. An application that numbers its data has the device give each
//! number to a task once, whichever round asks again and whatever version of the task.

use std::collections::BTreeMap;

use sealsum_daemon::Failure;
use sealsum_daemon::codes::{Code, Exit};
use serde::{Deserialize, Serialize};

use crate::state::StateDir;

const FILE: &str = "epochs.json";
/// This data was given to the task before.
pub const DATA_EPOCH_GIVEN: Code = Code::new("data_epoch_given", Exit::Refused);

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// The highest number, by name of the task.
    given: BTreeMap<String, u64>,
}

/// The numbers of the data that was given, kept in `epochs.json`.
#[derive(Debug)]
pub struct Epochs {
    state: StateDir,
    document: Document,
}

impl Epochs {
    /// Reads what was given.
    ///
    /// # Errors
    /// As [`StateDir::read`].
    pub fn open(state: &StateDir) -> Result<Self, Failure> {
        Ok(Self { state: state.clone(), document: state.read(FILE)?.unwrap_or_default() })
    }

    /// Refuses data that was given to this task, or older data.
    ///
    /// # Errors
    /// `data_epoch_given`.
    pub fn demand_new(&self, task: &str, epoch: u64) -> Result<(), Failure> {
        match self.document.given.get(task) {
            Some(given) if epoch <= *given => Err(Failure::new(
                DATA_EPOCH_GIVEN,
                format!("data epoch {epoch}: task {task} without noise has epoch {given} already"),
                "submit newer data under a higher --data-epoch",
            )),
            _ => Ok(()),
        }
    }

    /// Gives data to a task: it is on disk when this returns, and counts as given whatever becomes
    /// of the round.
    ///
    /// # Errors
    /// `data_epoch_given`; `file_write`, and then nothing may leave.
    pub fn give(&mut self, task: &str, epoch: u64) -> Result<(), Failure> {
        self.demand_new(task, epoch)?;
        self.document.given.insert(task.to_owned(), epoch);
        self.state.write(FILE, &self.document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_given_to_a_task_once_and_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state")).unwrap();
        let open = || Epochs::open(&state).unwrap();
        open().give("a", 7).unwrap();
        for again in [7, 6, 0] {
            assert_eq!(open().give("a", again).unwrap_err().code, DATA_EPOCH_GIVEN, "{again}");
            assert_eq!(open().demand_new("a", again).unwrap_err().code, DATA_EPOCH_GIVEN);
        }
        open().demand_new("a", 8).unwrap();
        open().give("b", 7).unwrap();
        open().give("a", 8).unwrap();
    }
}
