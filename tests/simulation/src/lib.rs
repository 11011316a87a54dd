//! Whole histories of a fleet under test: one seed draws a world, and everything that happens in
//! it follows.
//!
//! The devices are [`sealsum_test_fleet::WireDevice`]s and the aggregator is a
//! [`sealsum_protocol::server::Round`]: the state machines that ship, driven as the programs drive
//! them. Time is a number and the network is a queue, so a history is the same each time, and one
//! that breaks an invariant can be told again.
//!
//! | | |
//! |---|---|
//! | [`world`] | what a seed draws before anything happens |
//! | [`choices`] | what it draws while things happen, so that they can happen again |
//! | [`history`] | the queue, the network, the devices, the aggregator |
//! | [`device`], [`program`] | how the agent and the aggregator drive the state machines |
//! | [`liars`] | those who do not: a lie to a file |
//! | [`ledger`], [`invariants`] | what happened, and what must hold of it |
//! | [`run`], [`tally`] | many histories, and what they met |
//! | [`replay`], [`shrink`] | one history in a file, and one with less in it |
//! | [`large`] | one round of a thousand devices |
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

pub mod choices;
pub mod device;
pub mod history;
pub mod invariants;
pub mod large;
pub mod ledger;
pub mod liars;
pub mod program;
mod queue;
pub mod replay;
pub mod run;
pub mod shrink;
pub mod tally;
pub mod world;
