//! Evidence and judgement: what a device must show to be enrolled, and the checks on it.

pub mod activation;
pub mod binding;
pub mod certificate;
pub mod hex;
pub mod ids;
pub mod messages;
pub mod tpm;
