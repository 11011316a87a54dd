//! The device half of attestation, and the only crate that talks to a TPM.
//!
//! ```text
//!  EK    endorsement hierarchy, TCG template      which TPM this is
//!  AK    endorsement hierarchy, restricted        signs quotes and certifications
//!  SRK   owner hierarchy, TCG template            parent of the two below
//!   ├ DK   P-256 signing, certified by the AK     mutual TLS, one statement per round
//!   └ KEK  32 bytes sealed to PCRs                encrypts the X25519 seed and small state
//! ```
//!
//! | module | gives |
//! |---|---|
//! | [`connection`] | which TPM; the refusal of what would silently reach another |
//! | [`worker`] | [`Tpm`]: one thread that owns the connection, a deadline on every call |
//! | [`endorsement`] | the EK's public part and its certificate |
//! | [`identity`] | [`Identity`]: the keys of one enrolment, and the state to keep on disk |
//! | [`evidence`] | quote, certification, credential activation |
//! | [`vault`] | [`Vault`]: what the sealed key encrypts |
//! | [`tls`] | the device key as a TLS client key and as the signer of a request |
//! | [`random`] | seeds from the TPM and the operating system, mixed |
//! | [`counter`] | a monotonic counter in the TPM |
//! | [`mac`] | authentication codes that only this TPM makes |
//!
//! Everything sealed is a cache: a cleared TPM, changed PCRs or another board mean new keys and a
//! new enrolment, never a lost device. [`TpmError`] tells these apart.
//!
//! The TPM has as few as three slots for objects and three for sessions, so nothing stays loaded
//! between calls. Every object made here is `noDA` with an empty authorisation: power cuts can
//! not drive the TPM into its dictionary-attack lockout. Secrets cross the bus in sessions salted
//! to the pinned SRK only.

pub mod connection;
pub mod counter;
pub mod endorsement;
mod error;
pub mod evidence;
pub mod identity;
mod keys;
pub mod mac;
mod pcr;
pub mod random;
mod seal;
mod session;
pub mod tls;
pub mod vault;
pub mod worker;

pub use connection::Connection;
pub use endorsement::{EkAlgorithm, Endorsement};
pub use error::TpmError;
pub use identity::{Identity, IdentityState};
pub use tls::DeviceKey;
pub use vault::Vault;
pub use worker::{Properties, Tpm};
