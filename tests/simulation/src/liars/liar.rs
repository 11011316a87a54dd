//! A lying aggregator: which lies it tells, and how they come together into what a device is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealsum_protocol::server::Stage;
use sealsum_protocol::time::Now;
use sealsum_test_fleet::Said;

use super::aggregator::{self, AggregatorLie, Story, Told};
use super::colluders::Colluders;
use super::forge;
use super::known::Known;
use crate::choices::Choices;
use crate::ledger::Ledger;
use crate::program::{Answer, Program};
use crate::tally::Tally;
use crate::world::World;

/// The liar, with the lies of one world and all that it knows of each round.
pub struct Liar {
    lies: Vec<(&'static str, Box<dyn AggregatorLie>)>,
    rounds: BTreeMap<u64, Known>,
}

/// What a liar may look at and do at one moment.
pub struct Scene<'a> {
    /// The world.
    pub world: &'a World,
    /// The time.
    pub now: Now,
    /// The choices.
    pub choices: &'a mut Choices,
    /// Where lies are counted.
    pub tally: &'a mut Tally,
    /// Where signatures of corrupt devices are noted.
    pub ledger: &'a mut Ledger,
    /// The devices whose secrets it knows.
    pub colluders: &'a Colluders,
    /// The honest part, to restore or to look into.
    pub program: &'a mut Program,
    /// What to send to whom without being asked.
    pub pushes: Vec<(usize, Stage, Vec<u8>)>,
    /// When to look again.
    pub wakes: Vec<u64>,
}

/// After a step's longest duration a liar goes on alone.
const ALONE_AFTER_MS: u64 = 500;

impl Scene<'_> {
    /// Whether to tell a lie now that could be told of a device.
    pub fn lies(&mut self, lie: &'static str, device: usize) -> bool {
        self.choices.chance(lie, device, self.world.boldness)
    }
}

impl Liar {
    /// The liar of a world, if its aggregator is one.
    pub fn of(world: &World) -> Option<Self> {
        let lies: Vec<_> = world
            .aggregator_lies
            .iter()
            .filter_map(|name| aggregator::find(name))
            .map(|lie| (lie.name, (lie.new)()))
            .collect();
        (!lies.is_empty()).then(|| Self { lies, rounds: BTreeMap::new() })
    }

    /// The number of the round that is about to open.
    pub fn numbers(&mut self, scene: &mut Scene<'_>, next: u64) -> u64 {
        let other = self.lies.iter_mut().find_map(|(name, lie)| {
            let other = lie.numbers(scene, next)?;
            scene.tally.lie(name);
            Some(other)
        });
        other.unwrap_or(next)
    }

    /// A round has opened.
    pub fn begins(&mut self, scene: &mut Scene<'_>) {
        let Some(live) = &scene.program.live else { return };
        let number = live.spec().number;
        let opened_ms = scene.now.steady_ms;
        self.rounds.insert(number, Known::of_round(opened_ms));
        for stage in STAGES {
            scene.wakes.push(due_ms(scene.world, opened_ms, stage) + 1);
        }
        self.lies.iter_mut().for_each(|(_, lie)| lie.begins(scene));
    }

    /// What a device is told when it asks for a round to enter.
    pub fn announces(
        &mut self,
        scene: &mut Scene<'_>,
        device: usize,
        honest: &Option<Arc<[u8]>>,
    ) -> Option<Arc<[u8]>> {
        let honest = honest.as_ref()?;
        let round = scene.program.live.as_ref()?.spec().number;
        let mut bytes = honest.to_vec();
        for (name, lie) in &mut self.lies {
            if !lie.invites(scene, device) {
                scene.tally.lie(name);
                return None;
            }
            if lie.announces(scene, device, &mut bytes) {
                scene.tally.lie(name);
            }
        }
        self.rounds.entry(round).or_default().announced(device, &bytes);
        Some(bytes.into())
    }

