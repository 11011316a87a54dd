//! docs/protocol.md says what the code does: guards, messages, labels.

use std::collections::BTreeSet;

use sealsum_protocol::codec::Message;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::labels;
use sealsum_protocol::messages::*;
use sealsum_protocol::task::{Grant, SignedTask};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

fn rows(first: impl Fn(&str) -> bool) -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    let tables = DOCUMENT.lines().filter(|line| line.starts_with('|'));
    tables.map(cells).filter(|row: &Vec<&str>| first(row[0])).collect()
}

#[test]
fn the_guard_table_is_the_list_of_guards() {
    let documented = rows(|cell| cell.starts_with('G') && cell[1..].parse::<u8>().is_ok());
    let code: Vec<Vec<&str>> = Guard::ALL
        .iter()
        .map(|guard| vec![guard.id(), guard.name(), guard.by().as_str(), guard.explanation()])
        .collect();
    for (documented, code) in documented.iter().zip(&code) {
        assert_eq!(documented, code);
    }
    assert_eq!(documented.len(), code.len());
}

fn row<M: Message>(name: &str) -> [String; 3] {
    [M::KIND.to_string(), name.to_owned(), M::MAX_BYTES.to_string()]
}

#[test]
fn the_message_table_is_the_list_of_messages() {
    let code = [
        row::<SignedTask>("SignedTask"),
        row::<Grant>("Grant"),
        row::<Announcement>("Announcement"),
        row::<Advertise>("Advertise"),
        row::<Roster>("Roster"),
        row::<SharedKeys>("SharedKeys"),
        row::<InboundShares>("InboundShares"),
        row::<ShareAck>("ShareAck"),
        row::<Sharers>("Sharers"),
        row::<MaskedInput>("MaskedInput"),
        row::<Survivors>("Survivors"),
        row::<ConsistencySignature>("ConsistencySignature"),
        row::<Quorum>("Quorum"),
        row::<Reveal>("Reveal"),
    ];
    let documented = rows(|cell| cell.parse::<u8>().is_ok());
    let documented: Vec<[&str; 3]> =
        documented.iter().map(|row| [row[0], row[1].trim_matches('`'), row[4]]).collect();
    assert_eq!(documented, code);
}

#[test]
fn each_label_is_named_and_no_other() {
    let written: BTreeSet<&str> = DOCUMENT
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "/-".contains(c)))
        .filter(|word| word.starts_with("sealsum/v1/") && word.len() > "sealsum/v1/".len())
        .collect();
    let code: BTreeSet<&str> = labels::ALL.iter().map(|label| label.as_str()).collect();
    assert_eq!(written, code);
}
