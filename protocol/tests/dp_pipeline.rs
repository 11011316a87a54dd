//! From a device's vector to a sum: the sensitivity holds for whatever comes in, and nothing but
//! noise is added on the way.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use proptest::prelude::*;
use sealsum_protocol::client::prepare;
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::clip::{NotFinite, clip};
use sealsum_protocol::dp::hadamard::{Rotation as Hadamard, padded};
use sealsum_protocol::dp::planner::Plan;
use sealsum_protocol::dp::rounding::round_stochastic;
use sealsum_protocol::dp::sensitivity::Sensitivity;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::parameters::CohortInputs;
use sealsum_protocol::task::{Kind, Privacy, Rotation, Task, TaskFields};
use sealsum_test_fleet::*;

/// Clips to `norm`, rotates if told so, rounds: the sum of squares, and what it may be.
fn squares(values: &[f64], norm: f64, scale: u64, rotated: bool, seed: u64) -> (u128, u128) {
    let length = if rotated { padded(values.len()) } else { values.len() };
    let sensitivity = Sensitivity::new(norm, scale, length).unwrap();
    let vector = || {
        let mut clipped = clip(values.to_vec(), norm)?;
        if rotated {
            clipped.rotate(&Hadamard::new(values.len(), [seed as u8; 32]));
        }
        Ok::<_, NotFinite>(clipped)
    };
    let integers = round_stochastic(vector, scale, &sensitivity, &mut rng(seed)).unwrap();
    assert_eq!(integers.len(), length);
    let found = integers.iter().map(|q| u128::from(q.unsigned_abs()).pow(2)).sum();
    (found, sensitivity.l2_squared_units())
}

fn adversarial() -> Vec<Vec<f64>> {
    let one_hot = |length: usize, value: f64| {
        let mut values = vec![0.0; length];
        values[length / 2] = value;
        values
    };
    vec![
        vec![1e38; 100],
        vec![f64::MAX; 33],
        vec![f64::MIN, f64::MAX, f64::MIN_POSITIVE, 5e-324],
        vec![f64::from(f32::MAX); 650],
        one_hot(1000, 1e38),
        one_hot(1000, 1.0),
        one_hot(1, -1.0),
        // Fractions of one half everywhere, at and inside the clip of 1 and 64 units.
        vec![0.5 / 64.0; 4096],
        vec![-1.5 / 64.0; 1024],
        (0..1000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 / 128.0 }).collect(),
        vec![1.0 / 64.0; 4097],
        vec![0.0; 17],
        vec![-0.0, 1e-300, -1e-300],
    ]
}

