//! I1: a published sum is exactly the sum of exactly the reported contributors, and nobody of them
//! was revoked while the sum could still be withheld.

use crate::ledger::{Ended, Ledger};
use crate::program::Ending;
use crate::world::World;

pub(super) fn check(ledger: &Ledger, world: &World) -> Result<(), String> {
    if !world.aggregator_is_honest() {
        return Ok(());
    }
    ledger.endings.iter().try_for_each(|ended| check_one(ended, world))
}

fn check_one(ended: &Ended, world: &World) -> Result<(), String> {
    let Ending::Finished { contributors, sum } = &ended.ending else { return Ok(()) };
    if let Some(revoked) = contributors.iter().find(|device| ended.revoked.contains(device)) {
        return Err(format!("revoked device {revoked} is in the sum of round {}", ended.round));
    }
    let mut expected = vec![0; sum.len()];
    for device in contributors {
        let integers = world.integers(*device, ended.round);
        if integers.len() != sum.len() {
            return Err(format!("{} values, not {}", sum.len(), integers.len()));
        }
        expected.iter_mut().zip(integers).for_each(|(total, integer)| *total += integer);
    }
    if *sum == expected {
        return Ok(());
    }
    Err(format!("round {}: {sum:?} is not the sum {expected:?} of {contributors:?}", ended.round))
}
