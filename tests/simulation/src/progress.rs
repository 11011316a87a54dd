//! How far a long run is, on stderr: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(5);
const WIDTH: u64 = 30;

/// The progress of one run.
pub(crate) struct Progress {
    of: u64,
    started: Instant,
    last_line: Instant,
    bar: bool,
}

impl Progress {
    pub(crate) fn new(of: u64) -> Self {
        let now = Instant::now();
        Self { of, started: now, last_line: now, bar: io::stderr().is_terminal() }
    }

    pub(crate) fn show(&mut self, done: u64, failed: u64) {
        let rate = done as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let line = format!("{done} of {} histories, {rate:.0}/s, {failed} violations", self.of);
        // Progress is a courtesy; a closed stderr is no reason to stop.
        if self.bar {
            let full = (done * WIDTH / self.of.max(1)) as usize;
            let empty = WIDTH as usize - full;
            let bar = "#".repeat(full) + &".".repeat(empty);
            let _ = write!(io::stderr(), "\r[{bar}] {line}\u{1b}[K");
        } else if self.last_line.elapsed() >= BETWEEN_LINES {
            self.last_line = Instant::now();
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.bar {
            let _ = writeln!(io::stderr());
        }
    }
}
