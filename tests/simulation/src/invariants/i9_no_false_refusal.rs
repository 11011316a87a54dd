//! I9: no device refuses what an honest aggregator says, but for reasons of its own: its clock, its
//! marks, its policy, its own lateness, or shares that liars dealt.

use sealsum_protocol::guard::Guard;

use crate::ledger::{Ledger, Refused};
use crate::world::World;

/// What a device may refuse though the aggregator is honest.
const OWN_REASONS: &[Guard] = &[
    Guard::TaskWindow,
    Guard::RoundReplayed,
    Guard::Deadline,
    Guard::OnceCounter,
    Guard::TooFewHonest,
    // Too few of its neighbours hold its shares: they were lost, or lie.
    Guard::SharersSelf,
];

pub(super) fn check(ledger: &Ledger, world: &World) -> Result<(), String> {
    if !world.aggregator_is_honest() {
        return Ok(());
    }
    let mut refused = ledger.refusals.iter().filter(|refused| world.is_honest(refused.device));
    match refused.find(|refused| !is_own_reason(refused, world)) {
        None => Ok(()),
        Some(Refused { device, round, guard, detail }) => {
            Err(format!("device {device} refuses in round {round}: {}: {detail}", guard.name()))
        }
    }
}

fn is_own_reason(refused: &Refused, world: &World) -> bool {
    let by_liars = refused.guard == Guard::SharesLow && !world.liars.is_empty();
    by_liars || OWN_REASONS.contains(&refused.guard)
}
