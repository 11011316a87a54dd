//! TPM 2.0 structures as the TPM sends them, parsed strictly and without a TPM library.

pub mod alg;
mod public;
mod wire;

pub use public::{EccPublic, Public, PublicKind, RsaPublic, Scheme, Symmetric, name_of};
pub use wire::ParseError;
