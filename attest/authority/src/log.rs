//! The authority's log: every decision, an entry in the transaction of the action itself.
//!
//! The log is [`sealsum_log`]'s; here is what the authority reads back from it and shows of it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _};
use sealsum_attest::hex;
use sealsum_attest::inclusion::{MEMBERS_MAX, MembersProof, MembersRequest, Place};
use sealsum_daemon::{Failure, codes};
use sealsum_log::key::LogKey;
use sealsum_log::prove;
use sealsum_log::routes::{Keeper, Work};
pub use sealsum_log::table::{append, head};

use crate::authority::Authority;
use crate::store::{StoreError, certificates};

/// By what evidence is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// SHA-256 of the policy.
    pub policy_sha256: String,
    /// SHA-256 over the installed TPM roots.
    pub tpm_roots_sha256: String,
}

/// The rules of the last `policy.changed` entry.
///
/// # Errors
/// [`StoreError`] if the table cannot be read.
pub fn last_rules(view: &Connection) -> Result<Option<Rules>, StoreError> {
    let rules = view.query_row(
        "SELECT json_extract(text, '$.new_sha256'), json_extract(text, '$.tpm_roots_sha256')
         FROM (SELECT position, CAST(entry AS TEXT) AS text FROM log)
         WHERE json_extract(text, '$.type') = 'policy.changed'
         ORDER BY position DESC LIMIT 1",
        [],
        |row| Ok(Rules { policy_sha256: row.get(0)?, tpm_roots_sha256: row.get(1)? }),
    );
    Ok(rules.optional()?)
}

impl Keeper for Authority {
    fn in_transaction(&self, work: Work<'_>) -> Result<(), Failure> {
        Ok(self.store.write("log", |tx| work(tx).map_err(StoreError::from))?)
    }

    fn log_key(&self) -> &LogKey {
        &self.log_key
    }
}

/// One proof that all these certificates are in the log.
///
/// # Errors
/// `body_invalid` for none, too many, one twice, or what is no hash; `not_found`, naming it, for a
/// certificate that was not issued here.
pub fn prove_members(
    authority: &Authority,
    MembersRequest { certificates }: &MembersRequest,
) -> Result<MembersProof, Failure> {
    let distinct: BTreeSet<_> = certificates.iter().collect();
    if distinct.len() != certificates.len() || !(1..=MEMBERS_MAX).contains(&distinct.len()) {
        let why = format!("request: not 1 to {MEMBERS_MAX} different certificates");
        return Err(Failure::new(codes::BODY_INVALID, why, "ask for each certificate once"));
    }
    authority.store.write("prove_members", |tx| {
        let places = certificates.iter().map(|sha256| place(tx, sha256));
        let places = places.collect::<Result<_, Failure>>()?;
        Ok(prove::members(tx, &authority.log_key, places)?)
    })
}

fn place(view: &Connection, sha256: &str) -> Result<Place, Failure> {
    let hash = hex::decode(sha256).ok_or_else(|| {
        let why = format!("request: {sha256:?} is no SHA-256 in lower-case hexadecimal");
        Failure::new(codes::BODY_INVALID, why, "64 digits each")
    })?;
    certificates::place(view, &hash)?.ok_or_else(|| {
        Failure::new(
            codes::NOT_FOUND,
            format!("certificate {sha256}: was not issued here"),
            "leave its holder out; this authority does not vouch for it",
        )
    })
}
