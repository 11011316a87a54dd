//! Step 3: masked inputs arrive; whose is complete survives.

use super::{Members, Output, Record, Round, Stage, Step};
use crate::bitmap::Bitmap;
use crate::error::{AbortCode, Refusal, require_of};
use crate::guard::Guard;
use crate::ids::{DeviceId, Hash};
use crate::messages::{MaskedInput, SurvivorView, Survivors};
use crate::time::Now;

impl Members {
    /// A device is in A only if its tau verifies: one bad one would make its neighbours refuse.
    pub(super) fn masked(
        &mut self,
        from: DeviceId,
        message: MaskedInput,
        received_root: Hash,
    ) -> Result<(), Refusal> {
        let index = self.index_in(from, &self.shared)?;
        require_of(message.root == received_root, Guard::MaskedRoot, from, || {
            format!("the chunks hash to {received_root}")
        })?;
        let transcript = self.cohort.transcript.with_sharers(&self.shared);
        let string = transcript.masked_string(&message.root);
        let signed = self.cohort.entries[index].signing_key.verifies(&string, &message.signature);
        require_of(signed, Guard::MaskedSignature, from, || "over something else".into())?;
        self.masked[index] = Some(message);
        Ok(())
    }

    /// A, D, and what the device's neighbours in A signed.
    pub(super) fn survivors_for(&self, index: usize) -> Survivors {
        let view = |neighbour: usize| {
            let masked = self.masked[neighbour].as_ref()?;
            let (device, signature) = (neighbour as u16, masked.signature);
            Some(SurvivorView { device, root: masked.root, signature })
        };
        let neighbours = self.cohort.neighbours_in(index, &self.survivors);
        Survivors {
            survivors: self.survivors.clone(),
            lost: self.lost.clone(),
            views: neighbours.filter_map(view).collect(),
        }
    }

    /// Why the devices would refuse these survivors, if they would.
    fn too_few(&self, survivors: &Bitmap) -> Option<String> {
        let parameters = &self.cohort.parameters;
        let (count, a_min) = (survivors.count(), parameters.a_min);
        if count < a_min {
            return Some(format!("{count} masked inputs are complete, {a_min} are needed"));
        }
        let windows = self.cohort.graph.windows_hold(parameters, |index| survivors.contains(index));
        (!windows).then(|| format!("a window of {} has too few survivors", parameters.k / 2))
    }
}

impl Round {
    pub(super) fn close_mask(&mut self, now: Now) {
        let Some(members) = &mut self.members else { return };
        let n = members.cohort.size();
        let survivors = Bitmap::of(n, (0..n).filter(|index| members.masked[*index].is_some()));
        if let Some(message) = members.too_few(&survivors) {
            return self.abort(AbortCode::TooFewContributors, message, Vec::new(), now);
        }
        let lost = members.shared.without(&survivors);
        let transcript = members.cohort.transcript.with_sharers(&members.shared);
        members.alive_string = transcript.alive_string(&survivors, &lost);
        (members.survivors, members.lost) = (survivors.clone(), lost.clone());
        self.outputs.push_back(Output::Persist(Record::Survivors { survivors, lost }));
        self.outputs.push_back(Output::Publish(Stage::Survivors));
        self.enter(Step::Check, now);
    }
}
