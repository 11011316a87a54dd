//! An aggregator that lies, one lie a test, against the shipped decoder and client.
//!
//! | module | what it lies about |
//! |---|---|
//! | [`advertise`] | the round and its owner's signature |
//! | [`roster`] | who is in the round |
//! | [`versions`] | which round it is, to some |
//! | [`privacy`] | each number that noise and sensitivity follow from, by one unit |
//! | [`share`] | what others dealt |
//! | [`mask`] | who shared |
//! | [`check`] | who survived |
//! | [`edges`] | who shared, to some, and then who survived |
//! | [`split`] | different survivors to different devices, alone and with c colluding devices |
//! | [`unmask`] | who agreed |
//! | [`across_rounds`] | one round in the place of another |
//!
//! Each lie stands next to the same message without it, which is taken; what the liar has learned
//! is computed, not argued.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod across_rounds;
mod advertise;
mod check;
mod edges;
mod flow;
mod lie;
mod mask;
mod privacy;
mod roster;
mod share;
mod split;
mod unmask;
mod versions;
