//! Whether a roster is good: for one device, or for all of one host.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::advertise::Advertised;
use crate::cohort::Cohort;
use crate::error::{Error, Refusal, require, require_of};
use crate::exchange;
use crate::guard::Guard;
use crate::ids::Hash;
use crate::membership::{Membership, Voucher};
use crate::messages::Roster;
use crate::roster::{Entry, SignedEntry};
use crate::time::Now;

/// A roster that was found good in one round, with what follows from it. Only [`Self::new`] makes
/// one; copies share it.
#[derive(Clone)]
pub struct VerifiedRoster {
    cohort: Arc<Cohort>,
    /// Of the entries, by index; their certificates are those that the entries name.
    signatures: Arc<[Vec<u8>]>,
    corrupt_fleet: u32,
}

impl VerifiedRoster {
    /// Verifies every member, and computes the cohort.
    ///
    /// # Errors
    /// The guard that refused; the aggregator is at fault unless a culprit is named.
    pub fn new(
        round: &Advertised,
        roster: &Roster,
        membership: &mut dyn Membership,
        now: Now,
    ) -> Result<Self, Refusal> {
        check_roster(round, &roster.entries)?;
        check_members(round, roster, membership, now)?;
        let entries: Vec<Entry> =
            roster.entries.iter().map(|signed| signed.entry.clone()).collect();
        let cohort = Arc::new(Cohort::new(&round.spec, entries, round.corrupt_fleet)?);
        let signatures = roster.entries.iter().map(|signed| signed.signature.clone()).collect();
        Ok(Self { cohort, signatures, corrupt_fleet: round.corrupt_fleet })
    }

    /// The cohort.
    pub(super) fn cohort(&self) -> Arc<Cohort> {
        Arc::clone(&self.cohort)
    }

    /// The place of a device, whose entry must be there as it was sent.
    pub(super) fn place_of(&self, device: &Advertised) -> Result<usize, Error> {
        let verified_for = (self.cohort.transcript.params_hash, self.corrupt_fleet);
        if verified_for != (device.spec.params_hash(), device.corrupt_fleet) {
            return Err(Error::Misuse("a roster that was verified for another round"));
        }
        let own = &device.own;
        let place = self.cohort.index_of(own.entry.device).ok_or_else(own_entry_missing)?;
        check_own(&self.cohort.entries[place], &self.signatures[place], own)?;
        Ok(place)
    }
}

fn own_entry_missing() -> Refusal {
    Refusal::new(Guard::OwnEntry, "it is missing")
}

/// A device's own entry and its signature in the roster must be those that it sent. The certificate
/// is the one that the entry names.
fn check_own(entry: &Entry, signature: &[u8], own: &SignedEntry) -> Result<(), Refusal> {
    let same = *entry == own.entry && signature == own.signature;
    require(same, Guard::OwnEntry, || "it is altered".into())
}

/// What can be checked without certificates.
fn check_roster(round: &Advertised, entries: &[SignedEntry]) -> Result<(), Refusal> {
    let ordered = entries.is_sorted_by(|a, b| a.entry.device < b.entry.device);
    require(ordered, Guard::RosterEncoding, || "device ids do not strictly increase".into())?;
    let own = entries.iter().find(|signed| signed.entry.device == round.own.entry.device);
    let own = own.ok_or_else(own_entry_missing)?;
    check_own(&own.entry, &own.signature, &round.own)?;
    let task = &round.spec.signed_task.task;
    let size = task.min_contributors as usize..=task.max_devices as usize;
    require(size.contains(&entries.len()), Guard::CohortSize, || {
        format!("{} devices, the task takes {} to {}", entries.len(), size.start(), size.end())
    })?;
    check_keys(entries)
}

/// Keys are sound and no two are equal, of any kind.
fn check_keys(entries: &[SignedEntry]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for SignedEntry { entry, .. } in entries {
        check_entry_keys(entry)?;
        let keys = [
            entry.mask_key,
            entry.channel_key,
            entry.signing_key.0,
            entry.static_key,
            entry.certificate.0,
        ];
        for key in keys {
            require_of(seen.insert(key), Guard::DuplicateKey, entry.device, || {
                "a key or certificate occurs twice".into()
            })?;
        }
    }
    Ok(())
}

/// Refuses an entry with a key that is not canonical or of low order; both ends check.
pub(crate) fn check_entry_keys(entry: &Entry) -> Result<(), Refusal> {
    let sound = [&entry.mask_key, &entry.channel_key, &entry.static_key]
        .into_iter()
        .all(exchange::is_sound)
        && entry.signing_key.is_sound();
    require_of(sound, Guard::BadKey, entry.device, || "not canonical, or of low order".into())
}

/// The authority's list first, then each entry against it. Everybody is verified, not only
/// neighbours: the sizes of sets and the windows of the ring count all.
fn check_members(
    round: &Advertised,
    roster: &Roster,
    membership: &mut dyn Membership,
    now: Now,
) -> Result<(), Refusal> {
    membership
        .admit_status_list(&roster.status_list, now.unix_s)
        .map_err(|error| Refusal::new(error.guard(), error.to_string()))?;
    let params_hash = round.spec.params_hash();
    roster
        .entries
        .iter()
        .try_for_each(|signed| check_member(signed, &params_hash, membership, now.unix_s))
}

/// Refuses an entry that its certificate does not carry; both ends check.
pub(crate) fn check_member(
    signed: &SignedEntry,
    params_hash: &Hash,
    membership: &dyn Membership,
    now_unix_s: u64,
) -> Result<(), Refusal> {
    let entry = &signed.entry;
    let named = Hash(Sha256::digest(&signed.certificate).into()) == entry.certificate;
    require_of(named, Guard::Certificate, entry.device, || "not the one the entry names".into())?;
    let voucher = Voucher {
        device: entry.device,
        certificate: &signed.certificate,
        statement: &entry.statement(params_hash),
        signature: &signed.signature,
    };
    let member = membership
        .verify(&voucher, now_unix_s)
        .map_err(|error| Refusal::of(error.guard(), entry.device, error.to_string()))?;
    require_of(member.static_key == entry.static_key, Guard::Certificate, entry.device, || {
        "names another X25519 identity".into()
    })
}
