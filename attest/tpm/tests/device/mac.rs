//! Authentication codes.

use crate::connect;
use sealsum_attest_tpm::mac::{MESSAGE_MAX, authenticate};
use sealsum_test_support::{TpmFactory, wire};

#[test]
fn a_code_is_this_tpms_and_survives_its_clearing() {
    let maker = TpmFactory::trusted();
    let (chip, other) = (maker.tpm(), maker.tpm());
    let tpm = connect(&chip);
    let made = authenticate(&tpm, "a", b"message").unwrap();
    assert_eq!(authenticate(&tpm, "a", b"message").unwrap(), made);
    assert_ne!(authenticate(&tpm, "a", b"massage").unwrap(), made);
    assert_ne!(authenticate(&tpm, "b", b"message").unwrap(), made, "another purpose, another key");
    assert_ne!(authenticate(&connect(&other), "a", b"message").unwrap(), made);
    wire::clear(chip.port());
    assert_eq!(authenticate(&tpm, "a", b"message").unwrap(), made);
}

#[test]
fn a_message_of_any_length_up_to_the_limit_has_a_code_and_a_longer_one_none() {
    let chip = TpmFactory::trusted().tpm();
    let tpm = connect(&chip);
    assert!(authenticate(&tpm, "a", &[]).is_ok());
    assert!(authenticate(&tpm, "a", &[7; MESSAGE_MAX]).is_ok());
    assert!(authenticate(&tpm, "a", &[7; MESSAGE_MAX + 1]).is_err());
}
