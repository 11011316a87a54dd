//! A fleet in one process: devices with software keys, an aggregator, and what stands between them
//! in a test of the protocol.
//!
//! | | |
//! |---|---|
//! | [`registry`] | certificates and status lists without X.509 |
//! | [`device`] | what a device has for life |
//! | [`mod@task`] | small tasks, policies, rounds |
//! | [`vectors`] | updates no two subsets of which have the same sum |
//! | [`rehearsal`] | a whole round, a step at a time, on values |
//! | [`wire`] | one device that hears bytes and says bytes |
//! | [`colluder`] | one device that does what its holder wants |
//! | [`liar`] | an aggregator without rules, over both |
//! | [`leak`] | what it has learned |
//! | [`arithmetic`] | what a round computes, without the round |
//!
//! Device i has roster index i. Everything follows from its seeds.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]
#![allow(missing_docs, reason = "fields and steps of a test's doubles, named as in the protocol")]

pub mod arithmetic;
pub mod colluder;
pub mod device;
pub mod leak;
pub mod liar;
pub mod registry;
pub mod rehearsal;
pub mod task;
pub mod vectors;
pub mod wire;

pub use arithmetic::{sum_of_integers, sum_of_updates};
pub use colluder::{Colluder, Piece};
pub use device::{Counter, Device, Marks, entry_rng, id_of, rng};
pub use leak::Leak;
pub use liar::{Deal, Heard, Liar, Member, Shown, changed, enter};
pub use registry::{Registry, status_list};
pub use rehearsal::{Client, Rehearsal, no_losses};
pub use task::{owner, policy, spec, task};
pub use vectors::{root_of, units, update};
pub use wire::{Said, WireDevice};

use sealsum_protocol::time::Now;

/// When every test begins.
pub const START: Now = Now { unix_s: 1_800_000_000, steady_ms: 1_000 };
