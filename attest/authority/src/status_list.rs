//! The signed list of who is revoked, made afresh for whoever asks.

use jiff::{SignedDuration, Timestamp};
use sealsum_attest::hex;
use sealsum_attest::status::{PERIOD_S, StatusList};
use sealsum_daemon::Failure;

use crate::authority::Authority;
use crate::issuance;
use crate::store::status;

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
