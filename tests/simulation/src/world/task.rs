//! What is computed: small vectors, of which every sum is exact.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::mask::Suite;
use sealsum_protocol::task::{Deadlines, Task, Weights};
use sealsum_test_fleet as fleet;

use super::{Draw, World};

impl World {
    pub(super) fn draw_task(&mut self, draw: &mut Draw) {
        self.coordinates = 1 + draw.below(16) as u32;
        self.scale = draw.of(&[4, 256]);
        self.weights = draw.of(&[0, 0, 4]);
        self.aes = draw.chance(500);
        let mut seconds = || 2 + draw.below(18) as u32;
        self.deadlines = Deadlines {
            advertise: seconds(),
            share: seconds(),
            mask: seconds(),
            check: seconds(),
            unmask: seconds(),
        };
        let fewest = (8..64).find(|bits| {
            self.ring_bits = *bits;
            self.task().check_width(self.devices as u32).is_ok()
        });
        let fewest = fewest.unwrap_or(64);
        self.ring_bits = draw.of(&[fewest, fewest, 16, 21, 32, 47, 64]).max(fewest);
    }

    /// The task of all rounds.
    pub fn task(&self) -> Task {
        fleet::task(self.devices, |fields| {
            fields.coordinates = self.coordinates;
            fields.ring_bits = self.ring_bits;
            fields.scale = self.scale;
            fields.clip = self.clip();
            fields.weights =
                if self.weights == 0 { Weights::Equal } else { Weights::UpTo(self.weights) };
            fields.mask_suite = if self.aes { Suite::Aes256Ctr } else { Suite::ChaCha20 };
            fields.min_contributors = self.min_contributors;
            fields.start_when = self.start_when;
            fields.corrupt_share_permille = self.corrupt_permille;
            fields.dropout_share_permille = self.dropout_permille;
            fields.deadlines_s = self.deadlines;
        })
    }

    fn clip(&self) -> f64 {
        if self.scale == 4 { 8.0 } else { 1024.0 }
    }

    /// A device's vector and weight in a round: multiples of the unit that stay such when they are
    /// weighed, within the clip.
    pub fn update(&self, device: usize, round: u64) -> (Vec<f64>, Option<f64>) {
        let steps = self.steps(device, round);
        let weight = (self.weights > 0).then(|| f64::from(1 + device as u32 % self.weights));
        let unit = f64::from(self.weights.max(1)) / self.scale as f64;
        (steps.into_iter().map(|step| step as f64 * unit).collect(), weight)
    }

    /// The same as the integers that are summed, the weight last if there is one.
    pub fn integers(&self, device: usize, round: u64) -> Vec<i64> {
        let mut steps = self.steps(device, round);
        if self.weights > 0 {
            let weight = 1 + device as i64 % i64::from(self.weights);
            steps.iter_mut().for_each(|step| *step *= weight);
            steps.push(weight * self.scale as i64 / i64::from(self.weights));
        }
        steps
    }

    fn steps(&self, device: usize, round: u64) -> Vec<i64> {
        let largest = (self.clip() * self.scale as f64 / 20.0) as u64;
        let stream = device as u64 * 16 + round;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed.rotate_left(32) ^ stream);
        (0..self.coordinates)
            .map(|_| (rng.next_u64() % (2 * largest + 1)) as i64 - largest as i64)
            .collect()
    }
}
