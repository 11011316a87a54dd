//! A device as its agent runs it: it asks for a round, sends until it is taken, asks until it is
//! answered, and gives up at its own deadlines. Marks and counter outlive a restart; nothing else.

use std::collections::VecDeque;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::client::{Limits, Once};
use sealsum_protocol::error::Refusal;
use sealsum_protocol::server::Stage;
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::time::Now;
use sealsum_test_fleet::{Counter, Device, Marks, Registry, START, Said, WireDevice};

use crate::world::World;

/// A device, for life.
pub struct Actor {
    /// Its number.
    pub index: usize,
    marks: Marks,
    counter: Counter,
    registry: Registry,
    entries: u64,
    /// By how much its wall clock is wrong.
    pub clock_error_s: i64,
    /// When it has network and power again.
    pub away_until_ms: u64,
    /// The request whose answer it waits for; others are not heard.
    pub request: Option<u64>,
    /// The round that it is in.
    pub playing: Option<Playing>,
}

/// What a device remembers of a round, in memory.
pub struct Playing {
    /// The protocol's client, behind its decoder.
    pub wire: WireDevice,
    /// Where the ledger follows it.
    pub view: usize,
    /// The round.
    pub round: u64,
    /// What is to be sent, in order.
    pub outbox: VecDeque<Said>,
}

/// What a device wants next of the aggregator.
#[derive(Clone)]
pub enum Want {
    /// A round to enter.
    Open,
    /// That a message is taken.
    Deliver(u64, Said),
    /// A stage of a round.
    Ask(u64, Stage),
}

/// Between the steady clocks of two devices.
const BOOTS_APART_MS: u64 = 100_000;

impl Actor {
    /// A device that never took part in anything.
    pub fn new(index: usize, registry: Registry) -> Self {
        Self {
            index,
            marks: Marks::default(),
            counter: Counter::default(),
            registry,
            entries: 0,
            clock_error_s: 0,
            away_until_ms: 0,
            request: None,
            playing: None,
        }
    }

    /// The time on its own clocks.
    pub fn now(&self, now_ms: u64) -> Now {
        let unix_s = (START.unix_s + now_ms / 1000).saturating_add_signed(self.clock_error_s);
        Now { unix_s, steady_ms: now_ms + self.boot_ms() }
    }

    fn boot_ms(&self) -> u64 {
        self.index as u64 * BOOTS_APART_MS
    }

    /// Whether it has network and power.
    pub fn is_there(&self, now_ms: u64) -> bool {
        now_ms >= self.away_until_ms
    }

    /// Enters a round, if nothing speaks against it.
    ///
    /// # Errors
    /// The guard that kept it out.
    pub fn enter(&mut self, world: &World, spec: &RoundSpec, now_ms: u64) -> Result<(), Refusal> {
        let mut device = Device::new(self.index);
        device.counter = self.counter.clone();
        device.once = Once::new(self.counter.clone(), self.counter.0.get());
        let (update, weight) = world.update(self.index, spec.number);
        let (policy, now) = (world.policy(), self.now(now_ms));
        let rng = self.round_rng(world, self.entries);
        let (mut wire, said) =
            WireDevice::enter(device, spec.clone(), &policy, &mut self.marks, update, now, rng)?;
        self.entries += 1;
        wire.registry = self.registry.clone();
        if let Some(weight) = weight {
            wire = wire.weighing(weight);
        }
        let outbox = VecDeque::from([said]);
        self.playing = Some(Playing { wire, view: usize::MAX, round: spec.number, outbox });
        Ok(())
    }

    /// What the device draws in an entry into a round follows from this.
    fn round_rng(&self, world: &World, entry: u64) -> ChaCha20Rng {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&world.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&(self.index as u64).to_le_bytes());
        seed[16..24].copy_from_slice(&entry.to_le_bytes());
        ChaCha20Rng::from_seed(seed)
    }

    /// The randomness of its last entry, from the start: a corrupt device gives it away.
    pub fn last_entry_rng(&self, world: &World) -> ChaCha20Rng {
        self.round_rng(world, self.entries - 1)
    }

    /// What it wants next; none if it is done with its round.
    pub fn wants(&self) -> Option<Want> {
        let Some(playing) = &self.playing else { return Some(Want::Open) };
        match playing.outbox.front() {
            Some(said) => Some(Want::Deliver(playing.round, said.clone())),
            None => playing.wire.awaits().map(|stage| Want::Ask(playing.round, stage)),
        }
    }

    /// The millisecond at which it gives up what it wants.
    pub fn gives_up_ms(&self) -> Option<u64> {
        let playing = self.playing.as_ref()?;
        let limit = limit(playing.wire.limits(), playing.wire.awaits());
        Some(limit - self.boot_ms())
    }

    /// The millisecond by which it is out of its round, whatever happens.
    pub fn ends_ms(&self) -> Option<u64> {
        self.playing.as_ref().map(|playing| playing.wire.limits().end - self.boot_ms())
    }

    /// It is out of its round.
    pub fn leave(&mut self) {
        self.playing = None;
        self.request = None;
    }
}

fn limit(limits: &Limits, awaits: Option<Stage>) -> u64 {
    match awaits {
        Some(Stage::Roster) => limits.roster,
        Some(Stage::InboundShares) => limits.inbound,
        Some(Stage::Sharers) => limits.sharers,
        Some(Stage::Survivors) => limits.survivors,
        Some(Stage::Quorum) => limits.quorum,
        None => limits.end,
    }
}
