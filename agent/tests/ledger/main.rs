//! The privacy ledger with its counter: every crash, every restored file, every copy.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene up has failed")]

mod chip;
mod device;
mod model;
