//! One line a check as it happens; at the end `report.json`, and `output.txt` with the same lines.

use std::any::Any;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use sealsum_demo::CHECKS;
use serde_json::{Value, json};

/// Where the files are written, from where `make demo` runs.
const FOLDER: &str = "target/demo";

/// What a check found: a sentence to print, or why it failed.
pub(crate) type Finding = Result<String, Box<dyn std::error::Error>>;

/// The checks so far.
pub(crate) struct Report {
    entries: Vec<Value>,
    lines: String,
    colour: bool,
}

impl Default for Report {
    fn default() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { entries: Vec::new(), lines: String::new(), colour }
    }
}

impl Report {
    /// Says on stderr what is being done, for who waits.
    pub(crate) fn progress(&self, what: &str) {
        eprintln!("   .. {what}");
    }

    /// Runs the next of [`CHECKS`], prints its line and keeps the result. A panic is a failure.
    pub(crate) fn check(&mut self, id: &str, check: impl FnOnce(&Report) -> Finding) {
        assert_eq!(CHECKS.get(self.entries.len()), Some(&id), "the checks have an order");
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

    fn print_line(&mut self, id: &str, ok: bool, detail: &str) {
        let (word, colour) = if ok { ("ok  ", "\x1b[32m") } else { ("FAIL", "\x1b[31m") };
        let (colour, plain) = if self.colour { (colour, "\x1b[0m") } else { ("", "") };
        let rest = format!("{:02} {id:<18} {detail}", self.entries.len() + 1);
        println!("{colour}{word}{plain} {rest}");
        self.lines += &format!("{word} {rest}\n");
        // A closed pipe is no reason to stop checking.
        let _ = std::io::stdout().flush();
    }

    /// Writes the files and prints the last line.
    pub(crate) fn finish(self) -> ExitCode {
        let passed = self.entries.iter().filter(|entry| entry["ok"] == true).count();
        let failed = CHECKS.len() - passed;
        let last = format!("demo: {passed} passed, {failed} failed\n");
        let report = format!("{:#}\n", Value::Array(self.entries));
        let folder = Path::new(FOLDER);
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(folder.join("report.json"), report))
            .and_then(|()| std::fs::write(folder.join("output.txt"), self.lines + &last));
        if let Err(error) = &written {
            eprintln!("error: {FOLDER}: {error}");
        }
        print!("{last}");
        if failed == 0 && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
