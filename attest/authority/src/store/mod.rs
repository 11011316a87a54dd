//! The registry: one SQLite file, one writer, named transactions.
//!
//! WAL with `synchronous = FULL`: what was acknowledged survives a power cut. Every action that
//! the fleet must be able to audit writes its entry of [`crate::log`] in the same transaction, so
//! there is no action without an entry and no entry without an action.

pub(crate) mod baselines;
pub(crate) mod certificates;
pub(crate) mod devices;
pub(crate) mod evidence;
pub(crate) mod ledger_heads;
pub(crate) mod lineage;
pub(crate) mod policies;
pub(crate) mod status;
pub(crate) mod tokens;
pub(crate) mod withdrawn;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use sealsum_log::LogError;

pub use baselines::PendingRow;
pub use certificates::CertificateRow;
pub(crate) use devices::CLONED;
pub use devices::{Attestation, Counts, DeviceRecord, DeviceRow, EkFacts, KeyRecord, Revocation};
pub use evidence::Occasion;
pub use policies::PolicyRow;
pub use sealsum_attest::certificate::RoleKind;
pub use tokens::TokenRow;

/// Version of `schema.sql`, kept in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 3;

/// How long a second process (a backup, say) may hold the file before a transaction gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The file could not be read or written, or holds what this program never wrote.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("the registry: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file cannot be opened or created.
    #[error("the registry: {0}")]
    File(#[from] std::io::Error),
    /// The log that lies in the same file.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A stored value does not parse: the file was changed by something else.
    #[error("the registry holds an invalid {0}")]
    Corrupt(&'static str),
    /// Written by another version of this program.
    #[error("the registry has schema {found}, this program knows {SCHEMA_VERSION}")]
    Schema {
        /// What the file says.
        found: i64,
    },
}

/// The registry. Cheap to share behind an `Arc`; calls block, so keep them off async threads.
pub struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens `path`, creating the tables in a new file.
    ///
    /// # Errors
    /// [`StoreError`] if the file is not a registry of this version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path)?;
        Self::prepare(Connection::open(path)?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        create_tables(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Runs `body` as the transaction `name`: all of it happens, or nothing.
    ///
    /// # Errors
    /// Whatever `body` returns (its changes are rolled back), or [`StoreError`] from SQLite.
    pub fn write<T, E: From<StoreError>>(
        &self,
        name: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.lock();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| failed(name, error))?;
        let value = body(&transaction)?;
        transaction.commit().map_err(|error| failed(name, error))?;
        Ok(value)
    }

    /// Runs `body` on one consistent view of the registry.
    ///
    /// # Errors
    /// Whatever `body` returns, or [`StoreError`] from SQLite.
    pub fn read<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.lock();
        let view = connection.transaction().map_err(StoreError::from)?;
        body(&view)
    }

    /// A panic inside a transaction rolled it back, so the connection is still good.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Endorsement keys are lasting identifiers of devices: not for everybody's eyes. SQLite gives the
/// files beside it the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    Ok(())
}

/// SQLite has no unsigned 64-bit integers; a counter of ours never gets near either limit.
pub(crate) fn signed(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Corrupt("counter"))
}

pub(crate) fn unsigned(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt("counter"))
}

fn failed(name: &'static str, error: rusqlite::Error) -> StoreError {
    tracing::error!(transaction = name, %error, "transaction failed");
    StoreError::Sqlite(error)
}

fn create_tables(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        SCHEMA_VERSION => return Ok(()),
        0 if is_empty(&transaction)? => {}
        _ => return Err(StoreError::Schema { found }),
    }
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.execute_batch(sealsum_log::SCHEMA)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(transaction.commit()?)
}

fn is_empty(connection: &Connection) -> Result<bool, StoreError> {
    let table: Option<i64> =
        connection.query_row("SELECT 1 FROM sqlite_schema", [], |row| row.get(0)).optional()?;
    Ok(table.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_transaction_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("registry.db")).unwrap();
        let outcome: Result<(), StoreError> = store.write("test", |tx| {
            tx.execute("UPDATE status_number SET number = 9", [])?;
            Err(StoreError::Corrupt("test"))
        });
        assert!(outcome.is_err());
        let number = store.read(status::number).unwrap();
        assert_eq!(number, 1);
    }

    #[test]
    fn a_file_of_another_schema_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Schema { found: 7 })));
    }

    #[test]
    fn nobody_else_reads_the_registry() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let _store = Store::open(&directory.path().join("registry.db")).unwrap();
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        }
    }

    #[test]
    fn commits_are_durable() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("registry.db")).unwrap();
        let connection = store.lock();
        let mode: String =
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        let synchronous: i64 =
            connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!((mode.as_str(), synchronous), ("wal", 2));
    }
}
