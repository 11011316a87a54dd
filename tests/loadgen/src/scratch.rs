//! A temporary directory that goes with the tool, also when it is interrupted.

use std::path::{Path, PathBuf};
use std::thread;

use sealsum_daemon::cli::{self, Format, Text};
use sealsum_daemon::{Failure, codes};
use tokio::signal::unix::{SignalKind, signal};

/// A directory that is gone once this is dropped, or the process ends by SIGINT or SIGTERM.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// Makes it.
    ///
    /// # Errors
    /// When it cannot be made, or signals cannot be waited for.
    pub fn new(format: Format) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("sealsum-loadgen-").tempdir();
        let dir = dir.map_err(|error| {
            let message = format!("temporary directory: {error}");
            Failure::new(codes::FILE_WRITE, message, "make room, or set TMPDIR")
        })?;
        remove_at_signal(dir.path().to_owned(), format)?;
        Ok(Self(dir))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The kernel ends the aggregator with this process, and rounds of an operator's aggregator end at
/// their deadlines.
fn remove_at_signal(dir: PathBuf, format: Format) -> Result<(), Failure> {
    let broken = |error: std::io::Error| Failure::bug(format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(broken)?;
    let (mut interrupt, mut terminate) = runtime.block_on(async {
        let listen = |kind| signal(kind).map_err(broken);
        Ok::<_, Failure>((listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?))
    })?;
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        let _ = std::fs::remove_dir_all(dir);
        let failure = Failure::new(codes::ABORTED, "loadgen: interrupted", "the same again");
        let exit = failure.exit_number();
        cli::finish::<Text>(format, Err(failure));
        std::process::exit(exit.into());
    });
    Ok(())
}
