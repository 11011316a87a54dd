//! One round of many devices in a sparse graph: the same state machines, without faults or liars,
//! the devices spread over all cores.

mod crew;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::server::{Event, Stage, Step};
use sealsum_protocol::time::Now;
use sealsum_test_fleet::{Registry, START, Said};

use crate::program::{Answer, Ending, Program, Wish};
use crate::world::{Moment, World};
use crew::Crew;

/// A large round, and what must come of it.
pub struct Large {
    devices: usize,
    /// Devices that enter and are gone before the roster closes.
    lost_before_roster: usize,
    /// Devices lost just before each thing that they would say after the roster.
    lost_before: [usize; 5],
    expected: &'static str,
}

/// What came of a large round.
pub struct Came {
    ending: Ending,
    /// What the sum of the contributors should be.
    expected: Vec<i64>,
}

impl Large {
    /// One device in ten is lost before the roster closes, and one in forty of the rest at each
    /// step after it.
    pub fn tolerated(devices: usize) -> Self {
        let lost_before_roster = devices / 10;
        let few = (devices - lost_before_roster) / 40;
        let lost_before = [few; 5];
        Self { devices, lost_before_roster, lost_before, expected: "finished" }
    }

    /// One device more than the cohort tolerates is lost before the masked inputs.
    pub fn one_too_many(devices: usize) -> Self {
        let lost_before_roster = devices / 10;
        let n = devices - lost_before_roster;
        let tolerated = world(devices).parameters(n).map_or(0, |parameters| parameters.tolerated());
        let mut lost_before = [0; 5];
        lost_before[Moment::Masked as usize] = tolerated + 1;
        Self { devices, lost_before_roster, lost_before, expected: "too_few_contributors" }
    }

    /// The losses, for people.
    pub fn losses_in_words(&self) -> String {
        let after: usize = self.lost_before.iter().sum();
        format!("{} lost before the roster and {after} after it", self.lost_before_roster)
    }

    /// Whether the round ended as it must.
    pub fn is_as_expected(&self, came: &Came) -> bool {
        match &came.ending {
            Ending::Finished { sum, .. } => self.expected == "finished" && *sum == came.expected,
            Ending::Aborted(code) => self.expected == code,
        }
    }
}

impl Came {
    /// How it ended, for people.
    pub fn in_words(&self) -> String {
        match &self.ending {
            Ending::Aborted(code) => code.clone(),
            Ending::Finished { contributors, sum } if *sum == self.expected => {
                format!("finished with the exact sum of {}", contributors.len())
            }
            Ending::Finished { contributors, .. } => {
                format!("finished with a WRONG sum of {}", contributors.len())
            }
        }
    }
}

fn world(devices: usize) -> World {
    World { dropout_permille: 200, ..World::quiet(1, devices) }
}

/// Runs a round.
pub fn run(large: &Large) -> Came {
    let mut round = Running::open(large);
    let lost = round.draw_lost(large.lost_before_roster);
    round.tell_gone(&lost);
    round.pass(Step::Advertise);
    let stages =
        [Stage::Roster, Stage::InboundShares, Stage::Sharers, Stage::Survivors, Stage::Quorum];
    let steps = [Step::Share, Step::Acknowledge, Step::Mask, Step::Check, Step::Unmask];
    for ((stage, step), losses) in stages.into_iter().zip(steps).zip(large.lost_before) {
        let lost = round.draw_lost(losses);
        round.tell(stage, &lost);
        round.tell_gone(&lost);
        round.pass(step);
    }
    round.end()
}

/// A large round in progress.
struct Running {
    world: World,
    program: Program,
    crew: Crew,
    now_ms: u64,
    wake_ms: u64,
    ending: Option<Ending>,
    /// Those that are not lost.
    left: Vec<usize>,
    rng: ChaCha8Rng,
}

impl Running {
    fn open(large: &Large) -> Self {
        let world = world(large.devices);
        let registry = Registry::default();
        let mut running = Self {
            program: Program::new(&world, Registry::beside(&registry)),
            crew: Crew::hire(&world, &registry),
            now_ms: 1_000,
            wake_ms: 0,
            ending: None,
            left: (0..large.devices).collect(),
            rng: ChaCha8Rng::seed_from_u64(2),
            world,
        };
        let now = running.now();
        let wishes = running.program.open(&running.world, 1, 1, now);
        running.grant(wishes);
        let entered = running.crew.enter(running.world.spec(1, 1), now);
        running.deliver(entered);
        running
    }

    fn now(&self) -> Now {
        Now { unix_s: START.unix_s, steady_ms: self.now_ms }
    }

    fn draw_lost(&mut self, count: usize) -> Vec<usize> {
        let draw = |_| {
            let place = self.rng.next_u64() as usize % self.left.len();
            self.left.swap_remove(place)
        };
        (0..count).map(draw).collect()
    }

    fn tell_gone(&mut self, lost: &[usize]) {
        let now = self.now();
        for device in lost {
            if let Some(live) = &mut self.program.live {
                live.gone(*device, now);
            }
        }
        self.obey();
    }

    /// Lets a step's deadline pass, if it still waits for anybody.
    fn pass(&mut self, step: Step) {
        if self.program.live.as_ref().is_some_and(|live| live.step() == step) {
            self.now_ms = self.wake_ms;
            let now = self.now();
            if let Some(live) = &mut self.program.live {
                live.happen(Event::Tick, now);
            }
            self.obey();
        }
    }

    /// Tells everybody a stage; those that are lost say nothing to it.
    fn tell(&mut self, stage: Stage, lost: &[usize]) {
        let now = self.now();
        let mut answers = Vec::new();
        for device in self.left.iter().chain(lost) {
            if let Some(Answer::Ready(bytes)) = self.program.ask(1, *device, stage, now) {
                answers.push((*device, bytes));
            }
        }
        let mut said = self.crew.hear(stage, answers, now);
        said.retain(|(device, _)| !lost.contains(device));
        self.deliver(said);
    }

    fn deliver(&mut self, said: Vec<(usize, Vec<Said>)>) {
        let now = self.now();
        for (device, said) in said {
            for one in said {
                let answer = self.program.deliver(1, device, &one, now);
                assert!(self.ending.is_some() || answer == Answer::Taken, "{answer:?}");
            }
            self.obey();
        }
    }

    fn obey(&mut self) {
        let wishes = self.program.obey();
        self.grant(wishes);
    }

    fn grant(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Wake(at_ms) => self.wake_ms = at_ms,
                Wish::Unmask => {
                    let now = self.now();
                    if let Some(live) = &mut self.program.live {
                        live.unmask(now);
                    }
                    self.obey();
                }
                Wish::Ended(_, ending) => self.ending = Some(ending),
                Wish::Contradiction(what) => panic!("{what}"),
                Wish::AnswerWaiting | Wish::Blamed(_) => {}
            }
        }
    }

    fn end(self) -> Came {
        let ending = self.ending.unwrap_or(Ending::Aborted("none".to_owned()));
        let mut expected = vec![0; self.world.coordinates as usize];
        if let Ending::Finished { contributors, .. } = &ending {
            for device in contributors {
                let integers = self.world.integers(*device, 1);
                expected.iter_mut().zip(integers).for_each(|(total, integer)| *total += integer);
            }
        }
        Came { ending, expected }
    }
}
