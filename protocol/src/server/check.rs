//! Step 4: survivors sign; a quorum of them is shown to all.

use super::{Members, Output, Round, Stage, Step};
use crate::codec::Message;
use crate::error::{AbortCode, Refusal, require_of};
use crate::guard::Guard;
use crate::ids::DeviceId;
use crate::messages::{ConsistencySignature, Quorum, QuorumSignature};
use crate::time::Now;

impl Members {
    pub(super) fn consistency(
        &mut self,
        from: DeviceId,
        message: &ConsistencySignature,
    ) -> Result<(), Refusal> {
        let index = self.index_in(from, &self.survivors)?;
        let key = &self.cohort.entries[index].signing_key;
        let signed = key.verifies(&self.alive_string, &message.signature);
        require_of(signed, Guard::AliveSignature, from, || "over something else".into())?;
        self.alive[index] = Some(message.signature);
        Ok(())
    }

    /// All that signed, not only Q: a device whose policy assumes more corrupt devices counts to a
    /// higher quorum.
    fn quorum(&self) -> Quorum {
        let signed = |(index, signature): (usize, &Option<_>)| {
            let (device, signature) = (index as u16, (*signature)?);
            Some(QuorumSignature { device, signature })
        };
        Quorum { signatures: self.alive.iter().enumerate().filter_map(signed).collect() }
    }
}

impl Round {
    pub(super) fn close_check(&mut self, now: Now) {
        let Some(members) = &mut self.members else { return };
        let quorum = members.quorum();
        let (signed, needed) = (quorum.signatures.len(), members.cohort.parameters.quorum);
        if signed < needed {
            let message = format!("{signed} survivors signed, {needed} are needed");
            return self.abort(AbortCode::NoConsensus, message, Vec::new(), now);
        }
        members.quorum = quorum.to_bytes().into();
        self.outputs.push_back(Output::Publish(Stage::Quorum));
        self.enter(Step::Unmask, now);
    }
}
