//! The log in its database: append-only, checked at start, signed without ever going back.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::Path;

use common::{Log, NOW, key};
use rusqlite::Connection;
use sealsum_attest::events::{Event, canonical};
use sealsum_attest::inclusion::Place;
use sealsum_attest::tlog::merkle::{Tree, verify_consistency};
use sealsum_attest::tlog::{Hash, batch};
use sealsum_log::{LogError, check, checkpoint, prove, table};

const DROP_TRIGGERS: &str = "
    DROP TRIGGER log_rows_stay; DROP TRIGGER log_rows_are_final; DROP TRIGGER log_rows_follow;
    DROP TRIGGER log_hashes_stay; DROP TRIGGER log_hashes_are_final;
    DROP TRIGGER log_hashes_are_new; DROP TRIGGER log_checkpoint_stays;
    DROP TRIGGER log_checkpoint_grows; DROP TRIGGER log_checkpoint_is_one;";

/// Starts on a log that somebody with the file changed.
fn start_after(path: &Path, change: &str) -> Result<u64, LogError> {
    let copy = path.with_extension("copy");
    std::fs::copy(path, &copy).unwrap();
    let raw = Connection::open(&copy).unwrap();
    raw.execute_batch(DROP_TRIGGERS).unwrap();
    raw.execute_batch(change).unwrap();
    drop(raw);
    start(&Log::open(&copy))
}

fn start(log: &Log) -> Result<u64, LogError> {
    log.write(|tx| Ok(check::at_start(tx, &key(7))?.head().size))
}

#[test]
fn the_root_is_that_of_the_tree_over_the_entries() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::filled(&directory.path().join("log.db"), 300);
    let entries = log.write(|tx| table::entries(tx, 0, 300)).unwrap();
    let tree: Tree = entries.iter().map(|entry| Hash::of_leaf(entry)).collect();
    assert_eq!(log.write(table::head).unwrap(), tree.head());
    assert_eq!(start(&log).unwrap(), 300);
}

#[test]
fn triggers_refuse_change_deletion_and_gaps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    Log::filled(&path, 3).checkpoint();
    let raw = Connection::open(&path).unwrap();
    for statement in [
        "UPDATE log SET entry = x'00' WHERE position = 1",
        "DELETE FROM log WHERE position = 2",
        "INSERT INTO log VALUES (7, x'00')",
        "INSERT OR REPLACE INTO log VALUES (1, x'00')",
        "UPDATE log_hashes SET hash = zeroblob(32) WHERE level = 1",
        "DELETE FROM log_hashes WHERE level = 1",
        "INSERT OR REPLACE INTO log_hashes VALUES (0, 1, zeroblob(32))",
        "UPDATE log_checkpoint SET size = 2",
        "UPDATE log_checkpoint SET note = ''",
        "DELETE FROM log_checkpoint",
        "INSERT OR REPLACE INTO log_checkpoint VALUES (1, 9, '')",
    ] {
        let error = raw.execute(statement, []).unwrap_err().to_string();
        assert!(error.contains("the log"), "{statement}: {error}");
    }
}

#[test]
fn every_changed_byte_of_an_entry_is_found_at_its_entry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let log = Log::filled(&path, 5);
    let length = log.write(|tx| table::entry(tx, 1)).unwrap().len();
    drop(log);
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(DROP_TRIGGERS).unwrap();
    let entry: Vec<u8> =
        raw.query_row("SELECT entry FROM log WHERE position = 1", [], |row| row.get(0)).unwrap();
    for byte in 0..length {
        let mut altered = entry.clone();
        altered[byte] ^= 1 << (byte % 8);
        raw.execute("UPDATE log SET entry = ?1 WHERE position = 1", [altered]).unwrap();
        let verdict = start(&Log::open(&path));
        assert!(matches!(verdict, Err(LogError::Altered { position: 1 })), "{byte}: {verdict:?}");
    }
}

#[test]
fn what_does_not_follow_from_the_entries_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    Log::filled(&path, 5).checkpoint();
    assert_eq!(start_after(&path, "").unwrap(), 5);
    for (change, position) in [
        ("DELETE FROM log WHERE position = 1", 1),
        ("DELETE FROM log WHERE position = 4", 4),
        ("UPDATE log SET position = 9 WHERE position = 4", 4),
        ("UPDATE log_hashes SET hash = zeroblob(32) WHERE level = 0 AND number = 2", 2),
        ("UPDATE log_hashes SET hash = zeroblob(32) WHERE level = 2", 3),
        ("DELETE FROM log_hashes WHERE level = 0 AND number = 2", 2),
        ("DELETE FROM log_hashes WHERE level = 2", 3),
        ("INSERT INTO log_hashes VALUES (0, 5, zeroblob(32))", 5),
        ("INSERT INTO log_hashes VALUES (3, 0, zeroblob(32))", 5),
    ] {
        let verdict = start_after(&path, change);
        let expected =
            matches!(verdict, Err(LogError::Altered { position: found }) if found == position);
        assert!(expected, "{change}: {verdict:?}");
    }
}

#[test]
fn an_entry_that_does_not_belong_is_found_though_its_hash_is_right() {
    let directory = tempfile::tempdir().unwrap();
    for (number, entry) in common::strange_entries().iter().enumerate() {
        let log = Log::of_stranger(&directory.path().join(format!("{number}.db")), entry);
        assert!(matches!(start(&log), Err(LogError::Altered { position: 0 })), "{number}");
    }
}

