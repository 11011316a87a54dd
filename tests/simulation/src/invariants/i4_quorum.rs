//! I4: an honest device reveals only when at least Q distinct survivors signed exactly the string
//! that it signed.

use crate::ledger::{Ledger, View};
use crate::world::World;

pub(super) fn check(ledger: &Ledger, _: &World) -> Result<(), String> {
    let revealed = |view: &&View| view.honest && view.revealed.is_some();
    ledger.views.iter().filter(revealed).try_for_each(|view| check_one(ledger, view))
}

fn check_one(ledger: &Ledger, view: &View) -> Result<(), String> {
    let device = view.device;
    let (Some(place), Some(shared), Some((survivors, lost))) =
        (view.group, &view.shared, &view.signed)
    else {
        return Err(format!("device {device} reveals without having signed"));
    };
    let cohort = &ledger.groups[place].cohort;
    let string = cohort.transcript.with_sharers(shared).alive_string(survivors, lost);
    let signers = ledger.signatures.get(&(place, string));
    let who = signers.iter().flat_map(|signers| &signers.who);
    let signed = who.filter(|signer| survivors.contains(**signer)).count();
    let quorum = cohort.parameters.quorum;
    if signed >= quorum {
        return Ok(());
    }
    Err(format!("device {device} reveals to {signed} signatures, {quorum} are needed"))
}
