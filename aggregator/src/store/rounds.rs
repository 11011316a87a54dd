//! Rounds: their record, and the facts that they fix before anybody is told.

use rusqlite::{OptionalExtension, Row, params};
use sealsum_daemon::time;
use sealsum_protocol::ids::{Hash, RoundId};

use super::tasks::to_column;
use super::{Store, StoreError, hash_column, log};
use crate::record::{RoundRecord, State};

/// A round about to start.
#[derive(Clone, Debug)]
pub struct NewRound<'a> {
    /// The task it is of.
    pub task: Hash,
    /// What devices will be shown.
    pub announcement: &'a [u8],
    /// The record as it begins.
    pub record: &'a RoundRecord,
}

/// A round of the past or the present.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRound {
    /// The task it is of.
    pub task: Hash,
    /// Its record.
    pub record: RoundRecord,
}

/// What a round fixes once and tells all devices alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// What devices are shown before they join.
    Announcement,
    /// Who takes part.
    Roster,
    /// U2: who shared.
    Sharers,
    /// (A, D): who survived.
    Survivors,
}

impl Fact {
    fn name(self) -> &'static str {
        match self {
            Fact::Announcement => "announcement",
            Fact::Roster => "roster",
            Fact::Sharers => "sharers",
            Fact::Survivors => "survivors",
        }
    }
}

impl Store {
    /// Begins a round, and logs it. From here on its number is used up.
    ///
    /// # Errors
    /// `Conflict` when the number is not above all earlier ones of the task, or a round of the
    /// task runs.
    pub fn begin_round(&self, new: &NewRound<'_>) -> Result<(), StoreError> {
        let record = new.record;
        let number = to_column(record.number)?;
        let json = to_json(record)?;
        self.write(|tx| {
            let running = tx
                .query_row(
                    "SELECT 1 FROM rounds WHERE name = ?1 AND state = 'running'",
                    [&record.task],
                    |_| Ok(()),
                )
                .optional()?;
            if running.is_some() {
                return Err(StoreError::Conflict("a round of this task runs already"));
            }
            let last: Option<i64> = tx.query_row(
                "SELECT max(number) FROM rounds WHERE task = ?1",
                [&new.task.0],
                |row| row.get(0),
            )?;
            if last.is_some_and(|last| last >= number) {
                return Err(StoreError::Conflict("this round number is used up"));
            }
            tx.execute(
                "INSERT INTO rounds (id, task, name, number, state, started_at, record)
                 VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6)",
                params![
                    record.round.0,
                    new.task.0,
                    record.task,
                    number,
                    record.started_at.to_string(),
                    json
                ],
            )?;
            tx.execute(
                "INSERT INTO facts (round, kind, bytes) VALUES (?1, ?2, ?3)",
                params![record.round.0, Fact::Announcement.name(), new.announcement],
            )?;
            Ok(log::opened(tx, record)?)
        })
    }

    /// Fixes a fact of a round and brings its record up to date, in one transaction. Fixing the
    /// same bytes again changes nothing.
    ///
    /// # Errors
    /// `Different` when other bytes were fixed before.
    pub fn fix_fact(
        &self,
        fact: Fact,
        bytes: &[u8],
        record: &RoundRecord,
    ) -> Result<(), StoreError> {
        let json = to_json(record)?;
        self.write(|tx| {
            let added = tx.execute(
                "INSERT INTO facts (round, kind, bytes) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
                params![record.round.0, fact.name(), bytes],
            )?;
            let fixed: Vec<u8> = tx.query_row(
                "SELECT bytes FROM facts WHERE round = ?1 AND kind = ?2",
                params![record.round.0, fact.name()],
                |row| row.get(0),
            )?;
            if fixed != bytes {
                return Err(StoreError::Different("a fact of this round"));
            }
            tx.execute(
                "UPDATE rounds SET record = ?2 WHERE id = ?1",
                params![record.round.0, json],
            )?;
            if fact == Fact::Roster && added == 1 {
                log::roster(tx, record, time::now_unix())?;
            }
            Ok(())
        })
    }

    /// A fact of a round.
    #[cfg(test)]
    fn fact(&self, round: RoundId, fact: Fact) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT bytes FROM facts WHERE round = ?1 AND kind = ?2";
        let found = self.read().query_row(sql, params![round.0, fact.name()], |row| row.get(0));
        Ok(found.optional()?)
    }

    /// Ends a round, once, and logs it: as finished with a result, or as aborted with a reason.
    ///
    /// # Errors
    /// `Conflict` when it has ended before.
    pub fn end_round(&self, record: &RoundRecord) -> Result<(), StoreError> {
        let json = to_json(record)?;
        let norm = record.result.as_ref().map(|result| result.norm);
        self.write(|tx| {
            let changed = tx.execute(
                "UPDATE rounds SET state = ?2, norm = ?3, record = ?4
                 WHERE id = ?1 AND state = 'running'",
                params![record.round.0, record.state.name(), norm, json],
            )?;
            if changed != 1 {
                return Err(StoreError::Conflict("this round is not running"));
            }
            Ok(log::ended(tx, record, time::now_unix())?)
        })
    }

    /// One round.
    ///
    /// # Errors
    /// When the database fails.
    pub fn round(&self, id: RoundId) -> Result<Option<StoredRound>, StoreError> {
        let sql = "SELECT task, record FROM rounds WHERE id = ?1";
        let row = self.read().query_row(sql, [&id.0], |row| Ok(round_of(row))).optional()?;
        row.transpose()
    }

    /// All rounds, of one task if one is named, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn rounds(&self, task: Option<&str>) -> Result<Vec<StoredRound>, StoreError> {
        let connection = self.read();
        let mut statement = connection.prepare(
            "SELECT task, record FROM rounds WHERE ?1 IS NULL OR name = ?1 ORDER BY rowid",
        )?;
        let rows = statement.query_map([task], |row| Ok(round_of(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Rounds marked as running: after a start, those that the last process left behind.
    ///
    /// # Errors
    /// When the database fails.
    pub fn running_rounds(&self) -> Result<Vec<StoredRound>, StoreError> {
        let connection = self.read();
        let mut statement =
            connection.prepare("SELECT task, record FROM rounds WHERE state = 'running'")?;
        let rows = statement.query_map([], |row| Ok(round_of(row)))?;
        rows.map(|row| row?).collect()
    }

    /// How many rounds are in `state`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count_rounds(&self, state: State) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM rounds WHERE state = ?1";
        let count: i64 = self.read().query_row(sql, [state.name()], |row| row.get(0))?;
        u64::try_from(count).map_err(|_| StoreError::Corrupt("count"))
    }

    /// The last round of a task by its hash, whatever became of it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn last_round(&self, task: Hash) -> Result<Option<StoredRound>, StoreError> {
        let sql = "SELECT task, record FROM rounds WHERE task = ?1 ORDER BY number DESC LIMIT 1";
        let row = self.read().query_row(sql, [&task.0], |row| Ok(round_of(row))).optional()?;
        row.transpose()
    }

    /// The norm of the newest result of a task.
    ///
    /// # Errors
    /// When the database fails.
    pub fn last_norm(&self, task: Hash) -> Result<Option<f64>, StoreError> {
        let sql = "SELECT norm FROM rounds WHERE task = ?1 AND state = 'finished'
                   ORDER BY number DESC LIMIT 1";
        Ok(self.read().query_row(sql, [&task.0], |row| row.get(0)).optional()?.flatten())
    }
}

