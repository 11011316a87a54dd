//! The protocol's question "is this device a member?", answered by certificates and status list.

use std::sync::Arc;

use jiff::Timestamp;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::membership::{Member, Membership, MembershipError, Voucher};

use crate::devices::Devices;

/// Judges roster entries as [`Devices`] judges connections.
#[derive(Clone)]
pub struct Members {
    devices: Arc<Devices>,
}

impl Members {
    /// Judges by what `devices` knows at each moment.
    pub fn new(devices: Arc<Devices>) -> Self {
        Self { devices }
    }
}

impl Membership for Members {
    fn admit_status_list(&mut self, list: &[u8], _: u64) -> Result<(), MembershipError> {
        let admitted = self.devices.admit(list.to_vec());
        admitted.map(|_| ()).map_err(|failure| MembershipError::StatusList(failure.message))
    }

    fn verify(&self, voucher: &Voucher<'_>, now_unix_s: u64) -> Result<Member, MembershipError> {
        let other = |why: &dyn std::fmt::Display| MembershipError::Certificate(why.to_string());
        let now = i64::try_from(now_unix_s).ok().and_then(|now| Timestamp::from_second(now).ok());
        let now = now.ok_or_else(|| other(&"the time is out of range"))?;
        let identity =
            self.devices.identity(voucher.certificate, now).map_err(|error| other(&error))?;
        let device = identity.device().map_err(|error| other(&error))?;
        if DeviceId(*device.as_bytes()) != voucher.device {
            return Err(other(&format_args!("it is of device {device}")));
        }
        if self.devices.revokes(&identity) {
            return Err(MembershipError::Revoked);
        }
        identity
            .public_key
            .verify(voucher.statement, voucher.signature)
            .map_err(|_| MembershipError::Signature)?;
        let static_key = identity.x25519.ok_or_else(|| other(&"it names no X25519 key"))?;
        Ok(Member { static_key })
    }
}