#[test]
fn no_vector_has_more_than_its_sensitivity() {
    for (place, values) in adversarial().iter().enumerate() {
        for (norm, scale) in [(1.0, 64), (1.0, 1), (0.1, 1 << 20), (1e6, 1 << 20)] {
            for rotated in [false, true] {
                for seed in 0..4 {
                    let (found, bound) = squares(values, norm, scale, rotated, seed);
                    assert!(found <= bound, "vector {place}, {norm} {scale}: {found} > {bound}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn nor_has_any_other_vector(
        values in prop::collection::vec(prop_oneof![any::<f64>(), -2.0..2.0f64, Just(0.5)], 1..200),
        log_scale in 0u32..30,
        rotated: bool,
        seed: u64,
    ) {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        prop_assume!(!values.is_empty());
        let (found, bound) = squares(&values, 1.0, 1 << log_scale, rotated, seed);
        prop_assert!(found <= bound, "{found} > {bound}");
    }
}

/// Fifty devices, rotated, with noise of z = 1 or none.
fn fifty(noise: bool) -> Rehearsal {
    let task: Task = task(50, |fields: &mut TaskFields| {
        fields.kind = Kind::Vector(Rotation::Hadamard);
        (fields.coordinates, fields.clip, fields.scale) = (650, 1.0, 128);
        fields.ring_bits = 16;
        if noise {
            fields.privacy = Privacy::Noise { law: Law::Skellam, z_permille: 1000, delta: 1e-5 };
        }
    });
    Rehearsal::new(50, task)
}

#[test]
fn a_vector_with_a_value_that_is_no_number_is_refused() {
    let rehearsal = fifty(true);
    let cohort = rehearsal.round.cohort().unwrap();
    for wrong in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for place in [0, 7, 649] {
            let mut update = vec![0.001; 650];
            update[place] = wrong;
            let refused = prepare(&update, None, cohort, &mut rng(1)).err().unwrap();
            assert_eq!(refused.guard, Guard::Norm);
            assert!(refused.detail.contains("must be a finite number"), "{refused}");
        }
    }
}

#[test]
fn the_sum_of_fifty_rotated_vectors_is_the_sum_within_its_noise() {
    for noise in [false, true] {
        let rehearsal = fifty(noise);
        let cohort = rehearsal.round.cohort().unwrap();
        let updates: Vec<Vec<f64>> = (0..50)
            .map(|device| (0..650).map(|i| ((device * 650 + i) as f64).sin() / 20.0).collect())
            .collect();
        let (sum, padding) = sum_of_updates(cohort, &updates, &mut rng(2));
        assert_eq!((sum.len(), padding.len()), (650, 1024 - 650));
        let exact = |place: usize| updates.iter().map(|update| update[place]).sum::<f64>();
        let each = match cohort.task.noise(&cohort.parameters).unwrap() {
            Some((_, v)) => v.numerator() as f64 / v.denominator() as f64,
            None => 0.0,
        };
        // A device's rounding adds 1/6 if its fractions are spread, 1/4 at most, and 0 at least.
        let squares: f64 = (0..650).map(|place| (sum[place] - exact(place)).powi(2)).sum();
        let found = squares / 650.0 * 128f64.powi(2) / 50.0;
        let strays = 5.0 * (2.0f64 / 650.0).sqrt();
        let (least, most) = ((each + 0.1) * (1.0 - strays), (each + 0.25) * (1.0 + strays));
        assert!((least..most).contains(&found), "{found}, not {least} to {most}");
    }
}

/// (devices, honest, per mille lost): cohorts of the reference, at z = 1 and an inflation of 1 %.
const COHORTS: [(u32, u32, u32); 4] =
    [(50, 34, 300), (100, 67, 320), (1000, 667, 332), (1000, 900, 99)];
/// Coordinates and their clip in units, then the bits of the four cohorts with the rotation.
const BITS: [(usize, f64, [u8; 4]); 4] = [
    (1 << 10, 144.0, [12, 13, 16, 16]),
    (1 << 16, 932.0, [14, 14, 16, 16]),
    (1 << 20, 3640.0, [16, 16, 17, 17]),
    (1 << 24, 14474.0, [19, 19, 19, 18]),
];

#[test]
fn a_rotated_sum_takes_at_most_two_bits_more_than_the_reference_s() {
    for (coordinates, units, bits) in BITS {
        let sensitivity = Sensitivity::new(units, 1, coordinates).unwrap();
        assert!(sensitivity.norms().0 / units < 1.0101);
        for ((devices, honest, dropout_share_permille), reference) in COHORTS.into_iter().zip(bits)
        {
            let cohort = CohortInputs {
                min_contributors: honest + 1,
                corrupt_share_permille: 0,
                dropout_share_permille,
            };
            let plan = |rotated| Plan {
                coordinates,
                sensitivity: &sensitivity,
                rotated,
                noise_multiplier: Some(1.0),
                cohort: &cohort,
                max_devices: devices,
                corrupt_fleet: 0,
            };
            let found = plan(true).ring_bits().unwrap();
            let row = format!("{devices} devices, {coordinates} coordinates");
            // The reference overflows once in a million rounds, ours once in a billion.
            assert!((reference..=reference + 2).contains(&found), "{row}: {found} bits");
            assert!(found <= plan(false).ring_bits().unwrap(), "{row}");
        }
    }
}
