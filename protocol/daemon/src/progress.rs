//! Progress of a command that waits, on stderr: one line that changes on a terminal, a line per
//! change elsewhere.

use std::io::{self, IsTerminal, Write};

/// Shows where a long command is.
#[derive(Debug)]
pub struct Progress {
    rewrite: bool,
    last: String,
}

impl Progress {
    /// On this process's stderr.
    pub fn new() -> Progress {
        Progress { rewrite: io::stderr().is_terminal(), last: String::new() }
    }

    /// Shows `line` if it says something new.
    pub fn show(&mut self, line: &str) {
        self.show_on(&mut io::stderr(), line);
    }

    fn show_on(&mut self, out: &mut impl Write, line: &str) {
        if line == self.last {
            return;
        }
        // Progress is a courtesy; a closed stderr is no reason to stop.
        let _ = if self.rewrite {
            write!(out, "\r{line}\u{1b}[K").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
        line.clone_into(&mut self.last);
    }

    fn end_line(&mut self, out: &mut impl Write) {
        if self.rewrite && !self.last.is_empty() {
            let _ = writeln!(out);
        }
        self.last.clear();
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end_line(&mut io::stderr());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rewrite: bool) -> String {
        let mut out = Vec::new();
        let mut progress = Progress { rewrite, last: String::new() };
        for line in ["mask 1 of 3", "mask 1 of 3", "mask 2 of 3"] {
            progress.show_on(&mut out, line);
        }
        progress.end_line(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_a_line_per_change_and_a_terminal_one_line() {
        assert_eq!(shown(false), "mask 1 of 3\nmask 2 of 3\n");
        assert_eq!(shown(true), "\rmask 1 of 3\u{1b}[K\rmask 2 of 3\u{1b}[K\n");
    }
}
