//! Revocation at the CA behind the authority, so that its CRL and its OCSP responder say it too.
//!
//! Our own revocation counts, and never waits for this. What could not be passed on is tried again
//! until the certificate is over.

use jiff::Timestamp;
use sealsum_attest::hex;

use crate::authority::Authority;
use crate::ca::{CaError, Issued};
use crate::store::{StoreError, withdrawn};

/// Tells the CA which of its certificates we revoked and it has not heard of. Stops at the first
/// that it cannot take now.
///
/// # Errors
/// [`StoreError`].
pub fn pass_on(authority: &Authority, now: Timestamp) -> Result<(), StoreError> {
    let Some(ca) = authority.ca.external() else { return Ok(()) };
    let pending = authority.store.read(|view| withdrawn::pending(view, now.as_second()))?;
    for serial in pending {
        match ca.revoke(&serial) {
            Ok(()) => tracing::info!(serial = hex::encode(&serial), "revoked at the CA"),
            Err(CaError::Unavailable(why)) => {
                tracing::warn!(why, "revocations wait for the CA");
                return Ok(());
            }
            Err(error) => {
                let serial = hex::encode(&serial);
                tracing::error!(%error, serial, "the CA does not revoke; this fleet did");
                return Ok(());
            }
        }
        authority.store.write("withdrawn", |tx| withdrawn::done(tx, &serial))?;
    }
    Ok(())
}

/// A certificate that was signed and then not given to anybody, since it could not be recorded.
pub(crate) fn discard(authority: &Authority, issued: &Issued) {
    let Some(ca) = authority.ca.external() else { return };
    if let Err(error) = ca.revoke(&issued.serial) {
        let serial = hex::encode(&issued.serial);
        tracing::warn!(%error, serial, "a certificate that nobody got is not revoked at the CA");
    }
}
