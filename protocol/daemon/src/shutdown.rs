//! Stopping: at a signal, everywhere, within ten seconds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// For how long requests under way may still run after a signal.
pub const DRAIN: Duration = Duration::from_secs(6);

/// When the process ends after a signal, whatever still hangs.
const LIMIT: Duration = Duration::from_secs(9);

/// The one fact "we are stopping"; clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// Not stopping yet.
    pub fn new() -> Shutdown {
        Shutdown(Arc::new(watch::Sender::new(false)))
    }

    /// Stopping from now on.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// For threads that cannot wait.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once we are stopping. Safe to drop and to call again.
    pub async fn wait(&self) {
        // An error would mean that no sender is left, but we are one.
        let _ = self.0.subscribe().wait_for(|stopping| *stopping).await;
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

/// Stops at SIGTERM or SIGINT, at the second one at once. Call it inside the runtime, before the
/// program announces that it is ready.
///
/// After the first signal the process ends with exit code 0 within nine seconds even if a thread
/// hangs (in a TPM that does not answer, say): what must be kept is on disk before it is said.
///
/// # Errors
/// If the signal handlers cannot be installed.
pub fn on_signals() -> io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "stopping");
        end_within(LIMIT);
        crate::ready::stopping();
        stop.trigger();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("a second signal: not waiting any longer");
        std::process::exit(0);
    });
    Ok(shutdown)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// A thread of its own, because a runtime that hangs would not run a task.
fn end_within(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        tracing::warn!("something did not stop in time; ending without it");
        std::process::exit(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_clones_learn_of_it_and_late_waiters_too() {
        let shutdown = Shutdown::new();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        assert!(!shutdown.is_triggered());
        shutdown.clone().trigger();
        waiting.await.unwrap();
        assert!(shutdown.is_triggered());
        shutdown.wait().await;
    }
}
