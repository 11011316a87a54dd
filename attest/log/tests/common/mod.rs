//! A log in a file of its own, served over a Unix socket as its program would.
#![allow(dead_code, unreachable_pub, reason = "each test target uses another part")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, TransactionBehavior};
use sealsum_attest::events::{Event, canonical};
use sealsum_attest::tlog::Hash;
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::note::NoteKey;
use sealsum_daemon::http::{Limits, UnixClient, UnixSocket, serve_unix};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::{Failure, Program};
use sealsum_log::export::{self, Source};
use sealsum_log::key::LogKey;
use sealsum_log::routes::{Keeper, Work, operator};
use sealsum_log::{LogError, SCHEMA, checkpoint, table};

pub const ORIGIN: &str = "demo/authority-log";
pub const NOW: i64 = 1_800_000_000;

/// A program that does nothing but keep a log.
pub struct Log {
    key: LogKey,
    connection: Mutex<Connection>,
}

impl Keeper for Log {
    fn in_transaction(&self, work: Work<'_>) -> Result<(), Failure> {
        Ok(self.write(|tx| work(tx))?)
    }

    fn log_key(&self) -> &LogKey {
        &self.key
    }
}

impl Log {
    pub fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        if tables == 0 {
            connection.execute_batch(SCHEMA).unwrap();
        }
        Self { key: key(7), connection: Mutex::new(connection) }
    }

    /// With entries 0 to `size`.
    pub fn filled(path: &Path, size: u64) -> Self {
        let log = Self::open(path);
        log.append("stolen", size);
        log
    }

    pub fn append(&self, reason: &str, count: u64) {
        self.write(|tx| {
            (0..count).try_for_each(|number| {
                let device = format!("{number:064x}");
                let event = Event::DeviceRevoked { device, reason: reason.into(), actor: 0 };
                table::append(tx, NOW, &event).map(drop)
            })
        })
        .unwrap();
    }

    /// A log of one entry that this program would not write there, hashed and signed all the same.
    pub fn of_stranger(path: &Path, entry: &[u8]) -> Self {
        let log = Self::open(path);
        log.write(|tx| {
            tx.execute("INSERT INTO log VALUES (0, ?1)", [entry])?;
            let leaf = Hash::of_leaf(entry).0;
            tx.execute("INSERT INTO log_hashes VALUES (0, 0, ?1)", [leaf])?;
            Ok(())
        })
        .unwrap();
        log
    }

    pub fn checkpoint(&self) -> SignedCheckpoint {
        self.write(|tx| checkpoint::current(tx, &self.key)).unwrap()
    }

    pub fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut connection = self.connection.lock().unwrap();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&tx)?;
        tx.commit()?;
        Ok(value)
    }
}

pub fn key(seed: u8) -> LogKey {
    LogKey::from_seed(ORIGIN, &[seed; 32]).unwrap()
}

pub fn verifier() -> NoteKey {
    key(7).verifier().clone()
}

/// Entries that do not belong at index 0: of another index, of another spelling, of no form.
pub fn strange_entries() -> [Vec<u8>; 3] {
    let event = Event::RoundAborted { round: "00".into(), code: "deadline".into() };
    let good = String::from_utf8(canonical(0, NOW, &event)).unwrap();
    [canonical(1, NOW, &event), good.replace(':', ": ").into_bytes(), b"{}".to_vec()]
}

/// Exports `log` through its routes, as the command does.
pub fn export(log: Log, out: &Path) -> SignedCheckpoint {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        let shutdown = Shutdown::new();
        let routes = operator(Arc::new(log));
        tokio::spawn(serve_unix(socket, routes, Limits::default(), shutdown.clone()));
        let source = Source::Running(UnixClient::new(Program::Authority, &path));
        let written = export::write(&source, out).await.unwrap();
        shutdown.trigger();
        written
    })
}

/// All files of an export, sorted.
pub fn files_of(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for inside in std::fs::read_dir(next).unwrap() {
            let path = inside.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
