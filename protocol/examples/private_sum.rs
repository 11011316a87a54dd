//! Private sums for a program that is no device: a line of JSON says what is summed, a line of
//! JSON answers with what follows from it, and then each round is a count of vectors (u32) with
//! that many vectors (f32) in, and their noisy sum (f64) out, little-endian. Vectors are prepared,
//! added in the ring and decoded by the product; only the masks, which cancel, are left out.

use std::io::{BufRead, Error, Read, Write, stdin, stdout};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::accountant::{Charge, Orders};
use sealsum_protocol::task::{Kind, Privacy, Rotation, Task, TaskFields};
use sealsum_test_fleet::{Rehearsal, sum_of_updates, task};
use serde::Deserialize;
use serde_json::{Value, json};

/// What is summed. Without z there is no noise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    devices: usize,
    coordinates: u32,
    clip: f64,
    scale: u64,
    rotated: bool,
    ring_bits: u8,
    z_permille: Option<u32>,
    /// Fewest contributors whose noise is counted on.
    honest: usize,
    rounds: u32,
    delta: f64,
    seed: u64,
}

impl Wanted {
    /// One contributor may be corrupt, so one more must contribute than are counted on.
    fn task(&self) -> Task {
        task(self.devices, |fields: &mut TaskFields| {
            fields.coordinates = self.coordinates;
            (fields.clip, fields.scale, fields.ring_bits) = (self.clip, self.scale, self.ring_bits);
            fields.corrupt_share_permille = 0;
            fields.min_contributors = self.honest as u32 + 1;
            fields.dropout_share_permille = 999;
            if self.rotated {
                fields.kind = Kind::Vector(Rotation::Hadamard);
            }
            if let Some(z_permille) = self.z_permille {
                let (law, delta) = (Law::Skellam, self.delta);
                fields.privacy = Privacy::Noise { law, z_permille, delta };
            }
        })
    }

    /// The noise of one device, what all rounds cost, the bits that the sums need.
    fn follows(&self, cohort: &Cohort) -> Value {
        let charge = cohort.task.charge(&cohort.parameters).expect("countable");
        let total = charge.and_then(|charge: Charge| {
            (1..self.rounds).try_fold(charge, |sum, _| sum.checked_add(charge))
        });
        let noise = cohort.task.noise(&cohort.parameters).expect("drawable");
        let sensitivity = cohort.task.sensitivity().expect("a valid task");
        let inputs = cohort.task.cohort_inputs();
        let plan = cohort.task.plan(&sensitivity, &inputs, 0);
        json!({
            "honest": cohort.parameters.honest_floor(),
            "epsilon": total.map(|total| total.epsilon(self.delta, Orders::Integer)),
            "variance": noise.map(|(_, v)| v.numerator() as f64 / v.denominator() as f64),
            "fewest_ring_bits": plan.ring_bits().expect("a ring"),
        })
    }
}

fn main() -> Result<(), Error> {
    let (mut input, mut output) = (stdin().lock(), stdout().lock());
    let mut line = String::new();
    input.read_line(&mut line)?;
    let wanted: Wanted = serde_json::from_str(&line)?;
    let rehearsal = Rehearsal::new(wanted.devices, wanted.task());
    let cohort = rehearsal.round.cohort().expect("a roster");
    writeln!(output, "{}", wanted.follows(cohort))?;
    output.flush()?;
    let mut rng = ChaCha20Rng::seed_from_u64(wanted.seed);
    while let Some(count) = next_count(&mut input)? {
        let updates = (0..count)
            .map(|_| read_vector(&mut input, wanted.coordinates as usize))
            .collect::<Result<Vec<_>, _>>()?;
        let (sum, _) = sum_of_updates(cohort, &updates, &mut rng);
        let bytes: Vec<u8> = sum.iter().flat_map(|value| value.to_le_bytes()).collect();
        output.write_all(&bytes)?;
        output.flush()?;
    }
    Ok(())
}

/// How many vectors the next round has; nothing at the end of the input.
fn next_count(input: &mut impl BufRead) -> Result<Option<u32>, Error> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

fn read_vector(input: &mut impl Read, coordinates: usize) -> Result<Vec<f64>, Error> {
    let mut bytes = vec![0; 4 * coordinates];
    input.read_exact(&mut bytes)?;
    let values = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
    Ok(values.map(f64::from).collect())
}
