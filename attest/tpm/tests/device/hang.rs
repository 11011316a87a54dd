//! A TPM that does not answer, is not there, or comes back.

use crate::{connect, new_identity};
use sealsum_attest_tpm::{Tpm, TpmError};
use sealsum_test_support::TpmFactory;
use std::thread;
use std::time::{Duration, Instant};

/// INTERFACE: a hung TPM gives an error within this.
const PROMISED: Duration = Duration::from_secs(10);

#[test]
fn a_hung_tpm_is_an_error_in_time_and_recovers() {
    let mut chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    chip.pause();
    let started = Instant::now();
    thread::scope(|scope| {
        // Several callers wait at once; none waits longer because of the others.
        for _ in 0..3 {
            scope.spawn(|| {
                let refused = identity.device_key().sign(b"hello?").unwrap_err();
                assert!(matches!(refused, TpmError::NoAnswer { .. }), "{refused}");
                assert!(refused.is_transient());
            });
        }
        // The operation with the longest deadline of all is no exception.
        scope.spawn(|| {
            let refused = identity.activate(&[1; 68], &[1; 256]).err();
            assert!(matches!(refused, Some(TpmError::NoAnswer { .. })), "{refused:?}");
        });
    });
    assert!(started.elapsed() < PROMISED, "it took {:?}", started.elapsed());
    chip.resume();
    identity.device_key().sign(b"there you are").unwrap();
    identity.open_vault().unwrap();
}

#[test]
fn a_tpm_that_hung_and_was_replaced_by_a_reboot_recovers() {
    let mut chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let impatient = Tpm::with_deadline(chip.tcti().parse().unwrap(), Duration::from_millis(300));
    impatient.properties().unwrap();
    chip.pause();
    assert!(matches!(impatient.properties(), Err(TpmError::NoAnswer { .. })));
    chip.kill();
    chip.restart();
    impatient.properties().unwrap();
    identity.open_vault().unwrap();
}

#[test]
fn a_missing_tpm_is_an_error_at_once_and_recovers() {
    let mut chip = TpmFactory::trusted().tpm();
    let tpm = connect(&chip);
    chip.stop();
    let started = Instant::now();
    for _ in 0..3 {
        assert!(matches!(tpm.properties(), Err(TpmError::Unreachable { .. })));
    }
    assert!(started.elapsed() < Duration::from_secs(2));
    chip.restart();
    tpm.properties().unwrap();
    // Gone under an open connection.
    chip.kill();
    assert!(matches!(tpm.properties(), Err(TpmError::Unreachable { .. })));
    chip.restart();
    tpm.properties().unwrap();
}

#[test]
fn an_absent_device_is_unreachable() {
    let tpm = Tpm::new("device:/dev/no-such-tpm".parse().unwrap());
    let refused = tpm.properties().unwrap_err();
    assert!(matches!(&refused, TpmError::Unreachable { .. }), "{refused}");
    assert!(refused.to_string().contains("/dev/no-such-tpm"));
    assert_eq!(refused.code(), "tpm_unreachable");
}
