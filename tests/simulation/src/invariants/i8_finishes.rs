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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::world::{Loss, Moment};

    #[test]
    fn a_round_fails_only_with_more_losses_than_tolerated() {
        let mut world = World { dropout_permille: 250, ..World::quiet(1, 8) };
        let mut ledger = Ledger::of(&world);
        let ending = Ending::Aborted("too_few_contributors".to_owned());
        ledger.endings.push(Ended { round: 1, ending, roster: 8, revoked: BTreeSet::new() });
        let tolerated = world.parameters(8).map_or(0, |parameters| parameters.tolerated());
        let loss = |device| Loss { round: 1, device, before: Moment::Masked };
        world.losses = (0..tolerated).map(loss).collect();
        assert!(check(&ledger, &world).is_err());
        world.losses.push(loss(7));
        assert_eq!(check(&ledger, &world), Ok(()));
    }
}
