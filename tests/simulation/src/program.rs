//! The aggregator as its program drives [`Round`](sealsum_protocol::server::Round): one round at a
//! time, written down before told, nothing of a running round left after a restart.

mod live;

pub use live::Live;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealsum_protocol::codec::Encode;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::server::{Event, Record, Report, Stage};
use sealsum_protocol::time::Now;
use sealsum_test_fleet::{Registry, Said, id_of, status_list};

use crate::ledger::device_of;
use crate::world::World;

/// What the aggregator answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The message is taken.
    Taken,
    /// What was asked for.
    Ready(Arc<[u8]>),
    /// Not yet, after a long wait: ask again.
    NotYet,
    /// The message is not taken.
    Refused(Guard),
    /// The round is over.
    Gone,
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With the sum of these devices.
    Finished {
        /// The devices, as reported.
        contributors: Vec<usize>,
        /// The sum, as published.
        sum: Vec<i64>,
    },
    /// Without, for the reason of this name.
    Aborted(String),
}

/// What the aggregator asks of the world around it.
pub enum Wish {
    /// To be called again at this millisecond.
    Wake(u64),
    /// To be told, after the time that unmasking takes, that it is done.
    Unmask,
    /// To answer who waits.
    AnswerWaiting,
    /// To note how the round ended.
    Ended(Box<Report>, Ending),
    /// A fact that contradicts one written down before.
    Contradiction(String),
    /// The aggregator blames a device.
    Blamed(Guard),
}

/// The aggregator's program and its disk.
pub struct Program {
    /// Rounds that were opened; the number is used up for ever.
    pub opened: u64,
    /// The running round, in memory.
    pub live: Option<Live>,
    /// Whether the program runs.
    pub up: bool,
    /// Facts by round and kind, as on disk.
    facts: BTreeMap<(u64, &'static str), Vec<u8>>,
    /// Whether the disk says that a round runs.
    unfinished: Option<u64>,
    /// The authority's list.
    pub list: Vec<u8>,
    /// Who is on it.
    pub revoked: BTreeSet<usize>,
    lists: u64,
    registry: Registry,
    corrupt_fleet: u32,
}

impl Program {
    /// A program without rounds.
    pub fn new(world: &World, registry: Registry) -> Self {
        Self {
            opened: 0,
            live: None,
            up: true,
            facts: BTreeMap::new(),
            unfinished: None,
            list: status_list(1, &[]),
            revoked: BTreeSet::new(),
            lists: 1,
            registry,
            corrupt_fleet: world.corrupt_fleet,
        }
    }

    /// Opens a round; its number is on disk before anybody hears of it.
    pub fn open(&mut self, world: &World, number: u64, attempt: u64, now: Now) -> Vec<Wish> {
        self.opened = self.opened.max(number);
        self.unfinished = Some(number);
        let spec = world.spec(number, attempt);
        let registry = self.registry.clone();
        match Live::open(spec, self.corrupt_fleet, registry, self.list.clone(), now) {
            Ok(live) => self.live = Some(live),
            Err(refusal) => panic!("an honest round does not open: {refusal}"),
        }
        self.obey()
    }

    /// Does what the machine says, in its order.
    pub fn obey(&mut self) -> Vec<Wish> {
        let Some(live) = &mut self.live else { return Vec::new() };
        let mut wishes = live.obey();
        for (kind, bytes) in std::mem::take(&mut live.to_persist) {
            let number = live.spec().number;
            let known = self.facts.entry((number, kind)).or_insert_with(|| bytes.clone());
            if *known != bytes {
                wishes.push(Wish::Contradiction(format!("a second {kind} of round {number}")));
            }
        }
        if live.ended() {
            self.unfinished = None;
        }
        wishes
    }

    /// Takes a message of a device.
    pub fn deliver(&mut self, round: u64, from: usize, said: &Said, now: Now) -> Answer {
        if self.revoked.contains(&from) {
            return Answer::Refused(Guard::Revoked);
        }
        match &mut self.live {
            Some(live) if live.spec().number == round => live.deliver(from, said, now),
            _ => Answer::Gone,
        }
    }

    /// What the round says to a device; none: not yet.
    pub fn ask(&mut self, round: u64, from: usize, stage: Stage, now: Now) -> Option<Answer> {
        if self.revoked.contains(&from) {
            return Some(Answer::Refused(Guard::Revoked));
        }
        match &mut self.live {
            Some(live) if live.spec().number == round => live.ask(from, stage, now),
            _ => Some(Answer::Gone),
        }
    }

    /// The open round, for a device that could enter it.
    pub fn open_to(&mut self, from: usize, now: Now) -> Option<Arc<[u8]>> {
        if self.revoked.contains(&from) {
            return None;
        }
        self.live.as_mut().and_then(|live| live.open_to(from, now))
    }

    /// The authority revokes a device.
    pub fn revoke(&mut self, device: usize, now: Now) {
        self.revoked.insert(device);
        self.lists += 1;
        let ids: Vec<_> = self.revoked.iter().map(|device| id_of(*device)).collect();
        self.list = status_list(self.lists, &ids);
        if let Some(live) = &mut self.live {
            live.happen(Event::StatusList(self.list.clone()), now);
            live.revoke(device, now);
        }
    }

    /// The program dies: what was in memory is lost.
    pub fn crash(&mut self) {
        self.up = false;
        self.live = None;
    }

    /// The program starts, and ends the round that it finds running on its disk.
    pub fn restart(&mut self) -> Option<u64> {
        self.up = true;
        self.unfinished.take()
    }
}

/// What is kept of a record, and under which name.
fn fact(record: &Record) -> (&'static str, Vec<u8>) {
    match record {
        Record::Roster(bytes) => ("roster", bytes.to_vec()),
        Record::Sharers(bytes) => ("set that shared", bytes.to_vec()),
        Record::Survivors { survivors, lost } => {
            ("survivors", [survivors.encoded(), lost.encoded()].concat())
        }
    }
}

/// The contributors that a report names.
fn contributors(report: &Report) -> Vec<usize> {
    report.contributors.iter().map(device_of).collect()
}
