//! The authority's log: every decision, an entry in the transaction of the action itself.
//!
//! The log is [`sealsum_log`]'s; here is what the authority reads back from it and shows of it.

use std::collections::BTreeSet;

use rusqlite::Connection;
use sealsum_attest::hex;
use sealsum_attest::inclusion::{MEMBERS_MAX, MembersProof, MembersRequest, Place};
use sealsum_daemon::{Failure, codes};
use sealsum_log::key::LogKey;
use sealsum_log::prove;
use sealsum_log::routes::{Keeper, Work};
pub use sealsum_log::table::{append, head};

use crate::authority::Authority;
use crate::store::{StoreError, certificates};

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
