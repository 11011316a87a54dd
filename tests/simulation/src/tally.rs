//! What was met, counted: a summary in which something never happened is a check that cannot fail.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts by name.
pub type Counts = BTreeMap<String, u64>;

/// What one history, or many, met.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Histories.
    pub histories: u64,
    /// Rounds that ended, by how: `finished`, or the code of the abort.
    pub rounds: Counts,
    /// Guards by which a device refused.
    pub device_refusals: Counts,
    /// Guards by which the aggregator refused a message.
    pub aggregator_refusals: Counts,
    /// Guards for which the aggregator blamed a device.
    pub blamed: Counts,
    /// Lies told, by kind.
    pub lies: Counts,
    /// Faults that happened, by kind.
    pub faults: Counts,
    /// Devices that did not complete a step, by step.
    pub dropouts: Counts,
}

impl Tally {
    /// Counts one.
    pub fn count(counts: &mut Counts, name: &str) {
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(counts.insert(name.to_owned(), 1)),
        }
    }

    /// A lie was told.
    pub fn lie(&mut self, name: &str) {
        Self::count(&mut self.lies, name);
    }

    /// A fault happened.
    pub fn fault(&mut self, name: &str) {
        Self::count(&mut self.faults, name);
    }

    /// Adds what another tally counted.
    pub fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        for (own, others) in [
            (&mut self.rounds, &other.rounds),
            (&mut self.device_refusals, &other.device_refusals),
            (&mut self.aggregator_refusals, &other.aggregator_refusals),
            (&mut self.blamed, &other.blamed),
            (&mut self.lies, &other.lies),
            (&mut self.faults, &other.faults),
            (&mut self.dropouts, &other.dropouts),
        ] {
            for (name, count) in others {
                *own.entry(name.clone()).or_default() += count;
            }
        }
    }
}
