//! The device half of attestation: the only crate that talks to a TPM.
