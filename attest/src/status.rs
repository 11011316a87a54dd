//! The status list: who is revoked, signed by the authority every minute.
//!
//! The aggregator polls it and attaches it to each roster; devices check it themselves. A verifier
//! demands the authority's signature and certificate, an age of at most [`MAX_AGE_S`], and a
//! number that never goes back.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::certificate::{CertificateError, FleetCa, Identity};
use crate::hex;
use crate::ids::{DeviceId, Fleet};
use crate::messages::Bytes;

/// Seconds between two lists.
pub const PERIOD_S: i64 = 60;

/// Oldest list that is still believed, in seconds.
pub const MAX_AGE_S: i64 = 300;

/// How far a list may seem to come from the future, in seconds: clocks differ.
pub const MAX_SKEW_S: i64 = 60;

/// Longest encoded list, in bytes: 10,000 devices with a certificate each, and room to spare.
pub const LIST_MAX: usize = 4 * 1024 * 1024;

/// Separates what is signed here from everything else that the authority's key signs.
const LABEL: &[u8] = b"sealsum/v1/status-list\0";

/// Who is revoked, as of `issued_at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusList {
    /// The fleet that it is about.
    pub fleet: Fleet,
    /// Counts the lists; a later one has a higher number.
    pub number: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When the next one is due.
    pub next_update: Timestamp,
    /// Devices that are out for good.
    pub revoked_devices: BTreeSet<DeviceId>,
    /// Serial numbers of certificates that are out before their end, lower-case hex of the DER.
    pub revoked_serials: BTreeSet<String>,
}

impl StatusList {
    /// Whether the holder of this certificate is out.
    pub fn revokes(&self, identity: &Identity) -> bool {
        identity.device().is_ok_and(|device| self.revoked_devices.contains(&device))
            || self.revoked_serials.contains(&hex::encode(&identity.serial))
    }

    /// Signs the list. `chain` is the authority's certificate chain, DER, leaf first; `sign` makes
    /// an ECDSA P-256 signature with SHA-256, r and s, by the leaf's key. Times are cut to whole
    /// seconds.
    ///
    /// # Errors
    /// Whatever `sign` fails with.
    pub fn sign<E>(
        mut self,
        chain: &[Vec<u8>],
        sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
    ) -> Result<Vec<u8>, E> {
        self.issued_at = whole_seconds(self.issued_at);
        self.next_update = whole_seconds(self.next_update);
        let list = serde_json::to_vec(&self).expect("plain data with string keys serialises");
        let signature = sign(&signed_bytes(&list))?;
        let signed = Signed {
            list: String::from_utf8(list).expect("JSON is UTF-8"),
            signature: Bytes(signature.to_vec()),
            chain: chain.iter().cloned().map(Bytes).collect(),
        };
        Ok(serde_json::to_vec(&signed).expect("plain data serialises"))
    }

    /// Verifies an encoded list at `now` against the pinned authority and the last number seen.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn verify(
        encoded: &[u8],
        ca: &FleetCa,
        now: Timestamp,
        last_number: Option<u64>,
    ) -> Result<Self, StatusError> {
        if encoded.len() > LIST_MAX {
            return Err(StatusError::Malformed("too long".into()));
        }
        let signed: Signed = parse(encoded)?;
        let authority = ca.verify(&chain(&signed), now)?;
        authority.authority()?;
        authority.public_key.verify(&signed_bytes(signed.list.as_bytes()), &signed.signature.0)?;
        let list: Self = parse(signed.list.as_bytes())?;
        if list.fleet != authority.fleet {
            return Err(StatusError::OtherFleet(list.fleet));
        }
        list.check_age(now)?;
        match last_number {
            Some(last) if list.number < last => {
                Err(StatusError::WentBack { number: list.number, last })
            }
            _ => Ok(list),
        }
    }

    fn check_age(&self, now: Timestamp) -> Result<(), StatusError> {
        let age = now.duration_since(self.issued_at);
        if age > SignedDuration::from_secs(MAX_AGE_S) {
            return Err(StatusError::TooOld(self.issued_at));
        }
        if age < SignedDuration::from_secs(-MAX_SKEW_S) {
            return Err(StatusError::FromTheFuture(self.issued_at));
        }
        Ok(())
    }
}

/// Why a status list is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StatusError {
    /// Not an encoded list.
    #[error("not a status list: {0}")]
    Malformed(String),
    /// Not by the authority.
    #[error("the status list is not by the authority: {0}")]
    Authority(#[from] CertificateError),
    /// About another fleet.
    #[error("the status list is of the fleet {0}")]
    OtherFleet(Fleet),
    /// Older than [`MAX_AGE_S`].
    #[error("the status list of {0} is too old")]
    TooOld(Timestamp),
    /// Younger than now by more than [`MAX_SKEW_S`]: one of the clocks is wrong.
    #[error("the status list of {0} comes from the future")]
    FromTheFuture(Timestamp),
    /// An older list than one seen before: somebody hides a revocation.
    #[error("the status list has the number {number}, but {last} was seen before")]
    WentBack {
        /// Its number.
        number: u64,
        /// The highest seen before.
        last: u64,
    },
}

/// The list as signed text, so that nothing depends on how JSON is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    list: String,
    signature: Bytes,
    chain: Vec<Bytes>,
}

fn chain(signed: &Signed) -> Vec<&[u8]> {
    signed.chain.iter().map(|der| der.0.as_slice()).collect()
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, StatusError> {
    serde_json::from_slice(json).map_err(|error| StatusError::Malformed(error.to_string()))
}

fn signed_bytes(list: &[u8]) -> Vec<u8> {
    [LABEL, list].concat()
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
