//! The newest status list that was verified.

use rusqlite::{OptionalExtension, params};

use super::tasks::to_column;
use super::{Store, StoreError};

impl Store {
    /// Keeps a verified list; a list with a lower number than the kept one is refused.
    ///
    /// # Errors
    /// `Conflict` when the number goes back.
    pub fn keep_status_list(&self, number: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let number = to_column(number)?;
        self.write(|tx| {
            let kept: Option<i64> =
                tx.query_row("SELECT number FROM status_list", [], |row| row.get(0)).optional()?;
            if kept.is_some_and(|kept| kept > number) {
                return Err(StoreError::Conflict("the status list is older than the last one"));
            }
            tx.execute(
                "INSERT INTO status_list (only_row, number, bytes) VALUES (1, ?1, ?2)
                 ON CONFLICT DO UPDATE SET number = ?1, bytes = ?2",
                params![number, bytes],
            )?;
            Ok(())
        })
    }

    /// The number and the bytes of the kept list.
    ///
    /// # Errors
    /// When the database fails.
    pub fn status_list(&self) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let sql = "SELECT number, bytes FROM status_list";
        let kept: Option<(i64, Vec<u8>)> =
            self.read().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let number = |number| u64::try_from(number).map_err(|_| StoreError::Corrupt("number"));
        kept.map(|(kept, bytes)| Ok((number(kept)?, bytes))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::store;
    use super::*;

    #[test]
    fn the_number_never_goes_back() {
        let (_dir, store) = store();
        assert_eq!(store.status_list().unwrap(), None);
        store.keep_status_list(5, b"five").unwrap();
        store.keep_status_list(5, b"five again").unwrap();
        assert!(matches!(store.keep_status_list(4, b"four"), Err(StoreError::Conflict(_))));
        assert_eq!(store.status_list().unwrap().unwrap(), (5, b"five again".to_vec()));
    }
}
