//! One line a check as it happens, and the report file at the end.

use std::any::Any;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

/// Where `report.json` is written, from where `make demo` runs.
const FOLDER: &str = "target/demo";

/// What a check found: a sentence to print, or why it failed.
pub(crate) type Finding = Result<String, Box<dyn std::error::Error>>;

/// The checks so far.
pub(crate) struct Report {
    entries: Vec<Value>,
    expected: usize,
    colour: bool,
}

impl Report {
    /// A report that is complete with `expected` checks.
    pub(crate) fn new(expected: usize) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { entries: Vec::new(), expected, colour }
    }

    /// Says on stderr what is being done, for who waits.
    pub(crate) fn progress(&self, what: &str) {
        eprintln!("   .. {what}");
    }

    /// Runs one check, prints its line and keeps the result. A panic is a failure.
    pub(crate) fn check(&mut self, id: &str, check: impl FnOnce(&Report) -> Finding) {
        self.progress(id);
        let started = Instant::now();
        let finding = catch_unwind(AssertUnwindSafe(|| check(self)))
            .unwrap_or_else(|panic| Err(panic_text(&*panic).into()));
        let seconds = started.elapsed().as_secs_f64();
        let (ok, detail) = match finding {
            Ok(detail) => (true, detail),
            Err(error) => (false, error.to_string()),
        };
        self.print_line(id, ok, &detail);
        self.entries.push(json!({ "id": id, "ok": ok, "detail": detail, "seconds": seconds }));
    }

    fn print_line(&self, id: &str, ok: bool, detail: &str) {
        let (word, colour) = if ok { ("ok  ", "\x1b[32m") } else { ("FAIL", "\x1b[31m") };
        let (colour, plain) = if self.colour { (colour, "\x1b[0m") } else { ("", "") };
        let number = self.entries.len() + 1;
        println!("{colour}{word}{plain} {number:02} {id:<18} {detail}");
        // A closed pipe is no reason to stop checking.
        let _ = std::io::stdout().flush();
    }

    /// Writes the report and prints the last line.
    pub(crate) fn finish(self) -> ExitCode {
        let failed = self.entries.iter().filter(|entry| entry["ok"] != true).count();
        let passed = self.entries.len() - failed;
        let failed = failed + self.expected.saturating_sub(self.entries.len());
        let text = format!("{:#}\n", Value::Array(self.entries));
        let written = std::fs::create_dir_all(FOLDER)
            .and_then(|()| std::fs::write(Path::new(FOLDER).join("report.json"), text));
        if let Err(error) = &written {
            eprintln!("error: {FOLDER}/report.json: {error}");
        }
        println!("demo: {passed} passed, {failed} failed");
        if failed == 0 && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
