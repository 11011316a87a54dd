//! The agent as a process, with its own software TPM and the real authority.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene up has failed")]

mod bad_input;
mod budget;
mod enrolment;
mod liar;
mod lies;
mod local_socket;
mod log;
mod policy;
mod queries;
mod rounds;
mod tpm_commands;
mod tpm_trouble;
mod world;
