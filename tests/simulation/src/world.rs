//! What one seed draws before anything happens: the fleet, the task, the faults, the liars.

mod cohort;
mod faults;
mod task;

pub use cohort::{Loss, Moment};
pub use faults::Faults;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::parameters::{CohortInputs, Parameters};
use sealsum_protocol::policy::Policy;
use sealsum_protocol::task::{Deadlines, RoundSpec};
use sealsum_test_fleet as fleet;
use serde::{Deserialize, Serialize};

use crate::liars;

/// All that is fixed before a history begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// What keys and vectors follow from.
    pub seed: u64,
    /// Devices of the fleet.
    pub devices: usize,
    /// Coordinates of a vector.
    pub coordinates: u32,
    /// Width of the ring.
    pub ring_bits: u8,
    /// Units per 1.0; the clip is 8 for a scale of 4, else 1024.
    pub scale: u64,
    /// The largest weight; 0 for none.
    pub weights: u32,
    /// Whether masks come from AES.
    pub aes: bool,
    /// Fewest contributors.
    pub min_contributors: u32,
    /// Devices that the roster waits for.
    pub start_when: u32,
    /// Corrupt share of the cohort, per mille.
    pub corrupt_permille: u32,
    /// Share that may be lost, per mille.
    pub dropout_permille: u32,
    /// Corrupt devices of the fleet that each policy assumes.
    pub corrupt_fleet: u32,
    /// How long steps last.
    pub deadlines: Deadlines,
    /// Rounds of the task, one after the other.
    pub rounds: u64,
    /// What the network and the machines do.
    pub faults: Faults,
    /// Devices that are lost for the rest of a round.
    pub losses: Vec<Loss>,
    /// The lies that the aggregator tells; it is honest if there are none.
    pub aggregator_lies: Vec<String>,
    /// Devices that lie.
    pub liars: Vec<LyingDevice>,
    /// How often liars lie when they could, per mille.
    pub boldness: u32,
}

/// What must be met before an honest device reveals anything.
pub struct Floors {
    /// Equal signatures.
    pub quorum: usize,
    /// Survivors.
    pub a_min: usize,
}

/// A device that lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LyingDevice {
    /// Which.
    pub device: usize,
    /// What it does.
    pub lies: Vec<String>,
}

/// The generator of worlds.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound.max(1) as u64) as usize
    }

    pub(crate) fn chance(&mut self, permille: usize) -> bool {
        self.below(1000) < permille
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// At least one of `all`, few more often than many.
    pub(crate) fn some<T: Copy>(&mut self, all: &[T]) -> Vec<T> {
        let first = self.below(all.len());
        let others = self.below(4);
        let mut places: Vec<usize> = (0..others).map(|_| self.below(all.len())).collect();
        places.push(first);
        places.sort_unstable();
        places.dedup();
        places.truncate(3);
        places.into_iter().map(|place| all[place]).collect()
    }
}

