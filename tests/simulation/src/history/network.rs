//! Between devices and the aggregator: loss, delay, duplication, and absence.

use super::{Event, History, Request};
use crate::device::Want;
use crate::program::Answer;
use crate::world::Faults;

/// A message takes at least so long.
const LATENCY_MS: u64 = 5;
/// How long a device waits for the answer to what is answered at once.
const PATIENCE_MS: u64 = 1_000;
/// How long the aggregator holds a question back.
pub(super) const HOLD_MS: u64 = 4_000;
/// How long a device may be away before steps stop waiting for it.
const AWAY_MS: u64 = 3_000;

impl History {
    /// A device sends what it wants; what it asked before is not waited for any more.
    pub(super) fn send(&mut self, device: usize, want: Want) {
        self.requests += 1;
        let id = self.requests;
        self.devices[device].request = Some(id);
        let patience = match want {
            Want::Deliver(..) => PATIENCE_MS,
            Want::Open | Want::Ask(..) => HOLD_MS + PATIENCE_MS,
        };
        let left = self.devices[device].gives_up_ms().map(|at| at.saturating_sub(self.now_ms) + 1);
        self.after(patience.min(left.unwrap_or(patience)), Event::TimesOut(device, id));
        if self.happens_rarely("disconnected", device, self.world.faults.disconnected) {
            let absence = self.choices.below("absence", device, Faults::LONGEST_ABSENCE_MS);
            self.leaves_network(device, 500 + absence as u64);
        }
        if !self.devices[device].is_there(self.now_ms) {
            return;
        }
        let request = Request { id, device, want };
        if self.happens_rarely("request_lost", device, self.world.faults.request_lost) {
            return;
        }
        if self.happens_rarely("duplicated", device, self.world.faults.duplicated) {
            let latency = self.latency(device);
            self.after(latency, Event::Arrives(request.clone()));
        }
        let latency = self.latency(device);
        self.after(latency, Event::Arrives(request));
    }

    /// The aggregator answers.
    pub(super) fn reply(&mut self, request: &Request, answer: Answer) {
        let device = request.device;
        if self.happens_rarely("answer_lost", device, self.world.faults.answer_lost) {
            return;
        }
        let latency = self.latency(device);
        self.after(latency, Event::Answered(device, request.id, answer));
    }

    pub(super) fn leaves_network(&mut self, device: usize, for_ms: u64) {
        let until = self.now_ms + for_ms;
        let actor = &mut self.devices[device];
        actor.away_until_ms = actor.away_until_ms.max(until);
        self.after(AWAY_MS, Event::Away(device));
    }

    /// Whether a fault happens now; counts it if it does.
    pub(super) fn happens_rarely(
        &mut self,
        fault: &'static str,
        actor: usize,
        permille: u32,
    ) -> bool {
        // Without the fault in this world there is no choice, and nothing to record. A trace that
        // was made by hand, or shrunk, may still hold one.
        let happens = self.choices.chance(fault, actor, permille);
        if happens {
            self.tally.fault(fault);
        }
        happens
    }

    fn latency(&mut self, device: usize) -> u64 {
        if !self.happens_rarely("delayed", device, self.world.faults.delayed) {
            return LATENCY_MS;
        }
        LATENCY_MS + self.choices.below("delay", device, Faults::LONGEST_DELAY_MS) as u64
    }
}
