//! The verifier and certification authority of a fleet.
fn main() {}
