//! The tables, and how an older database becomes a newer one.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// One entry per version; entry i turns version i into version i + 1.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE tasks (
        sha256     BLOB NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
        name       TEXT NOT NULL,
        version    INTEGER NOT NULL,
        signed     BLOB NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (name, version)
    ) STRICT;

    CREATE TABLE grants (
        task   BLOB NOT NULL REFERENCES tasks (sha256),
        number INTEGER NOT NULL,
        model  BLOB NOT NULL CHECK (length(model) = 32),
        signed BLOB NOT NULL,
        PRIMARY KEY (task, number)
    ) STRICT;

    CREATE TABLE rounds (
        id         BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
        task       BLOB NOT NULL REFERENCES tasks (sha256),
        name       TEXT NOT NULL,
        number     INTEGER NOT NULL,
        state      TEXT NOT NULL CHECK (state IN ('running', 'finished', 'aborted')),
        started_at TEXT NOT NULL,
        norm       REAL,
        record     TEXT NOT NULL,
        UNIQUE (task, number)
    ) STRICT;
    CREATE UNIQUE INDEX one_running_round_per_task ON rounds (name) WHERE state = 'running';

    -- What a round fixed before it told anybody: rows are written once and never change.
    CREATE TABLE facts (
        round BLOB NOT NULL REFERENCES rounds (id),
        kind  TEXT NOT NULL CHECK (kind IN ('announcement', 'roster', 'sharers', 'survivors')),
        bytes BLOB NOT NULL,
        PRIMARY KEY (round, kind)
    ) STRICT;
    CREATE TRIGGER facts_never_change BEFORE UPDATE ON facts
        BEGIN SELECT RAISE(ABORT, 'facts never change'); END;
    CREATE TRIGGER facts_never_go BEFORE DELETE ON facts
        BEGIN SELECT RAISE(ABORT, 'facts never go'); END;
    CREATE TRIGGER ended_rounds_never_change BEFORE UPDATE ON rounds WHEN OLD.state <> 'running'
        BEGIN SELECT RAISE(ABORT, 'ended rounds never change'); END;

    -- The newest status list of the authority, so that its number never goes back.
    CREATE TABLE status_list (
        only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
        number   INTEGER NOT NULL,
        bytes    BLOB NOT NULL
    ) STRICT;
",
    sealsum_log::SCHEMA,
];

/// Brings the database to the newest version.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as i64;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let done = usize::try_from(found).map_err(|_| StoreError::Corrupt("schema version"))?;
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(migrate(&mut connection), Err(StoreError::Newer { found: 99, .. })));
    }
}
