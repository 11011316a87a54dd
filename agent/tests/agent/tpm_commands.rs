//! What a round asks of a device's TPM, as its bus sees it.

use sealsum_test_support::{Fault, FaultProxy};

use crate::rounds::{COHORT, Fleet, Settings};

const NV_INCREMENT: u32 = 0x0134;

/// Submits for all devices and plays a round to its end.
fn play(fleet: &Fleet) {
    for number in 0..COHORT {
        fleet.submit(number, "exact", &[1.0, 2.0, 3.0]).data();
    }
    let round = fleet.start("exact");
    assert_eq!(fleet.result(&round), [4.0, 8.0, 12.0]);
    fleet.last_round(0, |last| last["round"] == round.as_str() && last["outcome"] == "contributed");
}

#[test]
fn a_round_moves_the_counter_of_the_tpm_three_times() {
    let mut fleet = Fleet::new();
    fleet.publish("exact", &Settings::EXACT);
    let bus = FaultProxy::new(&fleet.device(0).tpm);
    fleet.device(0).edit("tpm", &format!("{:?}", bus.tcti()));
    fleet.restart(0, |_| ());
    play(&fleet);
    bus.plan(|_| Fault::Pass);
    play(&fleet);
    let seen = bus.seen();
    let steps = seen.iter().filter(|code| **code == NV_INCREMENT).count();
    assert_eq!(steps, 3, "{seen:x?}");
}
