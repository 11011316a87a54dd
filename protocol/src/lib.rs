//! What both ends of a round must agree on, and the two state machines that run it.
//!
//! A round computes a sum over vectors of devices that nobody sees a part of. The protocol is
//! SecAgg+ (Bell, Bonawitz, Gascón, Lepoint, Raykova, CCS 2020) with one agreed set of contributors;
//! `docs/protocol.md` says where it differs and why the aggregator learns the total or nothing.
//!
//! ```text
//!   device ([client])                              aggregator ([server])
//!   advertise  ── keys of the round, signed by the TPM ──▶
//!              ◀── roster: who is in, and so the graph and every threshold ──
//!   share      ── shares of two secrets, for each neighbour ──▶
//!              ◀── the neighbours' shares; then U2, the set that shared ──
//!   mask       ── vector + self mask ± a mask with each neighbour in U2 ──▶
//!              ◀── A, who survives, and D, who is lost; together U2 ──
//!   check      ── one signature over A and D ──▶
//!              ◀── a quorum of such signatures ──
//!   unmask     ── one share for each neighbour: of its self mask, or of its mask key ──▶
//!                                                  the sum over A
//! ```
//!
//! No clock, no randomness of the system, no file, no socket: time and random bits are arguments,
//! messages are values. The same code runs in the programs and in tests.
//!
//! | | |
//! |---|---|
//! | what is computed | [`task`], [`policy`], [`parameters`] |
//! | who takes part | [`membership`], [`roster`], [`cohort`], [`graph`] |
//! | what is said | [`messages`], [`codec`], [`labels`], [`transcript`], [`merkle`], [`bitmap`] |
//! | secrets | [`scalar`], [`shamir`], [`exchange`], [`channel`], [`signature`], [`kdf`] |
//! | vectors | [`dp`], [`encoding`], [`mask`] |
//! | the round | [`client`], [`server`] |
//! | what goes wrong | [`guard`], [`error`] |
//!
//! Words and letters: **n** devices on the roster; **c** corrupt ones assumed; **k** neighbours of
//! a device; **t** shares that rebuild a secret; **Q** equal signatures before anybody reveals;
//! **U2** the devices that shared; **A** the survivors, whose masked input is complete; **D** the
//! rest of U2; **a**, **b** a device's secrets, for the masks with others and for its own; **tau**
//! what it signs with its masked input; **h_P**, **rho** the hashes of what the round was
//! announced with and of its roster; **A_min** the fewest survivors that are unmasked.

pub mod analytics;
pub mod bitmap;
pub mod bounds;
pub mod channel;
pub mod client;
pub mod codec;
pub mod cohort;
pub mod dp;
pub mod encoding;
pub mod error;
pub mod exchange;
pub mod graph;
pub mod guard;
pub mod hypergeometric;
pub mod ids;
pub mod kdf;
pub mod labels;
pub mod mask;
pub mod membership;
pub mod merkle;
pub mod messages;
pub mod parameters;
pub mod policy;
pub mod roster;
pub mod scalar;
pub mod server;
pub mod shamir;
pub mod signature;
pub mod task;
pub mod time;
pub mod transcript;
