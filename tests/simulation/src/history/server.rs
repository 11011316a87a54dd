//! What the aggregator does, honest or not, and what befalls it.

use sealsum_protocol::server::{Event as RoundEvent, Stage};
use sealsum_test_fleet::Said;

use super::network::HOLD_MS;
use super::{Event, History, PAUSE_MS, Request};
use crate::device::Want;
use crate::ledger::{Ended, device_of};
use crate::liars::Scene;
use crate::program::{Answer, Ending, Wish};
use crate::tally::Tally;

/// Unmasking a sum takes so long.
const UNMASKING_MS: u64 = 20;
/// The aggregator is down for up to so long.
const LONGEST_DOWNTIME_MS: usize = 5_000;
/// After its last deadline a round has so long to end.
const GRACE_MS: u64 = 1_000;
/// Why a round ended that the program found running when it started.
const RESTARTED: &str = "aggregator_restarted";

/// Calls the liar, if there is one, with what it may look at and do.
macro_rules! liar {
    ($history:ident, |$liar:ident, $scene:ident| $body:expr) => {
        $history.liar.take().map(|mut $liar| {
            let mut scene = Scene {
                world: &$history.world,
                now: $history.now(),
                choices: &mut $history.choices,
                tally: &mut $history.tally,
                ledger: &mut $history.ledger,
                colluders: &$history.colluders,
                program: &mut $history.program,
                pushes: Vec::new(),
                wakes: Vec::new(),
            };
            let $scene = &mut scene;
            let outcome = $body;
            let Scene { pushes, wakes, .. } = scene;
            $history.liar = Some($liar);
            $history.obey_liar(pushes, wakes);
            outcome
        })
    };
}

impl History {
    pub(super) fn open_round(&mut self) {
        if !self.program.up {
            return self.after(PAUSE_MS, Event::OpenRound);
        }
        self.rounds_left -= 1;
        self.attempts += 1;
        let next = self.program.opened + 1;
        let number = liar!(self, |liar, scene| liar.numbers(scene, next)).unwrap_or(next);
        let now = self.now();
        let wishes = self.program.open(&self.world, number, self.attempts, now);
        self.running = true;
        let _ = liar!(self, |liar, scene| liar.begins(scene));
        self.grant(wishes);
        let seconds = self.world.deadlines.each().iter().sum::<u32>() + self.world.deadlines.share;
        let longest = u64::from(seconds) * 1000 + UNMASKING_MS + GRACE_MS;
        let downtime = LONGEST_DOWNTIME_MS as u64;
        self.after(longest + downtime, Event::RoundIsDone(self.program.opened));
        for device in 0..self.world.devices {
            if self.devices[device].away_until_ms == u64::MAX {
                self.after(0, Event::DeviceStarts(device));
            }
        }
    }

    /// A request arrives, unless the aggregator is down, or goes down just before or after.
    pub(super) fn arrives(&mut self, request: Request) {
        if !self.program.up {
            return;
        }
        let device = request.device;
        if self.happens_rarely("revoked", device, self.world.faults.revoked) {
            self.program.revoke(device, self.now());
            self.obey();
        }
        let crash = self.world.faults.aggregator_crash;
        let crashes = self.happens_rarely("aggregator_crash", 0, crash);
        if crashes && self.choices.chance("crash_before", 0, 500) {
            return self.aggregator_crashes();
        }
        match request.want.clone() {
            Want::Deliver(round, said) => self.receives(&request, round, said),
            _ => self.answer_or_hold(request),
        }
        self.obey();
        if crashes {
            self.aggregator_crashes();
        }
    }

    fn receives(&mut self, request: &Request, round: u64, mut said: Said) {
        let (now, from) = (self.now(), request.device);
        let passes = liar!(self, |liar, scene| liar.hears(scene, from, round, &mut said));
        let answer = if passes.unwrap_or(true) {
            self.program.deliver(round, from, &said, now)
        } else {
            Answer::Taken
        };
        // A liar goes on when the honest part of it would not.
        let answer = if passes.is_some() { Answer::Taken } else { answer };
        self.reply(request, answer);
    }

    fn answer_or_hold(&mut self, request: Request) {
        if let Some(answer) = self.answer_to(&request) {
            return self.reply(&request, answer);
        }
        self.after(HOLD_MS, Event::HeldLongEnough(request.id));
        self.waiting.insert(request.id, request);
    }

    fn answer_to(&mut self, request: &Request) -> Option<Answer> {
        let (now, device) = (self.now(), request.device);
        match &request.want {
            Want::Open => {
                let honest = self.program.open_to(device, now);
                let told = liar!(self, |liar, scene| liar.announces(scene, device, &honest));
                told.unwrap_or(honest).map(Answer::Ready)
            }
            Want::Ask(round, stage) => {
                let (round, stage) = (*round, *stage);
                let honest = self.program.ask(round, device, stage, now);
                let asked = (device, round, stage);
                let told = liar!(self, |liar, scene| liar.tells(scene, asked, &honest));
                told.unwrap_or(honest)
            }
            Want::Deliver(..) => None,
        }
    }

