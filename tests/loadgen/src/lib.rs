//! A fleet by software: an authority, and devices that run the shipped protocol client over real
//! mutual TLS, with keys in memory instead of a TPM.
//!
//! | module | gives |
//! |---|---|
//! | [`fleet`], [`log`], [`authority`] | a staging authority: certificates, log, status list, over HTTPS |
//! | [`wire`], [`device`] | a device: its connection, and each step of a round |
//! | [`staging`] | a staging authority that is kept in a directory |
//! | [`aggregator`], [`task`] | the real `sealsum-aggregator`, through its commands |
//! | [`crowd`], [`conduct`], [`lies`], [`rosters`], [`vector`] | many devices in a round: honest, lost, or lying |
//! | [`scenario`], [`expected`], [`judge`] | the rounds to run, what must come of each, and whether it did |
//! | [`run`], [`scratch`], [`memory`], [`report`] | all of it, and what `sealsum-loadgen` prints |

pub mod aggregator;
pub mod authority;
pub mod conduct;
pub mod crowd;
pub mod device;
pub mod expected;
pub mod fleet;
pub mod judge;
pub mod lies;
pub mod log;
pub mod memory;
pub mod report;
pub mod rosters;
pub mod run;
pub mod scenario;
pub mod scratch;
pub mod staging;
pub mod task;
pub mod vector;
pub mod wire;
