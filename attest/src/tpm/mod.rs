//! TPM 2.0 structures as the TPM sends them, parsed strictly and without a TPM library.
//!
//! Every parser reads one whole structure: it refuses trailing bytes, lengths beyond the buffer,
//! counts beyond the specification and selectors it does not know. What it accepts it writes back
//! byte for byte, so that names and signatures computed from a parsed value are right.

pub mod alg;
mod attest;
mod pcr;
mod public;
mod signature;
mod wire;

pub use attest::{Attest, Attested, ClockInfo};
pub use pcr::{PcrBank, parse_selection, selection_bytes};
pub(crate) use public::pad;
pub use public::{EccPublic, Public, PublicKind, RsaPublic, Scheme, Symmetric, name_of};
pub use signature::EcdsaSignature;
pub use wire::ParseError;
