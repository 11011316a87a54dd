//! What outlives the process: tasks, grants, models, rounds, and what a round persists before it
//! speaks.
//!
//! SQLite in WAL mode with `synchronous = FULL`: a method that returned is on the disk. Every
//! method is one transaction with a name. All are short; callers run them on blocking threads.

mod log;
mod rounds;
mod schema;
mod status;
mod tasks;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use sealsum_daemon::{Failure, codes as common};
use sealsum_log::LogError;

use crate::codes;

pub use rounds::{Fact, NewRound, StoredRound};
pub use tasks::{StoredGrant, StoredTask};

/// The database of one aggregator.
pub struct Store {
    connection: Mutex<Connection>,
}

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room.
    #[error("the disk is full")]
    DiskFull,
    /// Something is there already that excludes it.
    #[error("{0}")]
    Conflict(&'static str),
    /// Something is there with other contents.
    #[error("{0} is stored already, with other contents")]
    Different(&'static str),
    /// A newer program wrote this database.
    #[error("the database has schema {found}, this program knows up to {known}")]
    Newer {
        /// The version in the file.
        found: i64,
        /// The newest this program can read.
        known: i64,
    },
    /// A row that this program would not write.
    #[error("the database holds a {0} that cannot be read")]
    Corrupt(&'static str),
    /// The log was altered, or cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// SQLite failed.
    #[error("the database fails: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull,
            _ => StoreError::Sqlite(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull => disk_full("database"),
            StoreError::Log(error) => error.into(),
            StoreError::Conflict(why) => {
                Failure::new(common::CONFLICT, format!("database: {why}"), "look at what is there")
            }
            other => Failure::new(
                codes::STORAGE,
                format!("database: {other}"),
                "check the disk; the log of the aggregator says more",
            ),
        }
    }
}

/// The error for a full disk.
pub fn disk_full(what: &str) -> Failure {
    Failure::new(
        codes::DISK_FULL,
        format!("{what}: the disk of the aggregator is full"),
        "make room in its state directory; it goes on by itself",
    )
}

impl Store {
    /// Opens the database, making or upgrading its tables.
    ///
    /// # Errors
    /// When the file cannot be used, or a newer program wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        schema::migrate(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn read(&self) -> MutexGuard<'_, Connection> {
        // A panic inside a transaction rolled it back; the connection itself is sound.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in a transaction that holds the write lock from its beginning.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.read();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

/// How long another process (a backup) may hold the lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A 32-byte column.
fn hash_column(bytes: Vec<u8>, what: &'static str) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt(what))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A database of its own, in a directory that lives as long as the first value.
    pub(crate) fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("aggregator.db")).unwrap();
        (dir, store)
    }

    #[test]
    fn the_database_is_durable_and_survives_reopening() {
        let (dir, store) = store();
        let pragma = |name: &str| -> String {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            store.read().query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal");
        assert_eq!(pragma("synchronous"), "2");
        store.keep_status_list(1, b"list").unwrap();
        drop(store);
        let store = Store::open(&dir.path().join("aggregator.db")).unwrap();
        assert_eq!(store.status_list().unwrap().unwrap(), (1, b"list".to_vec()));
    }
}
