//! I2: a round has at most one result, and what was written down of it never changes.

use std::collections::BTreeSet;

use crate::ledger::Ledger;
use crate::program::Ending;
use crate::world::World;

pub(super) fn check(ledger: &Ledger, world: &World) -> Result<(), String> {
    if !world.aggregator_is_honest() {
        return Ok(());
    }
    if let Some(contradiction) = ledger.contradictions.first() {
        return Err(contradiction.clone());
    }
    let mut finished = BTreeSet::new();
    let results =
        ledger.endings.iter().filter(|ended| matches!(ended.ending, Ending::Finished { .. }));
    for ended in results {
        if !finished.insert(ended.round) {
            return Err(format!("a second result of round {}", ended.round));
        }
    }
    Ok(())
}