    /// A device sent something. Says whether the honest part hears of it.
    pub fn hears(
        &mut self,
        scene: &mut Scene<'_>,
        from: usize,
        round: u64,
        said: &mut Said,
    ) -> bool {
        let known = self.rounds.entry(round).or_default();
        known.hears(from, said);
        let mut passes = true;
        for (name, lie) in &mut self.lies {
            if !lie.passes_on(scene, from, said) {
                scene.tally.lie(name);
                passes = false;
            }
        }
        passes
    }

    /// What a device is told when it asks for a stage.
    pub fn tells(
        &mut self,
        scene: &mut Scene<'_>,
        (device, round, stage): (usize, u64, Stage),
        honest: &Option<Answer>,
    ) -> Option<Answer> {
        if scene.world.rounds > 0 && !self.rounds.contains_key(&round) {
            return honest.clone();
        }
        let is_due =
            scene.now.steady_ms >= due_ms(scene.world, self.rounds[&round].opened_ms, stage);
        let ready = match honest {
            Some(Answer::Ready(bytes)) => Some(bytes.to_vec()),
            _ => None,
        };
        let asked = Told { device, round, stage };
        let hasty = self.lies.iter().any(|(_, lie)| lie.hurries(stage));
        let tells_stories = self.lies.iter().any(|(_, lie)| lie.tells_stories());
        let mut bytes = match (ready, stage) {
            (Some(honest), stage) if !tells_stories && !hasty || stage == Stage::Roster => honest,
            (None, Stage::Roster) => return honest.clone(),
            (ready, _) if ready.is_some() || is_due || hasty => {
                match self.tale(scene, &asked, ready.as_deref()) {
                    Some(bytes) => bytes,
                    None => return honest.clone(),
                }
            }
            _ if is_due => return honest.clone(),
            // The honest part may have given up; the liar waits for its own time.
            _ => return None,
        };
        if !self.alter(scene, &asked, &mut bytes) {
            return None;
        }
        let known = self.rounds.entry(round).or_default();
        known.tells(scene.world.corrupt_fleet, device, stage, &bytes);
        Some(Answer::Ready(bytes.into()))
    }

    /// What follows from the story that the lies make up for a device.
    fn tale(
        &mut self,
        scene: &mut Scene<'_>,
        asked: &Told,
        ready: Option<&[u8]>,
    ) -> Option<Vec<u8>> {
        let known = self.rounds.get(&asked.round)?;
        let cohort = known.cohort(asked.device)?;
        let mut story = Story::honest(known, &cohort, asked, ready);
        for (name, lie) in &mut self.lies {
            if lie.tells_stories() && lie.rewrites(scene, known, &cohort, asked, &mut story) {
                scene.tally.lie(name);
            }
        }
        forge::message(scene, known, &cohort, asked, &story)
    }

    /// Lets each lie alter the bytes. False if nothing is to be told.
    fn alter(&mut self, scene: &mut Scene<'_>, asked: &Told, bytes: &mut Vec<u8>) -> bool {
        for (name, lie) in &mut self.lies {
            if lie.stalls(scene, asked) {
                scene.tally.lie(name);
                return false;
            }
            if lie.alters(scene, &self.rounds, asked, bytes) {
                scene.tally.lie(name);
            }
        }
        true
    }
}

const STAGES: [Stage; 5] =
    [Stage::Roster, Stage::InboundShares, Stage::Sharers, Stage::Survivors, Stage::Quorum];

/// When a liar tells a stage though the honest part would not.
fn due_ms(world: &World, opened_ms: u64, stage: Stage) -> u64 {
    let deadlines = &world.deadlines;
    let steps =
        [deadlines.advertise, deadlines.share, deadlines.share, deadlines.mask, deadlines.check];
    let place = STAGES.iter().position(|other| *other == stage).unwrap_or(0);
    let seconds: u32 = steps[..=place].iter().sum();
    opened_ms + u64::from(seconds) * 1000 + ALONE_AFTER_MS
}
