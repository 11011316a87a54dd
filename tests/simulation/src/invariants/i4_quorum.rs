//! I4: an honest device reveals only when at least Q distinct survivors signed exactly the string
//! that it signed, which names at least A_min survivors.

use crate::ledger::{Group, Ledger, View};
use crate::world::{Floors, World};

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
    let Group { cohort, floors, .. } = &ledger.groups[place];
    let string = cohort.transcript.with_sharers(shared).alive_string(survivors, lost);
    let signers = ledger.signatures.get(&(place, string));
    let who = signers.iter().flat_map(|signers| &signers.who);
    let signed = who.filter(|signer| survivors.contains(**signer)).count();
    let Floors { quorum, a_min } = *floors;
    if signed < quorum {
        return Err(format!("device {device} reveals to {signed} signatures, {quorum} are needed"));
    }
    let count = survivors.count();
    if count < a_min {
        return Err(format!("device {device} reveals for {count} survivors, {a_min} are needed"));
    }
    Ok(())
}
