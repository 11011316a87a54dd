//! The agent as a process, with its own software TPM and the real authority.

mod bad_input;
mod enrolment;
mod local_socket;
mod rounds;
mod tpm_trouble;
mod world;
