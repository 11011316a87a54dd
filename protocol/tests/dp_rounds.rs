//! Noise in whole rounds, with losses: as much as documented and no more than all of it. Seeds are
//! fixed; bounds are five standard deviations.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use rand_core::Rng;
use sealsum_protocol::dp::Law;
use sealsum_protocol::parameters::Parameters;
use sealsum_protocol::task::{Kind, Privacy, Rotation, Task};
use sealsum_test_fleet::*;

const DEVICES: usize = 10;
const COORDINATES: usize = 1000;
const SCALE: u64 = 256;
const ROUNDS: u64 = 24;

fn noisy(law: Law, rotation: Rotation, z_permille: u32) -> Task {
    task(DEVICES, |fields| {
        fields.privacy = Privacy::Noise { law, z_permille, delta: 1e-5 };
        fields.coordinates = COORDINATES as u32;
        (fields.clip, fields.scale) = (1.0, SCALE);
        fields.dropout_share_permille = 300;
        fields.kind = Kind::Vector(rotation);
    })
}

/// What a round's noise was.
struct Measured {
    contributors: usize,
    /// Mean square of what the sum differs by from the true one, squared units.
    variance: f64,
}

/// Runs a round in which up to three devices are lost, before or after their masked input.
fn round(task: &Task, number: u64) -> Measured {
    let mut rehearsal = Rehearsal::with_spec(DEVICES, spec(task.clone(), number));
    rehearsal.rng = rng(number);
    let mut random = rng(1000 + number);
    for update in &mut rehearsal.updates {
        update.iter_mut().for_each(|value| {
            *value = (f64::from(random.next_u32() % 9) - 4.0) / SCALE as f64;
        });
    }
    let mut losses = no_losses();
    for _ in 0..random.next_u32() % 4 {
        let device = random.next_u32() as usize % DEVICES;
        losses[2 + random.next_u32() as usize % 2].push(device);
    }
    rehearsal.run(&losses);
    let sum = rehearsal.recover().expect("a sum");
    let contributors = rehearsal.report().contributors.len();
    Measured { contributors, variance: mean_square_error(&rehearsal, &sum) }
}

fn mean_square_error(rehearsal: &Rehearsal, sum: &[i64]) -> f64 {
    let cohort = rehearsal.round.cohort().unwrap();
    let mut found: Vec<f64> = sum.iter().map(|integer| *integer as f64).collect();
    if let Some(rotation) = cohort.task.rotation(&cohort.transcript.params_hash) {
        rotation.invert(&mut found);
    }
    let expected = rehearsal.expected();
    let squares =
        found.iter().zip(&expected).map(|(found, true_sum)| (found - *true_sum as f64).powi(2));
    squares.sum::<f64>() / expected.len() as f64
}

/// What is documented of a task's noise.
struct Documented {
    honest_floor: f64,
    each: f64,
}

fn documented(task: &Task) -> Documented {
    let parameters = Parameters::derive(&task.cohort_inputs(), DEVICES, 0).unwrap();
    let (_, variance) = task.noise(&parameters).unwrap().unwrap();
    let z = task.noise_multiplier().unwrap();
    let (d2, _) = task.sensitivity().unwrap().norms();
    let each = variance.numerator() as f64 / variance.denominator() as f64;
    let honest_floor = parameters.honest_floor() as f64;
    assert!((honest_floor * each / (z * d2).powi(2) - 1.0).abs() < 1e-6, "v = z² D2² / honest");
    Documented { honest_floor, each }
}

/// Each round within its bounds, and all rounds together at what their contributors explain.
fn complaint(documented: &Documented, rounds: &[Measured]) -> Option<String> {
    let deviation = (2.0 / COORDINATES as f64).sqrt();
    for (place, round) in rounds.iter().enumerate() {
        let shares = round.variance / documented.each;
        let least = documented.honest_floor * (1.0 - 5.0 * deviation);
        let most = DEVICES as f64 * (1.0 + 5.0 * deviation);
        if !(least..most).contains(&shares) {
            return Some(format!("round {place}: the noise of {shares:.2} devices"));
        }
    }
    let ratio = |round: &Measured| round.variance / documented.each / round.contributors as f64;
    let mean = rounds.iter().map(ratio).sum::<f64>() / rounds.len() as f64;
    let strays = (mean - 1.0).abs() > 5.0 * deviation / (rounds.len() as f64).sqrt();
    strays.then(|| format!("{mean:.4} of what the contributors add"))
}

fn rounds(task: &Task) -> Vec<Measured> {
    (1..=ROUNDS).map(|number| round(task, number)).collect()
}

#[test]
fn noise_is_what_the_contributors_of_each_round_explain() {
    for (law, rotation) in [
        (Law::Skellam, Rotation::None),
        (Law::Skellam, Rotation::Hadamard),
        (Law::DiscreteGaussian, Rotation::None),
    ] {
        let task = noisy(law, rotation, 1000);
        let measured = rounds(&task);
        assert_eq!(complaint(&documented(&task), &measured), None, "{law:?} {rotation:?}");
        let counts: Vec<usize> = measured.iter().map(|round| round.contributors).collect();
        assert!(counts.contains(&DEVICES) && counts.contains(&(DEVICES - 2)), "{counts:?}");
    }
}

#[test]
fn half_of_the_noise_is_noticed_and_so_is_a_tenth_less() {
    let promised = documented(&noisy(Law::Skellam, Rotation::None, 1000));
    // z² times 0.5, and times 0.9.
    for (z_permille, found) in [(707, ": the noise of "), (949, " of what the contributors add")] {
        let quieter = rounds(&noisy(Law::Skellam, Rotation::None, z_permille));
        let complaint = complaint(&promised, &quieter).expect("noticed");
        assert!(complaint.contains(found), "{complaint}");
    }
}
