//! `tests/refusals.toml`, read, and as the table of `docs/enrolment.md`.

use std::fmt::Write as _;

use sealsum_attest::refusals;
use serde::Deserialize;

/// The file.
pub const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/refusals.toml"));

/// One way to be refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub number: u8,
    pub title: String,
    #[serde(rename = "at")]
    pub place: Place,
    pub mutation: Option<String>,
    #[serde(default)]
    pub with: Vec<String>,
    pub test: Option<String>,
    pub code: String,
    pub check: Option<u8>,
}

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Place {
    M1,
    M3,
    R,
    #[serde(rename = "TLS")]
    Tls,
    #[serde(rename = "HTTP")]
    Http,
    #[serde(rename = "result")]
    Result,
    #[serde(rename = "evidence")]
    Evidence,
    #[serde(rename = "device")]
    Device,
}

impl Row {
    /// The number in the answer, if evidence was refused.
    pub fn answered(&self) -> Option<u8> {
        let refused = ["evidence_refused", "revoked", "certificate_replaced", "token_invalid"];
        let refused = refused.contains(&&*self.code);
        refused.then(|| self.check.unwrap_or(self.number))
    }
}

/// All rows, as they stand in the file.
pub fn read() -> Vec<Row> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        refusal: Vec<Row>,
    }
    toml::from_str::<File>(TEXT).expect("tests/refusals.toml").refusal
}

/// Two tables: the checks by number, and what was tried.
pub fn render() -> String {
    let mut text = String::from("| check | name | refused |\n|---|---|---|\n");
    for check in refusals::ALL {
        let refuses = check.refuses.trim_end_matches('.');
        writeln!(text, "| {} | `{}` | {refuses} |", check.number, check.name).expect("a string");
    }
    text.push_str("\n| no. | at | what is shown | answer |\n|---|---|---|---|\n");
    let mut rows = read();
    rows.sort_by_key(|row| row.number);
    for row in rows {
        let place = match row.place {
            Place::Tls => "TLS",
            Place::Http => "HTTP",
            Place::M1 => "M1",
            Place::M3 => "M3",
            Place::R => "renewal",
            Place::Result => "result",
            Place::Evidence => "evidence",
            Place::Device => "device",
        };
        let answer = match row.answered() {
            Some(check) => format!("`{}`, check {check}", row.code),
            None => format!("`{}`", row.code),
        };
        writeln!(text, "| {} | {place} | {} | {answer} |", row.number, row.title)
            .expect("a string");
    }
    text
}
