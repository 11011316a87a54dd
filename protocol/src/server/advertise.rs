//! Step 1: devices enter; the roster closes when enough are present, or at the deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::deals::InMemory;
use super::{Members, Output, Record, Round, Stage, Step};
use crate::client::roster::{check_entry_keys, check_member};
use crate::codec::Message;
use crate::cohort::Cohort;
use crate::error::{AbortCode, Refusal, require_of};
use crate::guard::Guard;
use crate::ids::DeviceId;
use crate::messages::{Advertise, Roster};
use crate::roster::{Entry, SignedEntry};
use crate::time::Now;

/// Who entered so far.
#[derive(Default)]
pub(super) struct Entering {
    /// With the number of the status list that each was verified against.
    entries: BTreeMap<DeviceId, (SignedEntry, u64)>,
    /// Each key and certificate in use.
    keys: BTreeSet<[u8; 32]>,
    status_list: Vec<u8>,
    /// How many lists came so far.
    lists: u64,
}

impl Round {
    pub(super) fn admit_status_list(&mut self, list: Vec<u8>, now: Now) -> Result<(), Refusal> {
        self.membership
            .admit_status_list(&list, now.unix_s)
            .map_err(|error| Refusal::new(error.guard(), error.to_string()))?;
        self.entering.status_list = list;
        self.entering.lists += 1;
        Ok(())
    }

    pub(super) fn advertise(
        &mut self,
        from: DeviceId,
        message: Advertise,
        now: Now,
    ) -> Result<(), Refusal> {
        let signed = message.signed;
        let entry = &signed.entry;
        require_of(entry.device == from, Guard::EntryForeign, from, || {
            "the entry names another device".into()
        })?;
        let most = self.spec.signed_task.task.max_devices as usize;
        require_of(self.entering.entries.len() < most, Guard::Late, from, || {
            format!("{most} devices have entered")
        })?;
        check_entry_keys(entry)?;
        let keys = keys(entry);
        let fresh = keys.iter().all(|key| !self.entering.keys.contains(key));
        let distinct = keys.iter().collect::<BTreeSet<_>>().len() == keys.len();
        require_of(fresh && distinct, Guard::DuplicateKey, from, || {
            "a key is in use already".into()
        })?;
        check_member(&signed, &self.spec.params_hash(), &*self.membership, now.unix_s)?;
        self.entering.keys.extend(keys);
        self.entering.entries.insert(from, (signed, self.entering.lists));
        Ok(())
    }

    /// Whether the devices present are as many as the task waits for.
    pub(super) fn enough_entered(&self) -> bool {
        let present = self.entering.entries.keys().filter(|device| !self.gone.contains(device));
        present.count() >= self.spec.signed_task.task.start_when as usize
    }

    pub(super) fn close_advertise(&mut self, now: Now) {
        let entries = self.present_entries(now);
        let task = &self.spec.signed_task.task;
        if entries.len() < task.min_contributors as usize {
            let message =
                format!("{} devices entered, {} are needed", entries.len(), task.min_contributors);
            return self.abort(AbortCode::TooFewDevices, message, Vec::new(), now);
        }
        let plain = entries.iter().map(|signed| signed.entry.clone()).collect();
        let cohort = match Cohort::new(&self.spec, plain, self.corrupt_fleet) {
            Ok(cohort) => cohort,
            Err(refusal) => {
                return self.abort(AbortCode::TooFewDevices, refusal.detail, Vec::new(), now);
            }
        };
        let status_list = std::mem::take(&mut self.entering.status_list);
        let roster: Arc<[u8]> = Roster { entries, status_list }.to_bytes().into();
        let deals = self.deals.take().unwrap_or_else(|| Box::<InMemory>::default());
        self.members = Some(Box::new(Members::new(cohort, roster.clone(), deals)));
        self.outputs.push_back(Output::Persist(Record::Roster(roster)));
        self.outputs.push_back(Output::Publish(Stage::Roster));
        self.enter(Step::Share, now);
    }

    /// Those who are still connected and still members, by device id.
    fn present_entries(&mut self, now: Now) -> Vec<SignedEntry> {
        let params_hash = self.spec.params_hash();
        let lists = self.entering.lists;
        let mut refused = Vec::new();
        let mut present = Vec::new();
        for (device, (signed, list)) in std::mem::take(&mut self.entering.entries) {
            if self.gone.contains(&device) {
                continue;
            }
            let verified = list == lists;
            let check = || check_member(&signed, &params_hash, &*self.membership, now.unix_s);
            match if verified { Ok(()) } else { check() } {
                Ok(()) => present.push(signed),
                Err(refusal) => refused.push((device, refusal.guard)),
            }
        }
        refused.into_iter().for_each(|(device, guard)| self.blame(device, guard));
        present
    }
}

fn keys(entry: &Entry) -> [[u8; 32]; 5] {
    [entry.mask_key, entry.channel_key, entry.signing_key.0, entry.static_key, entry.certificate.0]
}
