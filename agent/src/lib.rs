//! The daemon on each device.

pub mod access;
pub mod authority;
pub mod config;
pub mod device;
pub mod intake;
pub mod ledger;
pub mod pending;
mod random;
pub mod rounds;
pub mod state;
mod transport;
pub mod upstream;
