//! A transparency log in the database of the program that keeps it.
//!
//! ```text
//!  the transaction of an action ──► append ──► log, log_hashes (SQLite, rows are final)
//!                                     │
//!              checkpoint: sign the head, persist it ──► routes ──► devices, aggregators
//!                                     │                    └──────► export ──► verify (offline)
//!                    check at start: everything follows from the entries
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`table`] | entries and hashes in SQLite; appending |
//! | [`key`], [`checkpoint`] | the log's key; the head it signed, persisted before it leaves |
//! | [`check`] | everything stored, recomputed when the program starts |
//! | [`prove`] | proofs and tiles for whoever asks |
//! | [`routes`] | the same over HTTP |
//! | [`export`], [`audit`] | the log as a directory, and its verification with a key from outside |
//! | [`commands`] | `log checkpoint`, `log export`, `log prove`, `log verify` |
//!
//! What goes into an entry is [`sealsum_attest::events`]; the tree is [`sealsum_attest::tlog`].

pub mod audit;
pub mod check;
pub mod checkpoint;
pub mod commands;
pub mod export;
pub mod key;
pub mod prove;
pub mod routes;
pub mod table;

mod error;

pub use error::LogError;

/// The tables of a log, for the program that makes its database.
pub const SCHEMA: &str = include_str!("schema.sql");