fn round_of(row: &Row<'_>) -> Result<StoredRound, StoreError> {
    let record: String = row.get(1)?;
    Ok(StoredRound {
        task: Hash(hash_column(row.get(0)?, "task hash")?),
        record: serde_json::from_str(&record)
            .map_err(|_| StoreError::Corrupt("record of a round"))?,
    })
}

fn to_json(record: &RoundRecord) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|_| StoreError::Corrupt("record of a round"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::tests::store;
    use super::super::{StoreError, StoredTask};
    use super::*;
    use crate::record::tests::running_record;

    const TASK: Hash = Hash([1; 32]);

    fn begin(store: &Store, number: u64) -> Result<RoundRecord, StoreError> {
        let record = running_record(number);
        store.begin_round(&NewRound { task: TASK, announcement: b"a", record: &record })?;
        Ok(record)
    }

    fn store_with_task() -> (tempfile::TempDir, Store) {
        let (dir, store) = store();
        store
            .register_task(&StoredTask {
                sha256: TASK,
                name: "penguins".into(),
                version: 1,
                signed: Vec::new(),
                created_at: Timestamp::UNIX_EPOCH,
            })
            .unwrap();
        (dir, store)
    }

    #[test]
    fn one_round_of_a_task_at_a_time_and_no_number_twice() {
        let (_dir, store) = store_with_task();
        let mut first = begin(&store, 1).unwrap();
        assert!(matches!(begin(&store, 2), Err(StoreError::Conflict(_))));
        first.state = State::Aborted;
        store.end_round(&first).unwrap();
        assert!(matches!(begin(&store, 1), Err(StoreError::Conflict(_))));
        begin(&store, 2).unwrap();
        assert_eq!(store.running_rounds().unwrap().len(), 1);
        assert_eq!(store.last_round(TASK).unwrap().unwrap().record.number, 2);
        assert_eq!(store.rounds(Some("penguins")).unwrap().len(), 2);
        assert_eq!(store.rounds(Some("other")).unwrap().len(), 0);
        assert_eq!(store.count_rounds(State::Aborted).unwrap(), 1);
    }

    #[test]
    fn a_fact_is_fixed_once() {
        let (_dir, store) = store_with_task();
        let record = begin(&store, 1).unwrap();
        store.fix_fact(Fact::Sharers, b"U2", &record).unwrap();
        store.fix_fact(Fact::Sharers, b"U2", &record).unwrap();
        let other = store.fix_fact(Fact::Sharers, b"other", &record);
        assert!(matches!(other, Err(StoreError::Different(_))));
        assert_eq!(store.fact(record.round, Fact::Sharers).unwrap().unwrap(), b"U2");
        assert_eq!(store.fact(record.round, Fact::Roster).unwrap(), None);
        assert!(store.read().execute("UPDATE facts SET bytes = x'00'", []).is_err());
        assert!(store.read().execute("DELETE FROM facts", []).is_err());
    }

    #[test]
    fn a_round_ends_once() {
        let (_dir, store) = store_with_task();
        let mut record = begin(&store, 1).unwrap();
        record.state = State::Finished;
        store.end_round(&record).unwrap();
        record.state = State::Aborted;
        assert!(matches!(store.end_round(&record), Err(StoreError::Conflict(_))));
        assert_eq!(store.round(record.round).unwrap().unwrap().record.state, State::Finished);
        assert!(store.read().execute("UPDATE rounds SET record = ''", []).is_err());
    }
}
