//! I5: an honest device says each thing at most once a round, restarts or not, and nothing after
//! it refused.

use std::collections::BTreeMap;

use crate::ledger::Ledger;
use crate::world::World;

pub(super) fn check(ledger: &Ledger, _: &World) -> Result<(), String> {
    let mut said: BTreeMap<(usize, u64, &str), usize> = BTreeMap::new();
    for view in ledger.views.iter().filter(|view| view.honest) {
        if view.spoke_after_refusal {
            return Err(format!("device {} speaks after it refused", view.device));
        }
        for (kind, times) in &view.said {
            let total = said.entry((view.device, view.round, kind)).or_default();
            *total += times;
            if *total > 1 {
                let (device, round) = (view.device, view.round);
                return Err(format!("device {device} says {kind} twice in round {round}"));
            }
        }
    }
    Ok(())
}
