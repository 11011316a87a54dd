//! `log`: this aggregator's own log, read from the running program or from an export.

use std::process::ExitCode;

use sealsum_daemon::Failure;
use sealsum_daemon::cli::{self, Format, Text};
use sealsum_log::commands::{LogCommand, run};

use super::Endpoint;

/// Runs a command on the log and prints what comes of it.
pub fn log(format: Format, command: LogCommand, endpoint: &Endpoint) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(format, command, || endpoint.client())),
        Err(error) => cli::finish::<Text>(format, Err(Failure::bug(format!("runtime: {error}")))),
    }
}