    pub(super) fn held_long_enough(&mut self, id: u64) {
        if let Some(request) = self.waiting.remove(&id) {
            self.reply(&request, Answer::NotYet);
        }
    }

    fn answer_waiting(&mut self) {
        for (id, request) in std::mem::take(&mut self.waiting) {
            match self.answer_to(&request) {
                Some(answer) => self.reply(&request, answer),
                None => drop(self.waiting.insert(id, request)),
            }
        }
    }

    pub(super) fn wake(&mut self) {
        let now = self.now();
        if let Some(live) = &mut self.program.live {
            live.happen(RoundEvent::Tick, now);
        }
        self.obey();
        if self.liar.is_some() {
            self.answer_waiting();
        }
    }

    pub(super) fn unmasked(&mut self) {
        let now = self.now();
        if let Some(live) = &mut self.program.live {
            live.unmask(now);
        }
        self.obey();
    }

    pub(super) fn is_away(&mut self, device: usize) {
        let now = self.now();
        if self.devices[device].is_there(self.now_ms) || !self.program.up {
            return;
        }
        if let Some(live) = &mut self.program.live {
            live.gone(device, now);
        }
        self.obey();
    }

    /// Grants what the machine wishes after whatever happened to it.
    fn obey(&mut self) {
        let wishes = self.program.obey();
        self.grant(wishes);
        if let Some(live) = &mut self.program.live {
            for guard in live.take_refusals() {
                Tally::count(&mut self.tally.aggregator_refusals, guard.name());
            }
        }
    }

    fn grant(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Wake(at_ms) => self.queue.plan(at_ms, Event::Wake),
                Wish::Unmask => self.after(UNMASKING_MS, Event::Unmasked),
                Wish::AnswerWaiting => self.answer_waiting(),
                Wish::Blamed(guard) => Tally::count(&mut self.tally.blamed, guard.name()),
                Wish::Contradiction(what) => {
                    self.ledger.contradictions.push(what);
                    self.ledger.version += 1;
                }
                Wish::Ended(report, ending) => {
                    for dropped in &report.dropped {
                        let step = dropped.step.name().unwrap_or("none");
                        Tally::count(&mut self.tally.dropouts, step);
                    }
                    let roster: Vec<usize> = report.roster.iter().map(device_of).collect();
                    self.ended(ending, roster.len());
                }
            }
        }
    }

    fn ended(&mut self, ending: Ending, roster: usize) {
        let name = match &ending {
            Ending::Finished { .. } => "finished",
            Ending::Aborted(code) => code,
        };
        Tally::count(&mut self.tally.rounds, name);
        let live = self.program.live.as_ref();
        let round = live.map_or(self.program.opened, |live| live.spec().number);
        let revoked = live.map(|live| live.revoked.clone()).unwrap_or_default();
        self.ledger.endings.push(Ended { round, ending, roster, revoked });
        self.ledger.version += 1;
        // A liar may let a round end twice.
        let first = std::mem::take(&mut self.running);
        if first && self.rounds_left > 0 {
            self.after(PAUSE_MS, Event::OpenRound);
        }
    }

    fn aggregator_crashes(&mut self) {
        self.program.crash();
        self.waiting.clear();
        let down = self.choices.below("aggregator_downtime", 0, LONGEST_DOWNTIME_MS);
        self.after(100 + down as u64, Event::AggregatorStarts);
    }

    pub(super) fn aggregator_starts(&mut self) {
        if self.program.restart().is_some() {
            self.ended(Ending::Aborted(RESTARTED.to_owned()), 0);
        }
    }

    fn obey_liar(&mut self, pushes: Vec<(usize, Stage, Vec<u8>)>, wakes: Vec<u64>) {
        for (device, stage, bytes) in pushes {
            self.after(1, Event::Pushed(device, stage, bytes));
        }
        for at_ms in wakes {
            self.queue.plan(at_ms, Event::Wake);
        }
    }

    /// What a lying device makes of what it should say.
    pub(super) fn distorted(
        &mut self,
        device: usize,
        view: usize,
        stage: Option<Stage>,
        heard: &[u8],
        said: Vec<Said>,
    ) -> Vec<Said> {
        if self.world.is_honest(device) {
            return said;
        }
        let (choices, tally) = (&mut self.choices, &mut self.tally);
        self.colluders.distort(device, &self.ledger, view, (stage, heard), said, (choices, tally))
    }
}
