//! What both ends of a round must agree on, and the two state machines that run it.

pub mod bitmap;
pub mod bounds;
pub mod channel;
pub mod codec;
pub mod dp;
pub mod encoding;
pub mod error;
pub mod exchange;
pub mod graph;
pub mod guard;
pub mod hypergeometric;
pub mod ids;
pub mod kdf;
pub mod labels;
pub mod mask;
pub mod membership;
pub mod merkle;
pub mod messages;
pub mod parameters;
pub mod roster;
pub mod scalar;
pub mod shamir;
pub mod signature;
pub mod task;
pub mod transcript;
