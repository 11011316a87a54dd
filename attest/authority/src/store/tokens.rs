//! Rows of one-time tokens. A token itself is never stored, only its SHA-256.

use rusqlite::{Connection, OptionalExtension as _, params};
use sealsum_attest::ids::DeviceId;

use super::devices::id_of;
use super::{RoleKind, StoreError};

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// SHA-256 of the token.
    pub token_sha256: [u8; 32],
    /// Which kind of certificate it is good for.
    pub role: RoleKind,
    /// Unix seconds from which it is refused.
    pub expires_at: i64,
    /// How many more enrolments it lets through.
    pub uses_left: u32,
    /// Only the TPM whose endorsement key has this SHA-256 (the device id) may use it.
    pub ek_sha256: Option<DeviceId>,
    /// The name that whoever uses it gets.
    pub name: Option<String>,
}

pub(crate) fn insert(tx: &Connection, token: &TokenRow, now: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            token.token_sha256,
            token.role.as_str(),
            now,
            token.expires_at,
            token.uses_left,
            token.ek_sha256.as_ref().map(DeviceId::as_bytes),
            token.name
        ],
    )?;
    Ok(())
}

pub(crate) fn find(
    view: &Connection,
    token_sha256: &[u8; 32],
) -> Result<Option<TokenRow>, StoreError> {
    let row = view
        .query_row(
            "SELECT role, expires_at, uses_left, ek_sha256, name FROM tokens
             WHERE token_sha256 = ?1",
            [token_sha256],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get::<_, Option<Vec<u8>>>(3)?,
                    row.get(4)?,
                ))
            },
        )
        .optional()?;
    let Some((role, expires_at, uses_left, ek_sha256, name)) = row else { return Ok(None) };
    Ok(Some(TokenRow {
        token_sha256: *token_sha256,
        role: RoleKind::parse(&role).ok_or(StoreError::Corrupt("role"))?,
        expires_at,
        uses_left,
        ek_sha256: ek_sha256.map(id_of).transpose()?,
        name,
    }))
}

/// Takes one use. `false`: none was left, another enrolment was faster.
pub(crate) fn take_use(tx: &Connection, token_sha256: &[u8; 32]) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE tokens SET uses_left = uses_left - 1 WHERE token_sha256 = ?1 AND uses_left > 0",
        [token_sha256],
    )?;
    Ok(changed == 1)
}
