//! A second reader of the protocol, in Python and written from docs/protocol.md alone, follows the
//! published round to its sum, and stops at the first byte that is another.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sealsum_tests::repository;
use serde_json::Value;

const ROUND: &str = "protocol/tests/vectors/round.json";

fn read(round: &Path) -> Output {
    let reader = repository().join("tests/second_reader.py");
    Command::new("python3").arg(reader).arg(round).output().unwrap()
}

#[test]
fn the_second_reader_follows_the_published_round_to_its_sum() {
    let round = repository().join(ROUND);
    let output = read(&round);
    let published: Value = serde_json::from_slice(&fs::read(round).unwrap()).unwrap();
    let sum: Vec<String> =
        published["sum"].as_array().unwrap().iter().map(Value::to_string).collect();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with(&format!("the sum [{}]\n", sum.join(", "))), "{said}");
}

/// Where one byte is changed, counted from the end of the text, and the check that says so.
const CHANGED: [(&str, usize, &str); 14] = [
    ("/task_hash", 1, "task hash"),
    ("/announcement", 200, "owner's signature"),
    ("/announcement", 1, "encoding of Announcement: a grant, which this round has not"),
    ("/roster_root", 1, "roster root"),
    ("/roster", 40, "signature on an entry"),
    ("/shares/2", 300, "dealer's signature"),
    ("/inbound/3", 1, "shares and their paths, as delivered"),
    ("/secrets/0/channel", 20, "keys E and S"),
    ("/sharers", 1, "tau"),
    ("/chunks/1", 30, "root of the chunks"),
    ("/masked/1", 1, "tau"),
    ("/survivors/0", 1, "taus of the neighbours"),
    ("/quorum", 1, "consistency signature"),
    ("/reveals/1", 2, "commitment to a revealed share"),
];

#[test]
fn one_changed_byte_is_found_and_its_check_named() {
    let published: Value =
        serde_json::from_slice(&fs::read(repository().join(ROUND)).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("round.json");
    for (place, from_end, check) in CHANGED {
        let mut changed = published.clone();
        let field = changed.pointer_mut(place).unwrap();
        let mut hex = field.as_str().unwrap().as_bytes().to_vec();
        let digit = hex.len() - from_end;
        hex[digit] = if hex[digit] == b'0' { b'1' } else { b'0' };
        *field = String::from_utf8(hex).unwrap().into();
        fs::write(&file, serde_json::to_vec(&changed).unwrap()).unwrap();
        let output = read(&file);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{place}: {complaint}");
        assert!(complaint.ends_with(&format!("does not hold: {check}\n")), "{place}: {complaint}");
    }
}
