//! Evidence and judgement: what a device must show to be enrolled, and the checks on it.

pub mod activation;
pub mod binding;
pub mod certificate;
pub mod csr;
pub mod endorsement;
pub mod hex;
pub mod ids;
pub mod messages;
pub mod pcr;
pub mod policy;
pub mod quote;
pub mod refusals;
pub mod templates;
pub mod tpm;
pub mod verify;
