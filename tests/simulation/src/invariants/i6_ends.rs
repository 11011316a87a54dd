//! I6: everybody is done by the last deadline and a little more.

use crate::ledger::Ledger;
use crate::world::World;

pub(super) fn check(ledger: &Ledger, _: &World) -> Result<(), String> {
    ledger.overdue.first().map_or(Ok(()), |overdue| Err(overdue.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_late_is_named() {
        let world = World::quiet(1, 3);
        let mut ledger = Ledger::of(&world);
        assert_eq!(check(&ledger, &world), Ok(()));
        ledger.overdue.push("device 2".to_owned());
        assert_eq!(check(&ledger, &world), Err("device 2".to_owned()));
    }
}
