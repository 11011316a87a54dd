//! What both ends of a round must agree on, and the two state machines that run it.

pub mod hypergeometric;
pub mod parameters;
