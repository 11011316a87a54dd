//! I3: whoever sees all that the aggregator and the devices that work for it see can rebuild, of an
//! honest device, at most one of its two secrets; and the self-mask secret only of one that a
//! quorum agreed to call a survivor.

use sealsum_protocol::transcript::SecretKind;

use crate::ledger::{Group, Ledger};
use crate::world::World;

pub(super) fn check(ledger: &Ledger, _: &World) -> Result<(), String> {
    for (place, group) in ledger.groups.iter().enumerate() {
        let revealed = ledger.views_of(place).any(|view| view.revealed.is_some());
        if !revealed {
            continue;
        }
        let reach = Reach::of(ledger, place);
        for dealer in (0..group.cohort.size()).filter(|dealer| group.honest[*dealer]) {
            check_one(ledger, (place, group), &reach, dealer)?;
        }
    }
    Ok(())
}

fn check_one(
    ledger: &Ledger,
    (place, group): (usize, &Group),
    reach: &Reach,
    dealer: usize,
) -> Result<(), String> {
    let device = group.devices[dealer];
    let (a, b) = (reach.mask_key[dealer], reach.self_mask[dealer]);
    if a && b {
        return Err(format!("both secrets of device {device} are in reach"));
    }
    if b && !is_agreed_survivor(ledger, (place, group), dealer) {
        return Err(format!("the self mask of device {device}, in no agreed set, is in reach"));
    }
    Ok(())
}

fn is_agreed_survivor(ledger: &Ledger, (place, group): (usize, &Group), dealer: usize) -> bool {
    let quorum = group.floors.quorum;
    ledger.signatures.iter().any(|((of, _), signers)| {
        *of == place && signers.who.len() >= quorum && signers.survivors.contains(dealer)
    })
}

/// Which secrets of a roster enough shares are known of, by roster index.
pub(super) struct Reach {
    /// a.
    pub(super) mask_key: Vec<bool>,
    /// b.
    pub(super) self_mask: Vec<bool>,
}

impl Reach {
    pub(super) fn of(ledger: &Ledger, place: usize) -> Self {
        let group = &ledger.groups[place];
        let n = group.cohort.size();
        let corrupt: Vec<usize> = (0..n).map(|dealer| group.corrupt_holders(dealer)).collect();
        let (mut a, mut b) = (corrupt.clone(), corrupt);
        let honest = ledger.views_of(place).filter(|view| view.honest);
        for (dealer, kind) in honest.filter_map(|view| view.revealed.as_ref()).flatten() {
            match kind {
                SecretKind::MaskKey => a[*dealer] += 1,
                SecretKind::SelfMask => b[*dealer] += 1,
            }
        }
        let t = group.cohort.parameters.t;
        let enough = |shares: Vec<usize>| shares.into_iter().map(|known| known >= t).collect();
        Self { mask_key: enough(a), self_mask: enough(b) }
    }
}
