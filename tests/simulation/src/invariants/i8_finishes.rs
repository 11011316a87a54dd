//! I8: where nothing fails but that devices are lost, no more than the cohort tolerates, the round
//! finishes; with more it ends by a name.

use crate::ledger::{Ended, Ledger};
use crate::program::Ending;
use crate::world::World;

pub(super) fn check(ledger: &Ledger, world: &World) -> Result<(), String> {
    for ended in &ledger.endings {
        match &ended.ending {
            Ending::Finished { .. } => {}
            Ending::Aborted(code) if code.is_empty() => return Err("an end without a name".into()),
            Ending::Aborted(code) if world.only_loses_devices() => must_fail(world, ended, code)?,
            Ending::Aborted(_) => {}
        }
    }
    Ok(())
}

fn must_fail(world: &World, ended: &Ended, code: &str) -> Result<(), String> {
    let losses = world.losses.iter().filter(|loss| loss.round == ended.round).count();
    let tolerated = world.parameters(ended.roster).map(|parameters| parameters.tolerated());
    match tolerated {
        Some(tolerated) if losses <= tolerated => Err(format!(
            "round {} of {} devices ends by {code} after {losses} losses of {tolerated}",
            ended.round, ended.roster
        )),
        _ => Ok(()),
    }
}
