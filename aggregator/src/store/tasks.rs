//! Tasks and grants, as their owner signed them.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use sealsum_protocol::ids::Hash;

use super::{Store, StoreError, hash_column};

/// A task as it was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTask {
    /// The task hash.
    pub sha256: Hash,
    /// Its name.
    pub name: String,
    /// Its version; the newest of a name is the one that rounds are run for.
    pub version: u32,
    /// The signed bytes.
    pub signed: Vec<u8>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// A grant as it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGrant {
    /// The task it is for.
    pub task: Hash,
    /// The round it is for.
    pub number: u64,
    /// The model that round starts from.
    pub model: Hash,
    /// The signed bytes.
    pub signed: Vec<u8>,
}

const COLUMNS: &str = "sha256, name, version, signed, created_at";

impl Store {
    /// Registers a task. Registering the very same again changes nothing.
    ///
    /// # Errors
    /// `Conflict` for another task of this name with the same or a higher version; `Different` for
    /// the same task under another signature.
    pub fn register_task(&self, task: &StoredTask) -> Result<(), StoreError> {
        self.write(|tx| {
            let known: Option<Vec<u8>> = tx
                .query_row("SELECT signed FROM tasks WHERE sha256 = ?1", [&task.sha256.0], |row| {
                    row.get(0)
                })
                .optional()?;
            match known {
                Some(known) if known == task.signed => return Ok(()),
                Some(_) => return Err(StoreError::Different("this task")),
                None => {}
            }
            let newest: Option<i64> = tx.query_row(
                "SELECT max(version) FROM tasks WHERE name = ?1",
                [&task.name],
                |row| row.get(0),
            )?;
            if newest.is_some_and(|newest| newest >= i64::from(task.version)) {
                return Err(StoreError::Conflict(
                    "a task of this name is registered with the same or a higher version",
                ));
            }
            tx.execute(
                "INSERT INTO tasks (sha256, name, version, signed, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    task.sha256.0,
                    task.name,
                    task.version,
                    task.signed,
                    task.created_at.to_string()
                ],
            )?;
            Ok(())
        })
    }

    /// The newest version of a task.
    ///
    /// # Errors
    /// When the database fails.
    pub fn task(&self, name: &str) -> Result<Option<StoredTask>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM tasks WHERE name = ?1 ORDER BY version DESC LIMIT 1");
        let row = self.read().query_row(&sql, [name], |row| Ok(task_of(row))).optional()?;
        row.transpose()
    }

    /// The task of this hash.
    ///
    /// # Errors
    /// When the database fails.
    pub fn task_version(&self, sha256: Hash) -> Result<Option<StoredTask>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM tasks WHERE sha256 = ?1");
        let row = self.read().query_row(&sql, [&sha256.0], |row| Ok(task_of(row))).optional()?;
        row.transpose()
    }

    /// The newest version of each task, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn tasks(&self) -> Result<Vec<StoredTask>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tasks AS t WHERE version =
                (SELECT max(version) FROM tasks WHERE name = t.name) ORDER BY name"
        );
        let connection = self.read();
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map([], |row| Ok(task_of(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Keeps a grant. The very same again changes nothing; another one for the same round is
    /// refused, since the owner would have allowed two models.
    ///
    /// # Errors
    /// `Different` for another grant of this round.
    pub fn keep_grant(&self, grant: &StoredGrant) -> Result<(), StoreError> {
        let number = to_column(grant.number)?;
        self.write(|tx| {
            tx.execute(
                "INSERT INTO grants (task, number, model, signed) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
                params![grant.task.0, number, grant.model.0, grant.signed],
            )?;
            let kept: Vec<u8> = tx.query_row(
                "SELECT signed FROM grants WHERE task = ?1 AND number = ?2",
                params![grant.task.0, number],
                |row| row.get(0),
            )?;
            if kept == grant.signed { Ok(()) } else { Err(StoreError::Different("a grant")) }
        })
    }
}

/// SQLite's integers are signed.
pub(super) fn to_column(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Conflict("a number is above 2^63"))
}

fn task_of(row: &Row<'_>) -> Result<StoredTask, StoreError> {
    let created_at: String = row.get(4)?;
    Ok(StoredTask {
        sha256: Hash(hash_column(row.get(0)?, "task hash")?),
        name: row.get(1)?,
        version: row.get(2)?,
        signed: row.get(3)?,
        created_at: created_at.parse().map_err(|_| StoreError::Corrupt("time"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::store;
    use super::*;

    fn task(version: u32, byte: u8) -> StoredTask {
        StoredTask {
            sha256: Hash([byte; 32]),
            name: "penguins".into(),
            version,
            signed: vec![byte],
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_newest_version_counts_and_none_goes_back() {
        let (_dir, store) = store();
        store.register_task(&task(1, 1)).unwrap();
        store.register_task(&task(1, 1)).unwrap();
        store.register_task(&task(3, 3)).unwrap();
        for older in [task(2, 2), task(3, 9), task(1, 8)] {
            assert!(matches!(store.register_task(&older), Err(StoreError::Conflict(_))));
        }
        let foreign = StoredTask { signed: vec![0], ..task(3, 3) };
        assert!(matches!(store.register_task(&foreign), Err(StoreError::Different(_))));
        assert_eq!(store.task("penguins").unwrap(), Some(task(3, 3)));
        assert_eq!(store.tasks().unwrap(), [task(3, 3)]);
        assert_eq!(store.task("other").unwrap(), None);
    }

    #[test]
    fn one_grant_for_a_round() {
        let (_dir, store) = store();
        store.register_task(&task(1, 1)).unwrap();
        let grant =
            StoredGrant { task: Hash([1; 32]), number: 7, model: Hash([2; 32]), signed: vec![1] };
        store.keep_grant(&grant).unwrap();
        store.keep_grant(&grant).unwrap();
        let other = StoredGrant { signed: vec![2], ..grant };
        assert!(matches!(store.keep_grant(&other), Err(StoreError::Different(_))));
    }
}
