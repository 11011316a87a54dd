//! The running aggregator, as a command sees it: HTTP over the administration socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Method;
use sealsum_daemon::cli::Shown;
use sealsum_daemon::http::UnixClient;
use sealsum_daemon::{Failure, Program};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::{DiagnosticsBody, StatusBody};
use crate::config::Config;

/// Where the running aggregator is reached. Nothing is read before a command needs it.
pub struct Endpoint {
    config: PathBuf,
}

impl Endpoint {
    /// The aggregator of this configuration file.
    pub fn new(config: PathBuf) -> Self {
        Self { config }
    }

    /// The configuration file's contents.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn config(&self) -> Result<Config, Failure> {
        Config::load(&self.config)
    }

    /// `status`.
    ///
    /// # Errors
    /// When the aggregator does not run or says no.
    pub fn status(&self) -> Result<Shown<StatusBody>, Failure> {
        let status: StatusBody = self.get("/v1/status")?;
        let text = status.text();
        Ok(Shown::new(status, text))
    }

    /// `diagnostics`.
    ///
    /// # Errors
    /// When the aggregator does not run or there is no such task.
    pub fn diagnostics(&self, task: &str) -> Result<Shown<DiagnosticsBody>, Failure> {
        let found: DiagnosticsBody = self.get(&format!("/v1/diagnostics/{}", segment(task)))?;
        let text = found.text();
        Ok(Shown::new(found, text))
    }

    pub(super) fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        let client = self.client()?;
        wait_for(client.get(target))
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let client = self.client()?;
        wait_for(client.call(Method::POST, target, body))
    }

    /// Sends bytes and reads JSON.
    pub(super) fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Vec<u8>,
    ) -> Result<T, Failure> {
        let client = self.client()?;
        let answer = wait_for(client.request(method, target, body))?;
        client.accepted(&answer)?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::bug(format!("answer of the aggregator: {error}")))
    }

    /// Writes an answer to a file, whole or not at all.
    pub(super) fn download(&self, target: &str, out: &Path) -> Result<(), Failure> {
        let client = self.client()?;
        wait_for(client.download(target, out)).map(|_| ())
    }

    /// The running aggregator's socket.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn client(&self) -> Result<UnixClient, Failure> {
        Ok(UnixClient::new(Program::Aggregator, self.config()?.socket()).with_patience(PATIENCE))
    }
}

/// More than the longest poll, and enough for a large model.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::bug(format!("runtime: {error}")))?
        .block_on(work)
}

/// Text as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => (b as char).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_segment() {
        assert_eq!(segment("penguins-2"), "penguins-2");
        assert_eq!(segment("../a b?c"), "..%2Fa%20b%3Fc");
    }
}
