//! Randomness of the operating system, which mixes in the TPM's.

use sealsum_daemon::Failure;

/// Fills `bytes` from getrandom(2).
///
/// # Errors
/// `bug` if the kernel refuses, which it does on no supported system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| Failure::bug(format!("getrandom: {error}")))
}