impl World {
    /// The world of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(!seed));
        let mut world = Self::quiet(seed, cohort::size(&mut draw));
        world.draw_cohort(&mut draw);
        world.draw_task(&mut draw);
        world.rounds = if world.devices > 10 { 1 } else { draw.of(&[1, 1, 1, 1, 2, 3]) };
        match draw.below(10) {
            0..2 => world.draw_losses(&mut draw),
            2..4 => world.faults = Faults::draw(&mut draw),
            4..8 => world.draw_liars(&mut draw),
            _ => {
                world.faults = Faults::draw(&mut draw);
                world.draw_liars(&mut draw);
            }
        }
        world
    }

    /// A fleet that does what it should.
    pub fn quiet(seed: u64, devices: usize) -> Self {
        Self {
            seed,
            devices,
            coordinates: 5,
            ring_bits: 32,
            scale: 256,
            weights: 0,
            aes: false,
            min_contributors: 3,
            start_when: devices as u32,
            corrupt_permille: 100,
            dropout_permille: 0,
            corrupt_fleet: 0,
            deadlines: Deadlines { advertise: 10, share: 10, mask: 10, check: 10, unmask: 10 },
            rounds: 1,
            faults: Faults::default(),
            losses: Vec::new(),
            aggregator_lies: Vec::new(),
            liars: Vec::new(),
            boldness: 0,
        }
    }

    /// Whether the aggregator does what it should.
    pub fn aggregator_is_honest(&self) -> bool {
        self.aggregator_lies.is_empty()
    }

    /// Whether a device does what it should.
    pub fn is_honest(&self, device: usize) -> bool {
        self.liars.iter().all(|liar| liar.device != device)
    }

    /// Whether nobody lies and nothing fails but the devices that are lost.
    pub fn only_loses_devices(&self) -> bool {
        self.aggregator_is_honest() && self.liars.is_empty() && self.faults == Faults::default()
    }

    /// The parameters of a roster of so many, if there are any.
    pub fn parameters(&self, n: usize) -> Option<Parameters> {
        Parameters::derive(&self.cohort_inputs(), n, self.corrupt_fleet).ok()
    }

    fn cohort_inputs(&self) -> CohortInputs {
        CohortInputs {
            min_contributors: self.min_contributors,
            corrupt_share_permille: self.corrupt_permille,
            dropout_share_permille: self.dropout_permille,
        }
    }

    /// Q and A_min of a roster of so many, worked out here a second time.
    pub fn floors(&self, n: usize) -> Floors {
        let share = (n * self.corrupt_permille as usize).div_ceil(1000);
        let corrupt = share.max(self.corrupt_fleet as usize).max(1).min(n);
        let quorum = (n + corrupt) / 2 + 1;
        let kept = n - n * self.dropout_permille as usize / 1000;
        Floors { quorum, a_min: quorum.max(kept).max(self.min_contributors as usize) }
    }

    /// The policy of each device.
    pub fn policy(&self) -> Policy {
        Policy { corrupt_fleet: self.corrupt_fleet, ..fleet::policy() }
    }

    /// A round of the task.
    pub fn spec(&self, number: u64, attempt: u64) -> RoundSpec {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.seed.to_le_bytes());
        nonce[8..16].copy_from_slice(&attempt.to_le_bytes());
        RoundSpec { nonce, ..fleet::spec(self.task(), number) }
    }

    /// As many liars as the policy assumes, and an aggregator that works with them or not.
    fn draw_liars(&mut self, draw: &mut Draw) {
        self.boldness = draw.of(&[30, 100, 300, 700]);
        let lies = draw.below(3);
        if lies != 1 {
            let names: Vec<&str> = liars::AGGREGATOR.iter().map(|lie| lie.name).collect();
            self.aggregator_lies = draw.some(&names).into_iter().map(str::to_owned).collect();
        }
        if lies != 0 || draw.chance(500) {
            self.draw_lying_devices(draw);
        }
    }

    fn draw_lying_devices(&mut self, draw: &mut Draw) {
        let most = self.parameters(self.devices).map_or(0, |parameters| parameters.corrupt);
        let count = 1 + draw.below(most);
        let names: Vec<&str> = liars::DEVICE.iter().map(|lie| lie.name).collect();
        let mut devices: Vec<usize> = (0..self.devices).collect();
        for _ in 0..count.min(most) {
            let device = devices.swap_remove(draw.below(devices.len()));
            let lies = draw.some(&names).into_iter().map(str::to_owned).collect();
            self.liars.push(LyingDevice { device, lies });
        }
        self.assume_liars();
    }

    /// Whoever is missing or left out, the roster may hold all liars: what is assumed of each
    /// roster must cover them, and leave some cohort to run.
    fn assume_liars(&mut self) {
        while !self.liars.is_empty() {
            let assumed = self.corrupt_fleet;
            let fewest = self.cohort_inputs().corrupt(self.min_contributors as usize, assumed);
            let liars = self.liars.len();
            self.corrupt_fleet = if fewest < liars { liars as u32 } else { assumed };
            if self.is_viable() {
                return;
            }
            self.corrupt_fleet = assumed;
            self.liars.pop();
        }
    }
}
