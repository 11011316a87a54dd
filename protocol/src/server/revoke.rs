//! A device that is revoked within the round: no sum may contain its part.

use super::{Round, Step};
use crate::error::AbortCode;
use crate::guard::Guard;
use crate::ids::DeviceId;
use crate::time::Now;

impl Round {
    /// Until A is fixed the device becomes one that was lost. From then on A cannot change, so
    /// the round ends while nothing can be unmasked; once enough shares are revealed, the sum is
    /// out of the aggregator's hands and stays.
    pub(super) fn revoke(&mut self, device: DeviceId, now: Now) {
        if self.step >= Step::Recover || !self.revoked.insert(device) {
            return;
        }
        let Some(members) = &mut self.members else { return };
        let Some(index) = members.cohort.index_of(device) else { return };
        let contributes = members.survivors.contains(index);
        if self.step <= Step::Mask {
            members.masked[index] = None;
        }
        self.blame(device, Guard::Revoked);
        if contributes {
            let message = format!("contributor {device} was revoked before the sum was unmasked");
            self.abort(AbortCode::ContributorRevoked, message, vec![device], now);
        }
    }
}
