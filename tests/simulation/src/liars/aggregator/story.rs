//! What a device is to believe.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::messages::{Sharers, Survivors};
use sealsum_protocol::server::Stage;

use super::Told;
use crate::ledger::device_of;
use crate::liars::known::Known;

/// U2, A and D for one device.
pub struct Story {
    /// U2.
    pub shared: Bitmap,
    /// A.
    pub survivors: Bitmap,
    /// D.
    pub lost: Bitmap,
}

impl Story {
    /// What the device was told before, what the honest part would tell it, or else what seems
    /// true.
    pub fn honest(known: &Known, cohort: &Cohort, asked: &Told, ready: Option<&[u8]>) -> Self {
        let n = cohort.size();
        let has = |device: &dyn Fn(usize) -> bool| {
            Bitmap::of(n, (0..n).filter(|index| device(device_of(&cohort.device(*index)))))
        };
        let told = |stage| known.told.get(&(asked.device, stage)).map(Vec::as_slice);
        let said = |stage| if asked.stage == stage { ready } else { told(stage) };
        let shared = said(Stage::Sharers)
            .and_then(|bytes| Sharers::from_bytes(bytes).ok())
            .map(|message| message.shared)
            .filter(|shared| shared.len() == n);
        let shared = shared.unwrap_or_else(|| has(&|device| known.deals.contains_key(&device)));
        let agreed = said(Stage::Survivors)
            .and_then(|bytes| Survivors::from_bytes(bytes).ok())
            .map(|message| (message.survivors, message.lost))
            .filter(|(survivors, lost)| survivors.len() == n && survivors.union(lost) == shared);
        let (survivors, lost) = agreed.unwrap_or_else(|| {
            let masked = has(&|device| known.masked.contains_key(&device));
            let survivors = Bitmap::of(n, masked.iter().filter(|index| shared.contains(*index)));
            let lost = shared.without(&survivors);
            (survivors, lost)
        });
        Self { shared, survivors, lost }
    }

    /// Calls these lost, and the rest of U2 survivors.
    pub fn lose(&mut self, lost: &[usize]) {
        let kept = self.survivors.iter().filter(|index| !lost.contains(index));
        self.survivors = Bitmap::of(self.shared.len(), kept);
        self.lost = self.shared.without(&self.survivors);
    }
}
