//! The server that runs rounds and never sees a device's part.
fn main() {}
