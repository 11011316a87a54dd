//! The commands beside `run` and `enroll`. Those about the present ask the running agent; those
//! about the past read its files, which are always whole.

pub mod budget;
pub mod doctor;
pub mod explain;
pub mod identity;
pub mod leave;
pub mod log;
pub mod renew;
pub mod rounds;
pub mod status;
pub mod submit;

use std::future::Future;

use sealsum_daemon::http::UnixClient;
use sealsum_daemon::{Failure, Program, codes};

use crate::config::Config;

/// The running agent of this configuration.
fn agent(config: &Config) -> UnixClient {
    UnixClient::new(Program::Agent, &config.socket)
}

/// Waits for an answer of the running agent.
fn wait_for<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::bug(format!("runtime: {error}")))?
        .block_on(answer)
}

/// Whether no agent listens, as opposed to one that refuses.
fn is_not_running(failure: &Failure) -> bool {
    failure.code == codes::AGENT_NOT_RUNNING
}
