//! The device half against software TPMs, one or more per test, all tests in parallel.
//!
//! There is no resource manager in between, on purpose: three object slots and three sessions
//! show every leak.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bus;
mod counter;
mod enrolment;
mod evidence;
mod faults;
mod hang;
mod lifecycle;
mod mac;
mod slots;
mod tls;

use sealsum_attest_tpm::{EkAlgorithm, Identity, Tpm, Vault};
use sealsum_test_support::SoftwareTpm;

/// The product's view of a software TPM.
fn connect(chip: &SoftwareTpm) -> Tpm {
    Tpm::new(chip.tcti().parse().unwrap())
}

/// New keys in a software TPM, sealed to the default PCR 7.
fn new_identity(chip: &SoftwareTpm) -> (Identity, Vault) {
    Identity::create(&connect(chip), EkAlgorithm::Rsa2048, &[7]).unwrap()
}
