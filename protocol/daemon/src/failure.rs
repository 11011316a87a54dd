//! What went wrong, whose fault it is and what to do next: the one error a user sees.

use std::fmt;
use std::process::ExitCode;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::codes::{self, Code};

/// An error for people and for scripts.
///
/// `message` reads `WHAT: WHY` without a full stop; `hint` is the next step, as a command or an
/// imperative. On a terminal it becomes the line `error: WHAT: WHY. Try: NEXT`; in JSON the object
/// `{"code","message","hint"}`, with `check` for `evidence_refused` and `index` for `not_finite`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stable code, which also fixes the exit code.
    pub code: Code,
    /// `WHAT: WHY`.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// For `evidence_refused`: the id of the check in the table of refusals.
    pub check: Option<String>,
    /// For `not_finite`: the index of the first offending coordinate.
    pub index: Option<u64>,
}

impl Failure {
    /// An error with its next step.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: hint.into(), check: None, index: None }
    }

    /// A state that must not occur. Says what was found; asks for a report.
    pub fn bug(message: impl Into<String>) -> Failure {
        Failure::new(codes::BUG, message, "report this with the log of the program")
    }

    /// Adds the id of the check of the refusal table.
    pub fn with_check(mut self, check: impl Into<String>) -> Failure {
        self.check = Some(check.into());
        self
    }

    /// Adds the index of the first offending coordinate.
    pub fn with_index(mut self, index: u64) -> Failure {
        self.index = Some(index);
        self
    }

    /// The exit code of the process, 1 to 7.
    pub fn exit_number(&self) -> u8 {
        self.code.exit().number()
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_number())
    }
}

/// One line, without `error: ` in front: `WHAT: WHY (check 44). Try: NEXT`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence(&self.message))?;
        if let Some(check) = &self.check {
            write!(f, " (check {check})")?;
        }
        if let Some(index) = self.index {
            write!(f, " (index {index})")?;
        }
        if !self.hint.is_empty() {
            write!(f, ". Try: {}", sentence(&self.hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", self.code.name())?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("hint", &self.hint)?;
        if self.check.is_some() || self.code == codes::EVIDENCE_REFUSED {
            map.serialize_entry("check", &self.check)?;
        }
        if self.index.is_some() || self.code == codes::NOT_FINITE {
            map.serialize_entry("index", &self.index)?;
        }
        map.end()
    }
}

/// The text on one line, without control characters (a message may quote what a peer sent) and
/// without a full stop at its end.
fn sentence(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new(
            codes::UNREACHABLE,
            "authority https://a:1: connection\nrefused\u{1b}[31m.",
            "start sealsum-authority.\n",
        );
        assert_eq!(
            failure.to_string(),
            "authority https://a:1: connection refused [31m. Try: start sealsum-authority"
        );
    }

    #[test]
    fn check_and_index_belong_to_their_codes() {
        let json = |f: &Failure| serde_json::to_value(f).unwrap();
        let plain = Failure::new(codes::TLS, "a: b", "c");
        assert_eq!(
            json(&plain),
            serde_json::json!({"code": "tls", "message": "a: b", "hint": "c"})
        );

        let refused = Failure::new(codes::EVIDENCE_REFUSED, "a: b", "c");
        assert_eq!(json(&refused)["check"], serde_json::Value::Null);
        assert!(json(&refused).as_object().unwrap().contains_key("check"));
        let refused = refused.with_check("44");
        assert_eq!(json(&refused)["check"], "44");
        assert_eq!(refused.to_string(), "a: b (check 44). Try: c");

        let infinite =
            Failure::new(codes::NOT_FINITE, "x.npy: NaN", "clean the vector").with_index(7);
        assert_eq!(json(&infinite)["index"], 7);
        assert_eq!(infinite.to_string(), "x.npy: NaN (index 7). Try: clean the vector");
    }
}
