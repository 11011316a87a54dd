//! What devices do.

use sealsum_protocol::codec::Message;
use sealsum_protocol::error::Refusal;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::Announcement;
use sealsum_protocol::server::Stage;
use sealsum_protocol::task::RoundSpec;
use sealsum_test_fleet::Said;

use super::{Event, History, moment};
use crate::device::Want;
use crate::program::Answer;
use crate::tally::Tally;
use crate::world::Faults;

/// Between two looks at a round that a device cannot enter.
const LOOK_AGAIN_MS: u64 = 1_000;
/// Between two tries of a request.
const TRY_AGAIN_MS: u64 = 200;
/// After its last deadline a device has so long to notice.
const SLACK_MS: u64 = 500;
/// A wall clock is set by up to so much, either way.
const CLOCK_STEP_S: usize = 2_000_000;

impl History {
    /// A device asks or sends what it wants next.
    pub(super) fn goes_on(&mut self, device: usize) {
        if !self.devices[device].is_there(self.now_ms) && self.devices[device].playing.is_none() {
            // It starts again, or finds its network, and then goes on.
            let back = self.devices[device].away_until_ms;
            if back < u64::MAX {
                self.queue.plan(back, Event::GoesOn(device));
            }
            return;
        }
        let late = self.devices[device].gives_up_ms().is_some_and(|limit| self.now_ms > limit);
        match self.devices[device].wants() {
            Some(want) if !late => self.send(device, want),
            _ => self.leaves_round(device),
        }
    }

    fn leaves_round(&mut self, device: usize) {
        self.devices[device].leave();
        self.after(TRY_AGAIN_MS, Event::GoesOn(device));
    }

    pub(super) fn times_out(&mut self, device: usize, id: u64) {
        if self.devices[device].request == Some(id) {
            self.devices[device].request = None;
            self.after(TRY_AGAIN_MS, Event::GoesOn(device));
        }
    }

    /// An answer arrives; one to a request that the device gave up is not heard.
    pub(super) fn answered(&mut self, device: usize, id: u64, answer: Answer) {
        let actor = &mut self.devices[device];
        if actor.request != Some(id) || !actor.is_there(self.now_ms) {
            return;
        }
        actor.request = None;
        let Some(want) = actor.wants() else { return self.leaves_round(device) };
        match (want, answer) {
            (Want::Open, Answer::Ready(bytes)) => self.considers(device, &bytes),
            (Want::Open, Answer::Refused(_)) => self.after(LOOK_AGAIN_MS, Event::GoesOn(device)),
            (Want::Open, _) => self.goes_on(device),
            (Want::Deliver(..), Answer::Taken) => self.is_taken(device),
            (Want::Deliver(..), Answer::Refused(_)) if !self.world.is_honest(device) => {
                self.is_taken(device);
            }
            (Want::Ask(_, stage), Answer::Ready(bytes)) => self.hears(device, stage, &bytes),
            (Want::Ask(..) | Want::Deliver(..), Answer::NotYet) => self.goes_on(device),
            _ => self.leaves_round(device),
        }
    }

    fn is_taken(&mut self, device: usize) {
        if let Some(playing) = &mut self.devices[device].playing {
            playing.outbox.pop_front();
        }
        self.goes_on(device);
    }

    /// Looks at the rounds that are open to it, and enters the first.
    fn considers(&mut self, device: usize, bytes: &[u8]) {
        let announced = Announcement::from_bytes(bytes).map_or(Vec::new(), |a| a.rounds);
        let entered = announced.into_iter().next().is_some_and(|spec| self.enters(device, spec));
        if entered {
            self.goes_on(device);
        } else {
            self.after(LOOK_AGAIN_MS, Event::GoesOn(device));
        }
    }

