//! The company's own PKI: a real OpenBao server issues the certificates of a fleet, set up with the
//! commands of docs/operating.md, for real programs and real software TPMs.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "a test target has no outside")]

mod fleet;
mod lifecycle;
mod outages;
mod server;
mod settings;
