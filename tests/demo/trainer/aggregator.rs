//! The aggregator's commands, as a script would call them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Outcome;

/// Runs one command of the aggregator and returns its JSON `data`.
pub(crate) fn run<I, S>(program: &Path, dir: &Path, arguments: I) -> Outcome<Value>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let output = Command::new(program)
        .args(arguments)
        .args(["--format", "json", "--dir"])
        .arg(dir)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let mut answer: Value = serde_json::from_slice(&output.stdout)?;
    if answer["status"] == "ok" {
        return Ok(answer["data"].take());
    }
    Err(format!("{}: {}", answer["error"]["code"], answer["error"]["message"]).into())
}
