//! The monotonic counter.

use crate::connect;
use sealsum_attest_tpm::TpmError;
use sealsum_attest_tpm::counter::{MonotonicCounter, TpmCounter};
use sealsum_test_support::{TpmFactory, wire};

#[test]
fn a_counter_grows_and_survives_a_power_cut() {
    let mut chip = TpmFactory::trusted().tpm();
    let counter = TpmCounter::new(&connect(&chip));
    assert!(matches!(counter.read(), Err(TpmError::NoCounter { .. })));
    assert!(matches!(counter.increment(), Err(TpmError::NoCounter { .. })));
    let first = counter.create().unwrap();
    assert_eq!(counter.read().unwrap(), first);
    assert_eq!(counter.increment().unwrap(), first + 1);
    chip.kill();
    chip.restart();
    assert_eq!(counter.read().unwrap(), first + 1);
    assert!(counter.create().is_err(), "an existing counter is not made again");
    assert_eq!(counter.read().unwrap(), first + 1);
}

#[test]
fn a_cleared_counter_is_gone_and_never_starts_lower() {
    let chip = TpmFactory::trusted().tpm();
    let counter = TpmCounter::new(&connect(&chip));
    counter.create().unwrap();
    counter.increment().unwrap();
    let last = counter.increment().unwrap();
    wire::clear(chip.port());
    assert!(matches!(counter.read(), Err(TpmError::NoCounter { .. })));
    assert!(counter.create().unwrap() > last);
}

#[test]
fn a_counter_that_was_just_being_made_at_a_power_cut_is_none_and_can_be_made() {
    const INDEX: u32 = 0x0180_5ea1;
    let chip = TpmFactory::trusted().tpm();
    let counter = TpmCounter::new(&connect(&chip));
    wire::define_counter(chip.port(), INDEX);
    assert!(matches!(counter.read(), Err(TpmError::NoCounter { index: INDEX })));
    let first = counter.create().unwrap();
    assert_eq!(counter.increment().unwrap(), first + 1);
}
