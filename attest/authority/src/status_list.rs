//! The signed list of who is revoked, made afresh for whoever asks.

use jiff::{SignedDuration, Timestamp};
use sealsum_attest::hex;
use sealsum_attest::status::{PERIOD_S, StatusList};
use sealsum_daemon::Failure;
use sealsum_daemon::http::Peer;

use crate::authority::Authority;
use crate::client::Client;
use crate::store::status;
use crate::{issuance, lineage};

/// The current list for whoever asks. A certificate is not needed; one that is shown is in use,
/// which [`lineage`] wants to know.
///
/// # Errors
/// As [`signed`].
pub(crate) fn show(authority: &Authority, now: Timestamp, peer: &Peer) -> Result<Vec<u8>, Failure> {
    if peer.certificate().is_some() {
        let noted = Client::of(authority, peer)
            .and_then(|client| lineage::note_use(authority, now, &client));
        if let Err(why) = noted {
            tracing::debug!("{}", why.message);
        }
    }
    signed(authority, now)
}

/// The current list, encoded and signed.
///
/// # Errors
/// A [`Failure`] from the registry.
pub fn signed(authority: &Authority, now: Timestamp) -> Result<Vec<u8>, Failure> {
    issuance::end_replaced(authority, now)?;
    let (number, devices, serials) = authority.store.read(|view| {
        Ok::<_, Failure>((
            status::number(view)?,
            status::revoked_devices(view)?,
            status::revoked_serials(view, now.as_second())?,
        ))
    })?;
    let period = SignedDuration::from_secs(PERIOD_S);
    let list = StatusList {
        fleet: authority.config.fleet.clone(),
        number,
        issued_at: now,
        next_update: now.saturating_add(period).unwrap_or(now),
        revoked_devices: devices.into_iter().collect(),
        revoked_serials: serials.iter().map(|serial| hex::encode(serial)).collect(),
    };
    Ok(list.sign(&authority.own_chain(), |message| authority.sign(message))?)
}
