//! A device's own judgement of the others.

use sealsum_attest::certificate::FleetCa;
use sealsum_attest::status::StatusList;
use sealsum_protocol::membership::{Member, Membership, MembershipError, Voucher};

/// Whom the fleet's CA and the newest status list vouch for.
pub(super) struct Members {
    ca: FleetCa,
    list: Option<StatusList>,
}

impl Members {
    /// Nobody, until a status list comes.
    pub(super) fn of(ca: FleetCa) -> Self {
        Self { ca, list: None }
    }
}

fn timestamp(seconds: u64) -> Result<jiff::Timestamp, String> {
    let seconds = i64::try_from(seconds).map_err(|error| error.to_string())?;
    jiff::Timestamp::from_second(seconds).map_err(|error| error.to_string())
}

impl Membership for Members {
    fn admit_status_list(&mut self, list: &[u8], now_s: u64) -> Result<(), MembershipError> {
        let now = timestamp(now_s).map_err(MembershipError::StatusList)?;
        let verified = StatusList::verify(list, &self.ca, now, None);
        self.list = Some(verified.map_err(|e| MembershipError::StatusList(e.to_string()))?);
        Ok(())
    }

    fn verify(&self, voucher: &Voucher<'_>, now_s: u64) -> Result<Member, MembershipError> {
        let now = timestamp(now_s).map_err(MembershipError::Certificate)?;
        let wrong = |why: &dyn std::fmt::Display| MembershipError::Certificate(why.to_string());
        let identity = self.ca.verify(&[voucher.certificate], now).map_err(|e| wrong(&e))?;
        let list = self.list.as_ref();
        let list = list.ok_or_else(|| MembershipError::StatusList("there is none".to_owned()))?;
        if list.revokes(&identity) {
            return Err(MembershipError::Revoked);
        }
        identity
            .public_key
            .verify(voucher.statement, voucher.signature)
            .map_err(|_| MembershipError::Signature)?;
        let static_key = identity.x25519.ok_or_else(|| wrong(&"names no X25519 identity"))?;
        Ok(Member { static_key })
    }
}
