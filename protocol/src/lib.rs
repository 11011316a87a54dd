//! What both ends of a round must agree on, and the two state machines that run it.

pub mod encoding;
pub mod graph;
pub mod hypergeometric;
pub mod mask;
pub mod parameters;
pub mod scalar;
pub mod shamir;
