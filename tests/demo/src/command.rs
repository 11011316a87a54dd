//! The commands of the three programs, run as a script would run them.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a command answered when it said no, or why it could not be run.
#[derive(Debug)]
pub struct Refusal {
    /// The stable error code, empty when the program gave no answer at all.
    pub code: String,
    /// The check of the evidence that failed, where one did.
    pub check: Option<String>,
    /// The exit code of the program.
    pub exit: Option<i32>,
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

/// Runs one command of `program` on the directory `dir` and returns its JSON `data`.
pub fn run<S: AsRef<OsStr>>(program: &Path, dir: &Path, arguments: &[S]) -> Result<Value, Refusal> {
    let no_answer = |exit, message| Refusal { code: String::new(), check: None, exit, message };
    let output = Command::new(program)
        .args(arguments)
        .args(["--format", "json", "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| no_answer(None, format!("{}: {error}", program.display())))?;
    let exit = output.status.code();
    let mut answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        let errors = String::from_utf8_lossy(&output.stderr);
        no_answer(exit, format!("{} gave no JSON ({error}): {errors}", program.display()))
    })?;
    if answer["status"] == "ok" && exit == Some(0) {
        return Ok(answer["data"].take());
    }
    let text = |key: &str| answer["error"][key].as_str().map(str::to_owned);
    Err(Refusal {
        code: text("code").unwrap_or_default(),
        check: text("check"),
        exit,
        message: text("message").unwrap_or_default(),
    })
}
