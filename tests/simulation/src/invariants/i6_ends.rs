//! I6: everybody is done by the last deadline and a little more.

use crate::ledger::Ledger;
use crate::world::World;

pub(super) fn check(ledger: &Ledger, _: &World) -> Result<(), String> {
    ledger.overdue.first().map_or(Ok(()), |overdue| Err(overdue.clone()))
}
