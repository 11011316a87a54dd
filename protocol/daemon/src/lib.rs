//! What the three programs do alike: command line, configuration, errors, logs, readiness, HTTP.

pub mod cli;
pub mod codes;
pub mod config;
pub mod failure;
pub mod files;
pub mod health;
pub mod http;
pub mod https;
pub mod lock;
pub mod log;
mod program;
pub mod progress;
pub mod ready;
pub mod shutdown;
pub mod time;
pub mod tls;

pub use failure::Failure;
pub use program::Program;

/// The Unix user that this process acts as.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Raises the number of files that this process may have open, connections included, as far as it
/// may.
pub fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the number of open files cannot be raised");
    }
}
