//! Step 2: shares are collected and forwarded, acknowledgements collected, and U2 fixed.

use super::deals::Unkept;
use super::{Members, Output, Record, Round, Stage, Step};
use crate::bitmap::Bitmap;
use crate::codec::Message;
use crate::error::{AbortCode, Refusal, require_of};
use crate::guard::Guard;
use crate::ids::DeviceId;
use crate::merkle::Tree;
use crate::messages::{InboundShares, ShareAck, SharedKeys, Sharers};
use crate::time::Now;

impl Members {
    pub(super) fn shares(&mut self, from: DeviceId, message: SharedKeys) -> Result<(), Refusal> {
        let index = self.index_of(from)?;
        let k = self.cohort.parameters.k;
        require_of(message.shares.len() == k, Guard::DealShape, from, || {
            format!("{} ciphertexts for {k} neighbours", message.shares.len())
        })?;
        let transcript = &self.cohort.transcript;
        let leaves = self.cohort.neighbours(index).zip(&message.shares);
        let leaves = leaves.map(|(holder, dealt)| transcript.deal_leaf(holder, dealt));
        let tree = Tree::new(leaves.collect());
        let string = transcript.deal_string(index, &message.self_mask_commitment, &tree.root());
        let signed = self.cohort.entries[index].signing_key.verifies(&string, &message.signature);
        require_of(signed, Guard::DealShape, from, || "not signed by its round key".into())?;
        self.keep_deal(index, &message, &tree).map_err(|Unkept| {
            Refusal::of(Guard::Late, from, "shares can no longer be kept in this round")
        })
    }

    /// What the neighbours dealt to one device; none if it cannot be read back.
    pub(super) fn inbound_shares(&self, holder: usize) -> Option<InboundShares> {
        let dealers = self.cohort.neighbours(holder).filter(|dealer| self.deals[*dealer].is_some());
        let inbound = |dealer: usize| {
            let place = self.cohort.neighbours(dealer).position(|index| index == holder)?;
            self.inbound(dealer, place)
        };
        Some(InboundShares { shares: dealers.map(inbound).collect::<Option<_>>()? })
    }

    pub(super) fn ack(&mut self, from: DeviceId, message: ShareAck) -> Result<(), Refusal> {
        let index = self.index_in(from, &self.dealers())?;
        let k = self.cohort.parameters.k;
        require_of(message.good.len() == k, Guard::AckShape, from, || {
            format!("{} bits for {k} neighbours", message.good.len())
        })?;
        self.acks[index] = Some(message.good);
        Ok(())
    }

    pub(super) fn dealers(&self) -> Bitmap {
        let n = self.cohort.size();
        Bitmap::of(n, (0..n).filter(|index| self.deals[*index].is_some()))
    }

    /// U2: the dealers, without those whose shares fewer than t members of U2 hold, or more than
    /// c call bad. Leaving one out takes its holdings with it, hence the repetition.
    fn fix_sharers(&self) -> Bitmap {
        let mut shared = self.dealers();
        loop {
            let kept = Bitmap::of(shared.len(), shared.iter().filter(|d| self.keeps(*d, &shared)));
            if kept == shared {
                return shared;
            }
            shared = kept;
        }
    }

    fn keeps(&self, dealer: usize, shared: &Bitmap) -> bool {
        let said = |holder: usize| {
            let ack = self.acks[holder].as_ref()?;
            let place = self.cohort.neighbours(holder).position(|index| index == dealer)?;
            Some((holder, ack.contains(place)))
        };
        let said: Vec<(usize, bool)> = self.cohort.neighbours(dealer).filter_map(said).collect();
        let holds = said.iter().filter(|(holder, good)| *good && shared.contains(*holder)).count();
        let bad = said.iter().filter(|(_, good)| !good).count();
        holds >= self.cohort.parameters.t && bad <= self.cohort.parameters.c_max
    }
}

impl Round {
    pub(super) fn close_share(&mut self, now: Now) {
        let Some(members) = &self.members else { return };
        let (dealers, a_min) = (members.dealers().count(), members.cohort.parameters.a_min);
        if dealers < a_min {
            let message = format!("{dealers} devices dealt shares, {a_min} are needed");
            return self.abort(AbortCode::TooFewDevices, message, Vec::new(), now);
        }
        self.outputs.push_back(Output::Publish(Stage::InboundShares));
        self.enter(Step::Acknowledge, now);
    }

    pub(super) fn close_acknowledge(&mut self, now: Now) {
        let Some(members) = &mut self.members else { return };
        let shared = members.fix_sharers();
        let (count, a_min) = (shared.count(), members.cohort.parameters.a_min);
        if count < a_min {
            let message = format!("{count} devices' shares are held, {a_min} are needed");
            return self.abort(AbortCode::TooFewDevices, message, Vec::new(), now);
        }
        members.sharers = Sharers { shared: shared.clone() }.to_bytes().into();
        members.shared = shared;
        let record = Record::Sharers(members.sharers.clone());
        self.outputs.push_back(Output::Persist(record));
        self.outputs.push_back(Output::Publish(Stage::Sharers));
        self.enter(Step::Mask, now);
    }
}
