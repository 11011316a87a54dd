//! Fuzz targets: arbitrary bytes for each decoder that reads what others sent, and arbitrary
//! sequences of steps for both state machines of a round.
//!
//! A target is a function of bytes that panics when something that must always hold does not. A
//! decoder must do more than not panic: what it takes must be the one encoding of what it gives
//! back, and within its bound. `docs/fuzzing.md` says how they are run.
//!
//! | family | what reads the bytes |
//! |---|---|
//! | [`messages`] | each message of a round |
//! | [`task_file`] | the task as its owner writes it |
//! | [`chunks`] | chunks of masked input, every width of ring |
//! | [`masks`] | the ways to make a mask, one against the other |
//! | [`tpm`] | TPM structures |
//! | [`bodies`] | JSON bodies of enrolment and renewal |
//! | [`certificates`] | certificates, chains, requests, evidence |
//! | [`log`] | notes, checkpoints, entries, tiles, proofs, status lists |
//! | [`vectors`] | files of vectors |
//! | [`server`], [`client`] | steps against the aggregator's machine and the device's |
#![allow(clippy::unwrap_used, reason = "a target that panics has found something")]

pub mod bodies;
pub mod certificates;
pub mod chunks;
pub mod client;
mod fixtures;
mod fleet;
mod input;
pub mod log;
pub mod masks;
pub mod messages;
pub mod server;
pub mod task_file;
pub mod tpm;
pub mod vectors;

/// One thing to try bytes on.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its folder in the corpus.
    pub name: &'static str,
    /// Panics on a finding.
    pub run: fn(&[u8]),
}

const FAMILIES: &[&[Target]] = &[
    messages::TARGETS,
    task_file::TARGETS,
    chunks::TARGETS,
    masks::TARGETS,
    tpm::TARGETS,
    bodies::TARGETS,
    certificates::TARGETS,
    log::TARGETS,
    vectors::TARGETS,
    server::TARGETS,
    client::TARGETS,
];

/// Every target.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    FAMILIES.iter().copied().flatten()
}

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    targets().find(|target| target.name == name)
}

const fn named(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}
