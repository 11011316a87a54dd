//! The demonstration: a fleet of twelve devices on one machine.
fn main() {}
