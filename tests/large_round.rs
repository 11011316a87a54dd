//! A thousand devices in one round, in a sparse graph, with as many losses as a cohort tolerates,
//! and with one more.

use sealsum_simulation::large::{Large, run};

const DEVICES: usize = 1_000;

#[test]
fn a_thousand_devices_with_tolerated_losses_give_the_exact_sum() {
    let round = Large::tolerated(DEVICES);
    let came = run(&round);
    assert!(round.is_as_expected(&came), "{}: {}", round.losses_in_words(), came.in_words());
}

#[test]
fn one_loss_too_many_ends_the_round_by_name() {
    let round = Large::one_too_many(DEVICES);
    let came = run(&round);
    assert!(round.is_as_expected(&came), "{}: {}", round.losses_in_words(), came.in_words());
}
