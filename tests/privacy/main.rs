//! Noise and its accounting against other implementations, in Python: what needs the packages of
//! `tests/requirements.txt`.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod digits;
mod reference;
mod thresholds;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use sealsum_tests::{peer, repository};

/// A script of this folder, to be run with the packages of `tests/requirements.txt`.
fn python(name: &str) -> Command {
    let mut python = Command::new(peer("python3"));
    python.arg("-B").arg(repository().join("tests/privacy").join(name));
    python
}

/// What it says of this input.
fn script(name: &str, input: &[u8]) -> Output {
    let mut child = python(name).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}
