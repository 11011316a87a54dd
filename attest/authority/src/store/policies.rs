//! Rows of the policies that were put in force.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{StoreError, signed, unsigned};
use crate::policy::PolicySource;

/// A policy and how it came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// Identifies it.
    pub sha256: [u8; 32],
    /// Unix seconds.
    pub applied_at: i64,
    /// Unix user id of who applied it; none if the program came to read it another way.
    pub actor: Option<u32>,
    /// What was applied.
    pub source: PolicySource,
    /// Row of the change in the log.
    pub log_index: u64,
}

pub(crate) fn insert(tx: &Connection, row: &PolicyRow) -> Result<(), StoreError> {
    let source =
        serde_json::to_string(&row.source).map_err(|_| StoreError::Corrupt("policy source"))?;
    tx.execute(
        "INSERT INTO policies (sha256, applied_at, actor, source, log_index)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![row.sha256, row.applied_at, row.actor, source, signed(row.log_index)?],
    )?;
    Ok(())
}

/// The policy in force; none before the first.
pub(crate) fn in_force(view: &Connection) -> Result<Option<PolicyRow>, StoreError> {
    let row = view
        .query_row(
            "SELECT sha256, applied_at, actor, source, log_index FROM policies
             ORDER BY number DESC LIMIT 1",
            [],
            |row| {
                let source: String = row.get(3)?;
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, source, row.get::<_, i64>(4)?))
            },
        )
        .optional()?;
    let Some((sha256, applied_at, actor, source, log_index)) = row else { return Ok(None) };
    Ok(Some(PolicyRow {
        sha256,
        applied_at,
        actor,
        source: serde_json::from_str(&source).map_err(|_| StoreError::Corrupt("policy source"))?,
        log_index: unsigned(log_index)?,
    }))
}

/// Which policy is in force.
pub(crate) fn sha256_in_force(view: &Connection) -> Result<Option<[u8; 32]>, StoreError> {
    let sha256 = view
        .query_row("SELECT sha256 FROM policies ORDER BY number DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    Ok(sha256)
}
