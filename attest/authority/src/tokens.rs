//! Enrolment tokens: 256 random bits that open the door once; the evidence decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::refusals;
use sealsum_daemon::Failure;
use sealsum_daemon::codes;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::store::{RoleKind, Store, StoreError, TokenRow, tokens as rows};

/// Longest life of a token, in seconds: a week.
pub const TTL_MAX_S: i64 = 7 * 24 * 60 * 60;

/// Most enrolments one token lets through.
pub const USES_MAX: u32 = 100_000;

/// Draws a token: 32 random bytes as base64url.
///
/// # Errors
/// [`getrandom::Error`] without random bytes.
pub fn draw() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut())?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

/// What is stored and logged in place of a token.
#[must_use]
pub fn fingerprint(token: &str) -> [u8; 32] {
    Sha256::digest(token.trim().as_bytes()).into()
}

/// Looks up the token that a request of `role` shows, without using it up.
///
/// # Errors
/// `token_invalid` if it is unknown, used up, expired, of another role, or bound to another
/// endorsement key than `device`.
pub fn admit(
    store: &Store,
    now: i64,
    token: &str,
    role: RoleKind,
    device: Option<&DeviceId>,
) -> Result<TokenRow, Failure> {
    let shown = fingerprint(token);
    let row = store.read(|view| rows::find(view, &shown))?;
    // The index has found the row by its hash, which tells a guesser nothing about the token;
    // the comparison that decides takes the same time for every token.
    let row = row.filter(|row| bool::from(row.token_sha256.ct_eq(&shown)));
    let Some(row) = row else { return Err(refused("it is not known")) };
    if row.uses_left == 0 {
        return Err(refused("it has been used"));
    }
    if row.expires_at <= now {
        return Err(refused("it has expired"));
    }
    if row.role != role {
        return Err(refused(&format!("it is for the role {}", row.role.as_str())));
    }
    if row.ek_sha256.is_some() && row.ek_sha256.as_ref() != device {
        return Err(refused("it is bound to the endorsement key of another device"));
    }
    Ok(row)
}

/// Takes one use of an admitted token inside the transaction that issues.
///
/// # Errors
/// `token_invalid` if another enrolment took the last use meanwhile.
pub(crate) fn take(tx: &rusqlite::Connection, token: &TokenRow) -> Result<(), Failure> {
    if rows::take_use(tx, &token.token_sha256)? { Ok(()) } else { Err(refused("it has been used")) }
}

/// Stores a new token.
///
/// # Errors
/// [`StoreError`] from SQLite.
pub(crate) fn put(tx: &rusqlite::Connection, token: &TokenRow, now: i64) -> Result<(), StoreError> {
    rows::insert(tx, token, now)
}

fn refused(why: &str) -> Failure {
    Failure::new(
        codes::TOKEN_INVALID,
        format!("token: {why}"),
        "ask the operator for a new one (sealsum-authority token create)",
    )
    .with_check(refusals::NOT_ADMITTED.number.to_string())
}
