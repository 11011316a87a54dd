//! What a device remembers: in memory, as it is gone with the scenario.

use std::collections::HashMap;

use sealsum_protocol::client::{Mark, OnceCounter, RoundMarks};
use sealsum_protocol::ids::Hash;

/// In place of the counter in a TPM.
#[derive(Default)]
pub(super) struct Counter(u64);

impl OnceCounter for Counter {
    fn read(&mut self) -> Result<u64, String> {
        Ok(self.0)
    }

    fn increment(&mut self) -> Result<(), String> {
        self.0 += 1;
        Ok(())
    }
}

/// The last round of each task.
#[derive(Default)]
pub(super) struct Marks(HashMap<Hash, Mark>);

impl RoundMarks for Marks {
    fn last(&self, task: &Hash) -> Result<Option<Mark>, String> {
        Ok(self.0.get(task).copied())
    }

    fn raise(&mut self, task: &Hash, mark: Mark) -> Result<(), String> {
        self.0.insert(*task, mark);
        Ok(())
    }
}