#[test]
fn what_was_signed_is_never_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    Log::filled(&path, 5).checkpoint();
    // Cut, and cut cleanly: hashes too.
    let cut = "DELETE FROM log WHERE position = 4; DELETE FROM log_hashes WHERE number = 4";
    assert!(matches!(start_after(&path, cut), Err(LogError::NotSigned { signed: 5 })));
    for (change, why) in [
        ("UPDATE log_checkpoint SET note = replace(note, 'demo', 'dema')", "another log"),
        ("UPDATE log_checkpoint SET note = ''", "no note"),
    ] {
        assert!(matches!(start_after(&path, change), Err(LogError::Head(_))), "{why}");
    }
    // Rewritten with new hashes: another history under the head of the first.
    let other_path = directory.path().join("other.db");
    let other = Log::open(&other_path);
    other.append("lost", 6);
    drop(other);
    let raw = Connection::open(&other_path).unwrap();
    raw.execute("ATTACH ?1 AS first", [path.to_str().unwrap()]).unwrap();
    raw.execute("INSERT INTO log_checkpoint SELECT * FROM first.log_checkpoint", []).unwrap();
    drop(raw);
    let rewritten = Log::open(&other_path);
    assert!(matches!(start(&rewritten), Err(LogError::NotSigned { signed: 5 })));
    // Nor does a running program sign it.
    let signed = rewritten.write(|tx| checkpoint::current(tx, &key(7)));
    assert!(matches!(signed, Err(LogError::NotSigned { signed: 5 })));
}

#[test]
fn a_start_signs_what_a_crash_left_unsigned() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let log = Log::filled(&path, 5);
    let before = log.checkpoint();
    log.append("lost", 3);
    let stored = log.write(|tx| checkpoint::last(tx, key(7).verifier())).unwrap();
    assert_eq!(stored.as_ref(), Some(&before), "the process ends here");
    drop(log);
    let log = Log::open(&path);
    assert_eq!(start(&log).unwrap(), 8);
    let after = log.write(|tx| checkpoint::last(tx, key(7).verifier())).unwrap().unwrap();
    let proof = log.write(|tx| prove::consistency(tx, 5, 8)).unwrap().proof;
    assert_eq!(verify_consistency(before.head(), after.head(), &proof), Ok(()));
}

#[test]
fn a_failed_action_leaves_no_entry() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::filled(&directory.path().join("log.db"), 2);
    let event = Event::RoundAborted { round: "00".into(), code: "deadline".into() };
    let failed: Result<(), LogError> = log.write(|tx| {
        table::append(tx, NOW, &event)?;
        checkpoint::current(tx, &key(7))?;
        Err(LogError::Batch("the action failed".into()))
    });
    assert!(failed.is_err());
    assert_eq!(log.checkpoint().head().size, 2);
}

#[test]
fn an_entry_that_fits_no_tile_is_not_appended() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(&directory.path().join("log.db"));
    let with = |length| Event::RoundAborted { round: "r".repeat(length), code: String::new() };
    let overhead = canonical(0, NOW, &with(0)).len();
    let append = |length| log.write(|tx| table::append(tx, NOW, &with(length)));
    assert!(matches!(append(65_536 - overhead), Err(LogError::TooLong(65_536))));
    assert_eq!(append(65_535 - overhead).unwrap(), 0);
}

#[test]
fn members_are_proved_in_the_order_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::filled(&directory.path().join("log.db"), 300);
    let asked = [250, 3, 4, 299, 0];
    let places: Vec<Place> = asked.iter().map(|index| Place { index: *index, ts: NOW }).collect();
    let proof = log.write(|tx| prove::members(tx, &key(7), places.clone())).unwrap();
    assert_eq!(proof.members, places);
    let mut leaves: Vec<(u64, Hash)> = log
        .write(|tx| asked.iter().map(|i| Ok((*i, Hash::of_leaf(&table::entry(tx, *i)?)))).collect())
        .unwrap();
    leaves.sort_unstable();
    let head = *log.checkpoint().head();
    assert_eq!(batch::verify(&leaves, &head, &proof.proof), Ok(()));
    let refused = |places: &[u64]| {
        let places = places.iter().map(|index| Place { index: *index, ts: NOW }).collect();
        log.write(|tx| prove::members(tx, &key(7), places)).unwrap_err()
    };
    assert!(matches!(refused(&[]), LogError::Batch(_)));
    assert!(matches!(refused(&[3, 3]), LogError::Batch(_)));
    assert!(matches!(refused(&[300]), LogError::OutOfRange { asked: 300, size: 300 }));
}

#[test]
fn nothing_is_proved_beyond_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::filled(&directory.path().join("log.db"), 300);
    let refused = |result: Result<(), LogError>| {
        assert!(matches!(result, Err(LogError::OutOfRange { .. })), "{result:?}");
    };
    refused(log.write(|tx| prove::consistency(tx, 5, 301).map(drop)));
    refused(log.write(|tx| prove::consistency(tx, 6, 5).map(drop)));
    refused(log.write(|tx| prove::inclusion(tx, &key(7), 300).map(drop)));
    refused(log.write(|tx| prove::file(tx, &key(7), 300).map(drop)));
    for path in ["tile/0/001.p/45", "tile/entries/001.p/45", "tile/0/002", "tile/1/000.p/2"] {
        let tile = sealsum_attest::tlog::tiles::Tile::parse(path).unwrap();
        refused(log.write(|tx| prove::tile(tx, &tile).map(drop)));
    }
}
