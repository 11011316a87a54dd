//! A policy as an operator sees it, and how two of them differ.

use jiff::Timestamp;
use sealsum_attest::endorsement::AnchorList;
use sealsum_attest::hex;
use sealsum_attest::policy::{EnrolmentPolicy, PolicyData};
use sealsum_daemon::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

use crate::store::{PolicyRow, StoreError};

/// A policy: its settings and whom it trusts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyView {
    /// Identifies it; as in the log and in attestation results.
    pub sha256: String,
    /// The settings, defaults included.
    pub settings: PolicyData,
    /// Who vouches for TPMs.
    pub tpm_roots: Vec<Anchor>,
    /// Intermediates that devices need not send.
    pub tpm_intermediates: Vec<Anchor>,
    /// Who vouches for software TPMs.
    pub software_tpm_roots: Vec<Anchor>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its subject.
    pub subject: String,
    /// SHA-256 of its DER.
    pub sha256: String,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Whether it may issue certificates; otherwise it vouches for nothing.
    pub is_authority: bool,
}

/// The policy in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InForce {
    /// What it says.
    pub policy: PolicyView,
    /// The file that was applied.
    pub source: String,
    /// Since when.
    pub applied_at: Timestamp,
    /// Unix user id of who applied it; null if the program came to read it another way.
    pub actor: Option<u32>,
    /// Row of the log that says so.
    pub log_index: u64,
}

/// `policy check`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judged {
    /// What the file says.
    pub policy: PolicyView,
    /// What is allowed and perhaps not meant.
    pub notes: Vec<String>,
    /// SHA-256 of the policy in force, if the authority runs.
    pub in_force: Option<String>,
    /// What the file would change in it.
    pub changes: Vec<Change>,
}

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key of the file.
    pub key: String,
    /// Its value before.
    pub before: Value,
    /// Its value then.
    pub after: Value,
}

impl PolicyView {
    /// What an operator sees of `policy`.
    #[must_use]
    pub fn of(policy: &EnrolmentPolicy) -> Self {
        let anchors = policy.anchors();
        Self {
            sha256: hex::encode(policy.sha256()),
            settings: policy.data().clone(),
            tpm_roots: certificates(anchors.roots()),
            tpm_intermediates: certificates(anchors.intermediates()),
            software_tpm_roots: certificates(anchors.software_roots()),
        }
    }

    /// Key by key, as in the file; certificates by subject and fingerprint.
    fn keys(&self) -> serde_json::Map<String, Value> {
        let mut keys = match serde_json::to_value(&self.settings) {
            Ok(Value::Object(keys)) => keys,
            _ => serde_json::Map::new(),
        };
        for (key, list) in [
            ("tpm_roots", &self.tpm_roots),
            ("tpm_intermediates", &self.tpm_intermediates),
            ("software_tpm_roots", &self.software_tpm_roots),
        ] {
            keys.insert(key.to_owned(), list.iter().map(Anchor::to_string).collect());
        }
        keys
    }
}

impl std::fmt::Display for Anchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}…)", self.subject, &self.sha256[..16])
    }
}

impl InForce {
    pub(super) fn of(row: PolicyRow) -> Result<Self, Failure> {
        let policy = row.source.policy(Path::new("the policy in force"))?;
        let applied_at =
            Timestamp::from_second(row.applied_at).map_err(|_| StoreError::Corrupt("time"))?;
        Ok(Self {
            policy: PolicyView::of(&policy),
            source: row.source.text,
            applied_at,
            actor: row.actor,
            log_index: row.log_index,
        })
    }
}

fn certificates(list: &AnchorList) -> Vec<Anchor> {
    let facts = list.facts().into_iter().map(|facts| Anchor {
        subject: facts.subject,
        sha256: facts.sha256,
        not_after: facts.not_after,
        is_authority: facts.is_authority,
    });
    facts.collect()
}

/// The keys of the file in which `after` differs from `before`.
#[must_use]
pub fn changes(before: &PolicyView, after: &PolicyView) -> Vec<Change> {
    let mut keys = before.keys();
    let pairs = after.keys().into_iter().map(|(key, after)| {
        let before = keys.remove(&key).unwrap_or(Value::Null);
        Change { key, before, after }
    });
    pairs.filter(|change| change.before != change.after).collect()
}

/// What is allowed and perhaps not meant.
#[must_use]
pub fn notes(policy: &PolicyView, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    if policy.tpm_roots.is_empty() && policy.software_tpm_roots.is_empty() {
        notes.push("nobody vouches for a TPM, so no device can enrol: tpm_roots".to_owned());
    }
    if !policy.software_tpm_roots.is_empty() {
        let why = "software TPMs may enrol, which prove nothing about hardware: software_tpm_roots";
        notes.push(why.to_owned());
    }
    let lists = [&policy.tpm_roots, &policy.tpm_intermediates, &policy.software_tpm_roots];
    for anchor in lists.into_iter().flatten() {
        if anchor.not_after < now {
            notes.push(format!("{anchor} has expired and vouches for nothing"));
        }
        if !anchor.is_authority {
            notes.push(format!("{anchor} is of no authority and vouches for nothing"));
        }
    }
    notes.dedup();
    notes
}
