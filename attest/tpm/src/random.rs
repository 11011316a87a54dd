//! Seeds that are secret if the TPM or the operating system gave good random bytes.

use crate::error::{TpmError, during};
use crate::seal::Key;
use crate::worker::Tpm;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

const LABEL: &[u8] = b"sealsum/v1/seed";

/// 32 fresh secret bytes: HKDF-SHA-256 over random bytes of the TPM, salted with as many of the
/// operating system. Those of the TPM cross its bus in clear; they only ever add to the others.
///
/// # Errors
/// [`TpmError::Random`] without the operating system's, [`TpmError::Unreachable`] and the like
/// without the TPM's.
pub fn seed(tpm: &Tpm) -> Result<Box<Zeroizing<[u8; 32]>>, TpmError> {
    let from_tpm = tpm.run(|context| {
        let doing = during("drawing random bytes");
        let bytes =
            context.execute_without_session(|context| context.get_random(32)).map_err(&doing)?;
        Ok(Zeroizing::new(bytes.value().to_vec()))
    })?;
    let mut from_system = Zeroizing::new([0; 32]);
    fill(&mut *from_system)?;
    let mut seed: Key = Box::new(Zeroizing::new([0; 32]));
    Hkdf::<Sha256>::new(Some(from_system.as_slice()), &from_tpm)
        .expand(LABEL, seed.as_mut_slice())
        .map_err(|error| TpmError::Random(error.to_string()))?;
    Ok(seed)
}

/// Random bytes of the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), TpmError> {
    getrandom::fill(bytes).map_err(|error| TpmError::Random(error.to_string()))
}
