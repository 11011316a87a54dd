//! The policy of the fleet: a file under version control, checked as a whole, put in force as a
//! whole, and in the log whenever it changes.
//!
//! ```text
//!  policy.toml ── PolicySource::read ──► PolicySource ── policy() ──► EnrolmentPolicy
//!  (paths)         check, offline        (text, certificates)         judges
//!                                             │ apply: one transaction
//!                                        registry and log
//! ```

mod baselines;
mod file;
mod view;

use std::path::Path;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use rusqlite::Connection;
use sealsum_attest::events::Event;
use sealsum_attest::hex;
use sealsum_attest::policy::EnrolmentPolicy;
use sealsum_daemon::Failure;
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::failures::busy;
use crate::log;
use crate::store::{PolicyRow, StoreError, policies};

pub(crate) use baselines::note_refusal;
pub use baselines::{Awaiting, Baselines, BootState, baselines, toml_of};
pub use file::{PolicySource, certificates_at};
pub use view::{Anchor, Change, InForce, Judged, PolicyView, changes, notes};

/// What `policy apply` did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Applied {
    /// Whether the policy is another one than before.
    pub changed: bool,
    /// SHA-256 of the policy before.
    pub old_sha256: String,
    /// SHA-256 of the policy in force now.
    pub new_sha256: String,
    /// What changed.
    pub changes: Vec<Change>,
    /// Row of the log that records how the policy in force came about.
    pub log_index: u64,
}

/// Puts a policy in force for everything that is judged from now on. The same one again changes
/// nothing and is not logged.
///
/// # Errors
/// `config_unknown_key`, `config_invalid` or `file_format` if anything about it is wrong; then the
/// policy in force stays.
pub fn apply(
    authority: &Authority,
    source: PolicySource,
    actor: u32,
    now: Timestamp,
) -> Result<Applied, Failure> {
    let policy = source.policy(Path::new("policy"))?;
    // One change comes after the other.
    let _change = authority.policy_change.lock().unwrap_or_else(PoisonError::into_inner);
    let before = authority.policy();
    let log_index = authority
        .store
        .write("apply_policy", |tx| record(tx, &policy, source, Some(actor), now))?;
    let applied = Applied {
        changed: before.sha256() != policy.sha256(),
        old_sha256: hex::encode(before.sha256()),
        new_sha256: hex::encode(policy.sha256()),
        changes: changes(&PolicyView::of(&before), &PolicyView::of(&policy)),
        log_index,
    };
    // What is judged by the old one until here, [`demand_in_force`] lets nobody make a fact.
    *authority.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    tracing::info!(old = applied.old_sha256, new = applied.new_sha256, actor, "policy applied");
    Ok(applied)
}

/// Records the policy and its row of the log, unless it is in force already; returns the row.
pub(crate) fn record(
    tx: &Connection,
    policy: &EnrolmentPolicy,
    source: PolicySource,
    actor: Option<u32>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let before = policies::in_force(tx)?;
    if let Some(row) = before.as_ref().filter(|row| row.sha256 == *policy.sha256()) {
        return Ok(row.log_index);
    }
    let event = Event::PolicyChanged {
        old_sha256: before.map(|row| hex::encode(&row.sha256)),
        new_sha256: hex::encode(policy.sha256()),
        actor,
    };
    let log_index = log::append(tx, now.as_second(), &event)?;
    let (sha256, applied_at) = (*policy.sha256(), now.as_second());
    policies::insert(tx, &PolicyRow { sha256, applied_at, actor, source, log_index })?;
    Ok(log_index)
}

/// The policy that the registry says is in force. If this version of the program reads it another
/// way than the one that applied it, that is a change, and logged.
pub(crate) fn open(
    store: &crate::store::Store,
    now: Timestamp,
) -> Result<EnrolmentPolicy, Failure> {
    let row =
        store.read(policies::in_force)?.ok_or(StoreError::Corrupt("policy: there is none"))?;
    let policy = row.source.policy(Path::new("the policy in force"))?;
    store.write("open_policy", |tx| record(tx, &policy, row.source, None, now))?;
    Ok(policy)
}

/// Refuses to make a fact of a judgement by a policy that was replaced meanwhile.
pub(crate) fn demand_in_force(tx: &Connection, judged_by: &[u8; 32]) -> Result<(), Failure> {
    if policies::sha256_in_force(tx)?.as_ref() == Some(judged_by) {
        return Ok(());
    }
    Err(busy("the policy changed while this was judged"))
}

/// `policy show`.
///
/// # Errors
/// A [`Failure`] from the registry.
pub fn in_force(authority: &Authority) -> Result<InForce, Failure> {
    let row = authority
        .store
        .read(policies::in_force)?
        .ok_or(StoreError::Corrupt("policy: there is none"))?;
    InForce::of(row)
}

#[cfg(test)]
mod tests {
    use sealsum_daemon::codes;

    use super::*;
    use crate::store::Store;

    fn source(text: &str) -> PolicySource {
        PolicySource::new(text.to_owned(), Path::new("policy.toml")).unwrap()
    }

    fn put(store: &Store, text: &str) -> [u8; 32] {
        let source = source(text);
        let policy = source.policy(Path::new("policy.toml")).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        store.write("test", |tx| record(tx, &policy, source, Some(7), now)).unwrap();
        *policy.sha256()
    }

    #[test]
    fn what_a_replaced_policy_judged_becomes_no_fact() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("r.db")).unwrap();
        let old = put(&store, "");
        store.read(|view| demand_in_force(view, &old)).unwrap();
        let new = put(&store, "lifetime_s = 600");
        let refused = store.read(|view| demand_in_force(view, &old)).unwrap_err();
        assert_eq!(refused.code, codes::BUSY);
        store.read(|view| demand_in_force(view, &new)).unwrap();
    }

    #[test]
    fn a_policy_that_this_version_reads_another_way_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("r.db")).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        put(&store, "lifetime_s = 600");
        let size = || store.read(|view| Ok::<_, StoreError>(log::head(view)?)).unwrap().size;
        let before = size();
        open(&store, now).unwrap();
        assert_eq!(size(), before, "nothing changed");
        let row = PolicyRow { sha256: [1; 32], ..store.read(policies::in_force).unwrap().unwrap() };
        store.write("test", |tx| policies::insert(tx, &row)).unwrap();
        let policy = open(&store, now).unwrap();
        let in_force = store.read(policies::in_force).unwrap().unwrap();
        assert_eq!((in_force.sha256, in_force.actor), (*policy.sha256(), None));
        assert_eq!((size(), in_force.log_index), (before + 1, before));
    }
}
