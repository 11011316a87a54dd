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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ledger::Ended;

    fn finished(ledger: &mut Ledger, round: u64, sum: i64) {
        let ending = Ending::Finished { contributors: vec![0], sum: vec![sum] };
        ledger.endings.push(Ended { round, ending, roster: 3, revoked: BTreeSet::new() });
    }

    #[test]
    fn a_second_result_or_another_fact_is_a_violation() {
        let world = World::quiet(1, 3);
        let mut ledger = Ledger::of(&world);
        finished(&mut ledger, 1, 5);
        finished(&mut ledger, 2, 5);
        assert_eq!(check(&ledger, &world), Ok(()));
        finished(&mut ledger, 1, 5);
        assert!(check(&ledger, &world).is_err());

        let mut ledger = Ledger::of(&world);
        ledger.contradictions.push("a second roster".to_owned());
        assert!(check(&ledger, &world).is_err());
    }
}
