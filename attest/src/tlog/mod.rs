//! The transparency log: what the authority and the aggregator did, in a tree that cannot be
//! rewritten without showing it.
//!
//! ```text
//!  entry ── leaf hash ─┐                          signed by the log's Ed25519 key
//!                      ├─ Merkle tree ── root ──► checkpoint ──► a device's memory
//!  entry ── leaf hash ─┘     │                        ▲              refuses a fork
//!                            └── tiles: static files ─┘
//! ```
//!
//! | module | what it is | specified in |
//! |---|---|---|
//! | [`merkle`] | hashes, roots, inclusion and consistency proofs | RFC 6962 2.1 |
//! | [`batch`] | one inclusion proof for many leaves | ours, of RFC 6962 hashes |
//! | [`tiles`] | the tree and its entries as static files | C2SP tlog-tiles |
//! | [`audit`] | an export recomputed from its entries | |
//! | [`note`] | signed text | C2SP signed-note |
//! | [`checkpoint`] | a signed tree head | C2SP tlog-checkpoint |
//! | [`proof`] | one entry's proof as a file | C2SP tlog-proof |
//! | [`memory`] | the last checkpoint seen, and what to do with the next | |
//! | [`witness`] | a pinned key and a memory: what a member of the fleet keeps of a log | |
//!
//! Whoever makes a proof reads hashes through [`merkle::HashStore`]; whoever checks one needs
//! only the proof and a [`checkpoint::SignedCheckpoint`], which exists only if the log's key
//! signed it. The verifier key always comes from outside: nothing here takes it from what it
//! checks.

pub mod audit;
pub mod batch;
pub mod checkpoint;
pub mod memory;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod tiles;
pub mod witness;

mod hash;
mod text;

pub use hash::{Hash, TreeHead, join, split};
