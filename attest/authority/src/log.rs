//! The log: an append-only, hash-chained table of everything the authority decided.
//!
//! An entry is canonical JSON (one flat object, keys sorted, no spaces). Its link is
//! `SHA-256(label ‖ previous link ‖ position as u64 big-endian ‖ entry)`, the first one over 32
//! zero bytes. [`append`] runs inside the transaction of the action itself. Triggers in the
//! schema refuse updates, deletions and gaps; [`verify`] finds what got past them.

use ed25519_dalek::{Signature, Signer as _, SigningKey};
use rusqlite::{Connection, OptionalExtension as _, params};
use sealsum_attest::events::{Event, canonical};
use sha2::{Digest as _, Sha256};

use crate::store::{StoreError, signed, unsigned};

/// By what evidence is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// SHA-256 of the policy.
    pub policy_sha256: String,
    /// SHA-256 over the installed TPM roots.
    pub tpm_roots_sha256: String,
}

/// Size of the log and its last link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// Last link; zero bytes for an empty log.
    pub root: [u8; 32],
}

/// The log was altered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {position} of the log does not follow from the ones before it")]
pub struct Broken {
    /// First entry that is wrong.
    pub position: u64,
}

/// Appends `event` and returns its position.
///
/// # Errors
/// [`StoreError`] from SQLite.
pub fn append(tx: &Connection, now: i64, event: &Event) -> Result<u64, StoreError> {
    let Head { size, root } = head(tx)?;
    let entry = canonical(size, now, event);
    let chain = link(&root, size, &entry);
    tx.execute("INSERT INTO log VALUES (?1, ?2, ?3)", params![signed(size)?, entry, chain])?;
    Ok(size)
}

/// The current head.
///
/// # Errors
/// [`StoreError`] from SQLite.
pub fn head(view: &Connection) -> Result<Head, StoreError> {
    let last: Option<(i64, [u8; 32])> = view
        .query_row("SELECT position, chain FROM log ORDER BY position DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(match last {
        Some((position, root)) => Head { size: unsigned(position)? + 1, root },
        None => Head { size: 0, root: [0; 32] },
    })
}

/// Recomputes every link. `Ok(Err(_))` names the first entry that was altered.
///
/// # Errors
/// [`StoreError`] if the table cannot be read.
pub fn verify(view: &Connection) -> Result<Result<Head, Broken>, StoreError> {
    let mut statement = view.prepare("SELECT position, entry, chain FROM log ORDER BY position")?;
    let mut rows = statement.query([])?;
    let mut head = Head { size: 0, root: [0; 32] };
    while let Some(row) = rows.next()? {
        let position = unsigned(row.get(0)?)?;
        let (entry, chain): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let expected = link(&head.root, head.size, &entry);
        if position != head.size || chain != expected {
            return Ok(Err(Broken { position: head.size }));
        }
        head = Head { size: position + 1, root: expected };
    }
    Ok(Ok(head))
}

/// The rules of the last `policy.changed` entry.
///
/// # Errors
/// [`StoreError`] if the table cannot be read.
pub fn last_rules(view: &Connection) -> Result<Option<Rules>, StoreError> {
    let rules = view.query_row(
        "SELECT json_extract(text, '$.new_sha256'), json_extract(text, '$.tpm_roots_sha256')
         FROM (SELECT position, CAST(entry AS TEXT) AS text FROM log)
         WHERE json_extract(text, '$.type') = 'policy.changed'
         ORDER BY position DESC LIMIT 1",
        [],
        |row| Ok(Rules { policy_sha256: row.get(0)?, tpm_roots_sha256: row.get(1)? }),
    );
    Ok(rules.optional()?)
}

/// Signs the head (Ed25519, RFC 8032) over `label ‖ size as u64 big-endian ‖ root`.
#[must_use]
pub fn sign_head(key: &SigningKey, head: &Head) -> Signature {
    let mut message = HEAD_LABEL.to_vec();
    message.extend(head.size.to_be_bytes());
    message.extend(head.root);
    key.sign(&message)
}

fn link(previous: &[u8; 32], position: u64, entry: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(ENTRY_LABEL)
        .chain_update(previous)
        .chain_update(position.to_be_bytes())
        .chain_update(entry)
        .finalize()
        .into()
}

const ENTRY_LABEL: &[u8] = b"sealsum/v1/log-entry\0";
const HEAD_LABEL: &[u8] = b"sealsum/v1/log-head\0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn filled(path: &std::path::Path, entries: usize) -> Store {
        let store = Store::open(path).unwrap();
        for number in 0..entries {
            let event = Event::DeviceRevoked {
                device: format!("{number:064x}"),
                reason: "stolen".into(),
                actor: 0,
            };
            let position = store.write("test", |tx| append(tx, 1_800_000_000, &event)).unwrap();
            assert_eq!(position, number as u64);
        }
        store
    }

    #[test]
    fn an_untouched_log_verifies_to_its_head() {
        let directory = tempfile::tempdir().unwrap();
        let store = filled(&directory.path().join("r.db"), 5);
        let verified = store.read(verify).unwrap().unwrap();
        assert_eq!(verified, store.read(head).unwrap());
        assert_eq!(verified.size, 5);
    }

    #[test]
    fn triggers_refuse_change_deletion_and_gaps() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.db");
        drop(filled(&path, 3));
        let raw = Connection::open(&path).unwrap();
        for statement in [
            "UPDATE log SET entry = x'00' WHERE position = 1",
            "DELETE FROM log WHERE position = 2",
            "INSERT INTO log VALUES (7, x'00', zeroblob(32))",
            "INSERT OR REPLACE INTO log VALUES (1, x'00', zeroblob(32))",
        ] {
            let error = raw.execute(statement, []).unwrap_err().to_string();
            assert!(error.contains("the log"), "{statement}: {error}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found_at_its_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.db");
        let store = filled(&path, 3);
        let entry: Vec<u8> = store
            .read(|view| {
                Ok::<_, StoreError>(view.query_row(
                    "SELECT entry FROM log WHERE position = 1",
                    [],
                    |row| row.get(0),
                )?)
            })
            .unwrap();
        let raw = Connection::open(&path).unwrap();
        raw.execute_batch("DROP TRIGGER log_rows_are_final").unwrap();
        for byte in 0..entry.len() {
            let mut altered = entry.clone();
            altered[byte] ^= 1 << (byte % 8);
            raw.execute("UPDATE log SET entry = ?1 WHERE position = 1", [altered]).unwrap();
            let verdict = store.read(verify).unwrap();
            assert_eq!(verdict, Err(Broken { position: 1 }), "byte {byte}");
        }
    }

    #[test]
    fn a_missing_entry_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.db");
        let store = filled(&path, 3);
        let raw = Connection::open(&path).unwrap();
        raw.execute_batch("DROP TRIGGER log_rows_stay; DELETE FROM log WHERE position = 1")
            .unwrap();
        assert_eq!(store.read(verify).unwrap(), Err(Broken { position: 1 }));
    }

    #[test]
    fn the_signed_head_covers_size_and_root() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let head = Head { size: 4, root: [1; 32] };
        let signature = sign_head(&key, &head);
        assert_ne!(signature, sign_head(&key, &Head { size: 5, ..head }));
        assert_ne!(signature, sign_head(&key, &Head { root: [2; 32], ..head }));
    }
}
