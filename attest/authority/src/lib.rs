//! The verifier and certification authority of a fleet.
//!
//! | module | duty |
//! |---|---|
//! | [`setup`], [`config`] | `init` and `authority.toml` |
//! | [`http`], [`admin`], [`run`] | routes for devices and aggregators, for the operator; the process |
//! | [`enrol`], [`renew`], [`rotate`], [`aggregators`] | who becomes, and stays, a member |
//! | `grant` | how each of that ends: a certificate that is a fact |
//! | [`policy`] | which devices may, and how that is changed |
//! | `lineage` | whether a device is one machine, or there is a copy of it |
//! | [`devices`], [`status_list`] | who is one, and who no longer |
//! | [`tokens`], [`sessions`], [`rate`] | who may try |
//! | [`ca`], [`withdrawal`] | certificates, and their end, from the built-in CA or the company's |
//! | [`keys`] | the authority's own keys |
//! | [`store`], [`log`] | what is known, and the append-only record of what was decided |
//!
//! Time is an argument of everything that decides; only the process reads the clock.

pub mod admin;
pub mod aggregators;
pub mod authority;
pub mod ca;
pub mod client;
pub mod config;
pub mod devices;
pub mod enrol;
pub mod evidence;
mod failures;
mod grant;
pub mod http;
mod issuance;
pub mod keys;
mod lineage;
pub mod log;
pub mod metrics;
mod own;
pub mod policy;
pub mod rate;
mod record;
pub mod renew;
pub mod rotate;
pub mod run;
pub mod sessions;
pub mod setup;
pub mod status_list;
pub mod store;
pub mod tokens;
pub mod withdrawal;
