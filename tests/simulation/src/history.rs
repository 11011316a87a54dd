//! One history: everything that happens to a fleet, in the order of one queue.

mod fleet;
mod network;
mod server;

use std::collections::BTreeMap;

use sealsum_protocol::time::Now;
use sealsum_test_fleet::{Registry, START, Said};

use crate::choices::{Choices, Trace};
use crate::device::{Actor, Want};
use crate::invariants::{self, Checked, Violation};
use crate::ledger::Ledger;
use crate::liars::{Colluders, Liar};
use crate::program::{Answer, Program};
use crate::queue::Queue;
use crate::tally::Tally;
use crate::world::World;
use sealsum_protocol::server::Stage;

/// How a history went.
pub struct Told {
    /// The first invariant that did not hold, if any.
    pub violation: Option<Violation>,
    /// What was met.
    pub tally: Tally,
    /// The choices.
    pub trace: Trace,
}

/// What happens next.
enum Event {
    /// The operator opens the next round.
    OpenRound,
    /// A request arrives.
    Arrives(Request),
    /// An answer arrives.
    Answered(usize, u64, Answer),
    /// A device no longer waits for an answer.
    TimesOut(usize, u64),
    /// A device goes on.
    GoesOn(usize),
    /// The aggregator no longer holds a request back.
    HeldLongEnough(u64),
    /// A deadline of the aggregator, or of a liar.
    Wake,
    /// The aggregator unmasked the sum.
    Unmasked,
    /// A device may have been away for long.
    Away(usize),
    /// A device starts again after it was lost.
    DeviceStarts(usize),
    /// The aggregator starts again.
    AggregatorStarts,
    /// A liar sends a device what it did not ask for.
    Pushed(usize, Stage, Vec<u8>),
    /// By now a device must be out of a round.
    DeviceIsDone(usize, usize),
    /// By now the aggregator must be done with a round.
    RoundIsDone(u64),
}

/// A request of a device.
#[derive(Clone)]
struct Request {
    id: u64,
    device: usize,
    want: Want,
}

/// A history in progress.
pub struct History {
    world: World,
    now_ms: u64,
    queue: Queue<Event>,
    choices: Choices,
    ledger: Ledger,
    checked: Checked,
    tally: Tally,
    devices: Vec<Actor>,
    program: Program,
    /// Requests that the aggregator holds back until there is an answer.
    waiting: BTreeMap<u64, Request>,
    requests: u64,
    liar: Option<Liar>,
    colluders: Colluders,
    /// Announcements by the aggregator so far, with those of a round again.
    attempts: u64,
    /// Rounds that the operator has still to open.
    rounds_left: u64,
    running: bool,
}

/// Longer than any history takes: what is not over by then hangs.
const LONGEST_MS: u64 = 10_000_000;
/// From one round to the next.
const PAUSE_MS: u64 = 1_500;

impl History {
    /// Tells the history of a seed.
    pub fn of_seed(seed: u64) -> Told {
        Self::new(World::draw(seed), Choices::drawn(seed)).tell()
    }

    /// Tells a history again.
    pub fn again(world: World, trace: Trace) -> Told {
        Self::new(world, Choices::told(trace)).tell()
    }

    fn new(world: World, choices: Choices) -> Self {
        let registry = Registry::default();
        let actor = |index| Actor::new(index, Registry::beside(&registry));
        let mut queue = Queue::default();
        queue.plan(0, Event::OpenRound);
        for device in 0..world.devices {
            queue.plan(1 + device as u64, Event::GoesOn(device));
        }
        Self {
            now_ms: 0,
            queue,
            choices,
            ledger: Ledger::of(&world),
            checked: Checked::default(),
            tally: Tally { histories: 1, ..Tally::default() },
            devices: (0..world.devices).map(actor).collect(),
            program: Program::new(&world, Registry::beside(&registry)),
            waiting: BTreeMap::new(),
            requests: 0,
            liar: Liar::of(&world),
            colluders: Colluders::of(&world),
            attempts: 0,
            rounds_left: world.rounds,
            running: false,
            world,
        }
    }

    fn tell(mut self) -> Told {
        let mut violation = None;
        while violation.is_none() && !self.is_over() {
            let Some((at_ms, event)) = self.queue.pop() else { break };
            self.now_ms = at_ms;
            self.happens(event);
            violation = invariants::check(&self.ledger, &self.world, &mut self.checked);
            if at_ms > LONGEST_MS {
                self.ledger.overdue.push("the history does not end".to_owned());
                self.ledger.version += 1;
            }
        }
        let violation = violation.or_else(|| invariants::check_end(&self.ledger, &self.world));
        Told { violation, tally: self.tally, trace: self.choices.trace() }
    }

    fn is_over(&self) -> bool {
        let idle = self.devices.iter().all(|device| device.playing.is_none());
        idle && !self.running && self.rounds_left == 0
    }

    /// The time on the aggregator's clocks.
    fn now(&self) -> Now {
        Now { unix_s: START.unix_s + self.now_ms / 1000, steady_ms: self.now_ms }
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.queue.plan(self.now_ms + ms, event);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::OpenRound => self.open_round(),
            Event::Arrives(request) => self.arrives(request),
            Event::Answered(device, id, answer) => self.answered(device, id, answer),
            Event::TimesOut(device, id) => self.times_out(device, id),
            Event::GoesOn(device) => self.goes_on(device),
            Event::HeldLongEnough(id) => self.held_long_enough(id),
            Event::Wake => self.wake(),
            Event::Unmasked => self.unmasked(),
            Event::Away(device) => self.is_away(device),
            Event::DeviceStarts(device) => self.device_starts(device),
            Event::AggregatorStarts => self.aggregator_starts(),
            Event::Pushed(device, stage, bytes) => self.pushed(device, stage, &bytes),
            Event::DeviceIsDone(device, view) => self.expect_device_done(device, view),
            Event::RoundIsDone(round) => self.expect_round_done(round),
        }
    }

    fn expect_device_done(&mut self, device: usize, view: usize) {
        if self.devices[device].playing.as_ref().is_some_and(|playing| playing.view == view) {
            let overdue = format!("device {device} is still in a round after its last deadline");
            self.ledger.overdue.push(overdue);
            self.ledger.version += 1;
        }
    }

    fn expect_round_done(&mut self, round: u64) {
        let running = self.running && self.program.opened == round;
        if running && self.world.aggregator_is_honest() {
            self.ledger.overdue.push(format!("round {round} runs after its last deadline"));
            self.ledger.version += 1;
        }
    }
}

/// The moment at which a device says something, for planned losses.
fn moment(said: &Said) -> Option<crate::world::Moment> {
    use crate::world::Moment;
    match said {
        Said::Shares(_) => Some(Moment::Shares),
        Said::Ack(_) => Some(Moment::Ack),
        Said::Chunk { .. } | Said::Masked(_) => Some(Moment::Masked),
        Said::Consistency(_) => Some(Moment::Consistency),
        Said::Reveal(_) => Some(Moment::Reveal),
        Said::Advertise(_) => None,
    }
}
