//! The real program over real HTTPS: whole rounds, and everything that it must refuse.

#![allow(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

mod commands;
mod devices;
mod lifecycle;
mod log_proofs;
mod own_log;
mod program;
mod queries;
mod refusals;
mod revocation;
mod rounds;
