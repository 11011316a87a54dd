//! The aggregator: runs rounds and never sees a device's part.
//!
//! | module | what it is |
//! |---|---|
//! | [`service`] | the running program |
//! | [`http`], [`refused`] | what devices ask, over mutual TLS |
//! | [`admin`] | what operators ask, over the administration socket |
//! | [`rounds`] | rounds: opened, driven, ended |
//! | [`deals`] | sealed shares between dealing and fetching |
//! | [`uploads`], [`sum`], [`vector_file`] | masked vectors in, sums out, chunk by chunk |
//! | [`devices`], [`membership`] | who may take part, at every moment |
//! | [`authority`], [`certificate`], [`https`] | this program's own certificate; the status list |
//! | [`authority_log`] | what is pinned of the authority's log; proofs for devices |
//! | [`own_log`] | this program's own log of rounds |
//! | [`store`], [`models`], [`record`] | what outlives the process |
//! | [`tasks`], [`owner`], [`privacy`] | what an owner signs, and what it costs |
//! | [`commands`] | the command line, behind its arguments |

pub mod admin;
pub mod audit;
pub mod authority;
pub mod authority_log;
pub mod certificate;
pub mod codes;
pub mod commands;
pub mod config;
pub mod deals;
pub mod devices;
pub mod http;
pub mod https;
pub mod membership;
pub mod metrics;
pub mod models;
pub mod own_log;
pub mod owner;
pub mod privacy;
pub mod record;
mod record_text;
pub mod refused;
pub mod rounds;
pub mod service;
pub mod store;
pub mod sum;
pub mod tasks;
pub mod uploads;
pub mod vector_file;

#[cfg(test)]
mod tests;
