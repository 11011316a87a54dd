//! What the three programs do alike: command line, configuration, errors, logs, readiness, HTTP.

pub mod cli;
pub mod codes;
pub mod config;
pub mod failure;
pub mod files;
pub mod log;
mod program;

pub use failure::Failure;
pub use program::Program;
