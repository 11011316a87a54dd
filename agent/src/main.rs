//! The daemon on each device.
fn main() {}