    fn enters(&mut self, device: usize, spec: RoundSpec) -> bool {
        self.clock_may_step(device);
        if let Err(refusal) = self.devices[device].enter(&self.world, &spec, self.now_ms) {
            self.note_refusal(refusal.guard);
            return false;
        }
        let view = self.ledger.enters(device, self.world.is_honest(device), spec);
        let actor = &mut self.devices[device];
        let done = actor.ends_ms().unwrap_or(0) + SLACK_MS;
        self.colluders.enters(actor.index, || actor.last_entry_rng(&self.world));
        if let Some(playing) = &mut actor.playing {
            playing.view = view;
            let said: Vec<Said> = playing.outbox.drain(..).collect();
            self.queue.plan(done, Event::DeviceIsDone(device, view));
            self.says(device, None, &[], said);
        }
        true
    }

    /// What the aggregator answered is heard, and what follows is to be said.
    fn hears(&mut self, device: usize, stage: Stage, bytes: &[u8]) {
        self.clock_may_step(device);
        match self.hear(device, stage, bytes) {
            Ok(said) => {
                self.says(device, Some(stage), bytes, said);
                self.goes_on(device);
            }
            Err(refusal) => {
                self.refuses(device, &refusal);
                self.leaves_round(device);
            }
        }
    }

    /// What nobody asked for is heard by the same client.
    pub(super) fn pushed(&mut self, device: usize, stage: Stage, bytes: &[u8]) {
        if !self.devices[device].is_there(self.now_ms) || self.devices[device].playing.is_none() {
            return;
        }
        match self.hear(device, stage, bytes) {
            Ok(said) if said.is_empty() => {}
            Ok(said) => self.says(device, Some(stage), bytes, said),
            Err(refusal) => self.refuses(device, &refusal),
        }
    }

    fn hear(&mut self, device: usize, stage: Stage, bytes: &[u8]) -> Result<Vec<Said>, Refusal> {
        let now = self.devices[device].now(self.now_ms);
        let Some(playing) = &mut self.devices[device].playing else { return Ok(Vec::new()) };
        playing.wire.hear(stage, bytes, now)
    }

    fn refuses(&mut self, device: usize, refusal: &Refusal) {
        self.note_refusal(refusal.guard);
        if let Some(playing) = &mut self.devices[device].playing {
            playing.outbox.clear();
            self.ledger.refuses(playing.view, refusal.guard, refusal.detail.clone());
        }
    }

    fn note_refusal(&mut self, guard: Guard) {
        Tally::count(&mut self.tally.device_refusals, guard.name());
    }

    /// The device is about to send `said`, unless it is lost just before.
    fn says(&mut self, device: usize, stage: Option<Stage>, heard: &[u8], said: Vec<Said>) {
        let Some(playing) = &self.devices[device].playing else { return };
        let (view, round) = (playing.view, playing.round);
        self.ledger.says(view, stage, heard, &said);
        if self.is_lost_before(device, round, &said) {
            return self.is_lost(device, u64::MAX);
        }
        let crash = self.world.faults.device_crash;
        if self.happens_rarely("device_crash", device, crash) {
            let down = self.choices.below("downtime", device, Faults::LONGEST_ABSENCE_MS);
            return self.is_lost(device, self.now_ms + 100 + down as u64);
        }
        let said = self.distorted(device, view, stage, heard, said);
        if let Some(playing) = &mut self.devices[device].playing {
            playing.outbox.extend(said);
        }
    }

    fn is_lost_before(&self, device: usize, round: u64, said: &[Said]) -> bool {
        let next = said.iter().find_map(moment);
        self.world
            .losses
            .iter()
            .any(|loss| loss.device == device && loss.round == round && Some(loss.before) == next)
    }

    /// Power is cut: what was in memory is gone.
    fn is_lost(&mut self, device: usize, until_ms: u64) {
        self.devices[device].leave();
        self.leaves_network(device, until_ms - self.now_ms);
        if until_ms < u64::MAX {
            self.queue.plan(until_ms, Event::DeviceStarts(device));
        }
    }

    pub(super) fn device_starts(&mut self, device: usize) {
        self.devices[device].away_until_ms = self.now_ms;
        self.goes_on(device);
    }

    fn clock_may_step(&mut self, device: usize) {
        if self.happens_rarely("clock_step", device, self.world.faults.clock_step) {
            let step = self.choices.below("clock_error", device, CLOCK_STEP_S);
            self.devices[device].clock_error_s = step as i64 - CLOCK_STEP_S as i64 / 2;
        }
    }
}
