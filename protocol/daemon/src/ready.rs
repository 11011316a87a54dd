//! Telling the world that requests are served: the ready file, and systemd.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::Failure;
use crate::files;

/// What `--ready-file` holds: where this process listens. Null for what it does not have.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// The process id.
    pub pid: u32,
    /// The TLS address, with the port that the system chose if 0 was asked for.
    pub listen: Option<SocketAddr>,
    /// The health address.
    pub health: Option<SocketAddr>,
    /// The Unix socket.
    pub socket: Option<PathBuf>,
}

impl Ready {
    /// Of this process.
    pub fn new(
        listen: Option<SocketAddr>,
        health: Option<SocketAddr>,
        socket: Option<PathBuf>,
    ) -> Ready {
        Ready { pid: std::process::id(), listen, health, socket }
    }
}

/// Removes the ready file of an earlier run, so that nobody takes it for ours. Call it first.
///
/// # Errors
/// `file_write`.
pub fn clear(ready_file: Option<&Path>) -> Result<(), Failure> {
    ready_file.map_or(Ok(()), files::remove)
}

/// Writes the ready file, whole or not at all, and tells systemd. Call it once requests are served.
///
/// # Errors
/// `file_write`.
pub fn announce(ready_file: Option<&Path>, ready: &Ready) -> Result<(), Failure> {
    if let Some(path) = ready_file {
        let json = serde_json::to_vec(ready)
            .map_err(|error| Failure::bug(format!("ready file: not JSON: {error}")))?;
        files::replace(path, &json, files::PUBLIC)?;
    }
    notify(sd_notify::NotifyState::Ready);
    Ok(())
}

/// Shows a line in `systemctl status`.
pub fn status(line: &str) {
    notify(sd_notify::NotifyState::Status(line));
}

/// Tells systemd that the program is stopping.
pub fn stopping() {
    notify(sd_notify::NotifyState::Stopping);
}

/// Without systemd this does nothing; with it, a failure changes nothing that we do.
fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_file_has_all_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        std::fs::write(&path, "stale").unwrap();
        clear(Some(&path)).unwrap();
        assert!(!path.exists());

        let ready = Ready::new(Some("127.0.0.1:41234".parse().unwrap()), None, Some("/s".into()));
        announce(Some(&path), &ready).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"pid": std::process::id(), "listen": "127.0.0.1:41234",
                               "health": null, "socket": "/s"})
        );
    }

    #[test]
    fn no_file_is_no_error() {
        clear(None).unwrap();
        announce(None, &Ready::new(None, None, None)).unwrap();
    }
}
