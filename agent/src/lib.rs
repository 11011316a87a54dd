//! The daemon on each device: the only place there with a clock, threads, sockets and files.
//!
//! | module | does |
//! |---|---|
//! | [`config`], [`state`] | `agent.toml`; the state directory |
//! | [`enrol`], [`authority`], [`device`] | keys in the TPM, the exchange for a certificate, both after a restart |
//! | [`run`], [`service`], [`monitor`], [`health`] | the process, what it shares, what it watches |
//! | [`socket`], [`access`], [`submission`], [`intake`], [`pending`], [`offers`] | local applications: who may, what comes in, where it waits |
//! | [`participate`], [`play`], [`steps`], [`upload`], [`courier`], [`membership`] | rounds: which ones, step by step, each step once, chunk by chunk, over the wire, with whom |
//! | [`rounds`], [`ledger`], [`tasks`] | what must be remembered: marks and history, privacy spent, signed tasks |
//! | [`witness`], [`watch`] | the authority's log: what was seen of it, and whether it still agrees |
//! | [`recovery`], [`waiting`] | lost keys: new ones, and the same device enrols again by itself |
//! | [`upstream`] | HTTPS with the TPM's key, time-outs, trying again |
//! | [`commands`], [`status`], [`metrics`] | what people and scripts see |
//!
//! Order in a round: the mark is on disk before the device enters; the charge is on disk and the TPM's
//! counter moved, then the update is deleted, and then the first masked byte leaves. Secrets of a round are in memory
//! only; a device that restarts is out of it.

pub mod access;
pub mod authority;
mod clock;
pub mod commands;
pub mod config;
pub mod courier;
pub mod device;
pub mod enrol;
pub mod epochs;
pub mod health;
pub mod intake;
pub mod ledger;
pub mod membership;
pub mod metrics;
pub mod monitor;
pub mod offers;
pub mod participate;
pub mod pending;
pub mod play;
mod random;
pub mod recovery;
mod refusal;
pub mod rounds;
pub mod run;
pub mod service;
pub mod socket;
pub mod state;
pub mod status;
pub mod steps;
pub mod submission;
pub mod tasks;
mod toml_edit;
pub mod upload;
pub mod upstream;
pub mod waiting;
pub mod watch;
pub mod witness;
