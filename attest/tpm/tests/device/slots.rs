//! Nothing stays in the TPM: three object slots and three sessions are all there is.

use crate::{connect, new_identity};
use sealsum_attest_tpm::{TpmError, random};
use sealsum_test_support::{TpmFactory, wire};

#[test]
fn two_hundred_operations_leave_every_slot_free() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    for round in 0..25 {
        identity.device_key().sign(&[round]).unwrap();
        identity.open_vault().unwrap();
        identity.quote(&[round; 32], &[0, 7]).unwrap();
        identity.certify(&[round; 32]).unwrap();
        // Failures must give back what they took as well.
        assert_eq!(identity.activate(&[0; 68], &[0; 256]).err(), Some(TpmError::Credential));
        assert!(identity.quote(&[round; 32], &[99]).is_err());
        identity.tpm().properties().unwrap();
        random::seed(identity.tpm()).unwrap();
        assert_eq!(wire::loaded(chip.port()), (0, 0), "after round {round}");
    }
    chip.extend_pcr(7, b"another boot");
    for _ in 0..5 {
        assert!(matches!(identity.open_vault(), Err(TpmError::PcrChanged { .. })));
    }
    assert_eq!(wire::loaded(chip.port()), (0, 0));
    assert_eq!(wire::lockout_counter(chip.port()), 0);
}

#[test]
fn what_a_killed_predecessor_left_is_freed() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    wire::fill_slots(chip.port());
    assert_eq!(wire::loaded(chip.port()), (3, 3));
    // The open connection finds the TPM full; the next one frees it.
    identity.open_vault().unwrap();
    wire::fill_slots(chip.port());
    connect(&chip).properties().unwrap();
    assert_eq!(wire::loaded(chip.port()), (0, 0));
}

#[test]
fn seeds_differ() {
    let chip = TpmFactory::trusted().tpm();
    let tpm = connect(&chip);
    let [a, b] = [random::seed(&tpm).unwrap(), random::seed(&tpm).unwrap()];
    assert_ne!(**a, **b);
    assert_ne!(**a, [0; 32]);
}
