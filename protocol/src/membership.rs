//! What the protocol asks of the outside: is this device a member, and is this entry its own?
//!
//! Certificates, P-256 signatures and the authority's status list are bytes to this crate. The
//! programs implement [`Membership`] over their certificate parser; tests have a double.

use crate::guard::Guard;
use crate::ids::DeviceId;

/// Verifies what TPMs and the authority signed.
pub trait Membership {
    /// Takes a status list that came with a roster: checks its signature and age and that its
    /// number is not below one seen before, and remembers it for [`Membership::verify`].
    ///
    /// # Errors
    /// [`MembershipError::StatusList`].
    fn admit_status_list(&mut self, list: &[u8], now_unix_s: u64) -> Result<(), MembershipError>;

    /// Checks that the certificate is this fleet's, of a device, of this device, within its dates
    /// and not revoked, and that its key signed the statement. Verified certificates may be cached
    /// by hash for their life; the signature is checked each time.
    ///
    /// # Errors
    /// The first check that failed.
    fn verify(&self, voucher: &Voucher<'_>, now_unix_s: u64) -> Result<Member, MembershipError>;
}

/// What a device shows to be let in.
#[derive(Debug, Clone, Copy)]
pub struct Voucher<'a> {
    /// Who it says it is.
    pub device: DeviceId,
    /// Its certificate, as sent.
    pub certificate: &'a [u8],
    /// What its TPM key signed.
    pub statement: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

/// What the certificate of a verified member says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The device's X25519 identity.
    pub static_key: [u8; 32],
}

/// Why a device is no member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The certificate is not one of this fleet, this role, this device or this time.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The device or the certificate is on the status list.
    #[error("revoked")]
    Revoked,
    /// The signature is not by the certificate's key over the statement.
    #[error("the signature on the entry is not by the device's key")]
    Signature,
    /// The status list is unsigned, old, or older than one seen before.
    #[error("status list: {0}")]
    StatusList(String),
}

impl MembershipError {
    /// The guard that this failure trips.
    pub fn guard(&self) -> Guard {
        match self {
            MembershipError::Certificate(_) => Guard::Certificate,
            MembershipError::Revoked => Guard::Revoked,
            MembershipError::Signature => Guard::EntrySignature,
            MembershipError::StatusList(_) => Guard::StatusList,
        }
    }
}
