//! Devices lost at each step of a round: every way for small cohorts, chance for large ones.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod chance;
mod patterns;
