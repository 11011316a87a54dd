//! Draws against their law, by chi-square and Kolmogorov-Smirnov; what is not the law, by a little,
//! fails the same test. Seeds are fixed.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::noise::Sampler;
use sealsum_protocol::dp::variance::Variance;

/// Variance as a rational, and how many draws show an error of 1 %.
const NOISES: [(u128, u128, u64); 7] = [
    (1, 100, 120_000_000),
    (1, 4, 4_000_000),
    (1, 1, 4_000_000),
    (64, 1, 4_000_000),
    (10_000, 1, 4_000_000),
    (4096 * 4096, 1, 4_000_000),
    (3 * 4096 * 4096, 1, 3_000_000),
];

/// P(Z = k) for k = 0, 1, …, until nothing is left.
struct Probabilities(Vec<f64>);

impl Probabilities {
    fn of(law: Law, variance: f64) -> Self {
        let most = (14.0 * variance.sqrt()) as usize + 40;
        let weights: Vec<f64> = match law {
            Law::DiscreteGaussian => {
                (0..=most).map(|k| (-((k * k) as f64) / (2.0 * variance)).exp()).collect()
            }
            Law::Skellam => bessel(variance, most),
        };
        let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
        Self(weights.into_iter().map(|weight| weight / total).collect())
    }

    fn at(&self, value: i64) -> f64 {
        self.0.get(value.unsigned_abs() as usize).copied().unwrap_or(0.0)
    }
}

/// I_k(v) up to a factor: the ratios I_k / I_{k-1} = 1 / (2k/v + I_{k+1} / I_k), from far out.
fn bessel(variance: f64, most: usize) -> Vec<f64> {
    let mut ratios = vec![0.0; 2 * most + 2];
    for k in (1..=2 * most).rev() {
        ratios[k] = 1.0 / (2.0 * k as f64 / variance + ratios[k + 1]);
    }
    let mut weights = vec![1.0];
    for ratio in &ratios[1..=most] {
        weights.push(weights[weights.len() - 1] * ratio);
    }
    weights
}

/// How often each value came.
struct Counts {
    reach: i64,
    counts: Vec<u64>,
    draws: u64,
}

impl Counts {
    fn of(variance: f64, draws: u64, mut draw: impl FnMut() -> i64) -> Self {
        let reach = (12.0 * variance.sqrt()) as i64 + 30;
        let mut counts = vec![0; 2 * reach as usize + 1];
        for _ in 0..draws {
            counts[(draw().clamp(-reach, reach) + reach) as usize] += 1;
        }
        Self { reach, counts, draws }
    }

    fn cells(&self, variance: f64, law: &Probabilities) -> Vec<(f64, f64)> {
        let tail = (4.0 * variance.sqrt()).ceil() as i64;
        let mut cells = Vec::new();
        let mut cell = (0.0, 0.0);
        for value in -self.reach..=self.reach {
            cell.0 += self.counts[(value + self.reach) as usize] as f64;
            cell.1 += law.at(value) * self.draws as f64;
            // Tails beyond four deviations have a cell of their own.
            let full = cell.1 >= self.draws as f64 / 64.0 || value == tail - 1;
            if full || (value == -tail && cell.1 >= 10.0) {
                cells.push(std::mem::take(&mut cell));
            }
        }
        merge(cells, cell)
    }
}

/// The rest becomes a cell if it is large enough to count, or part of the last one.
fn merge(mut cells: Vec<(f64, f64)>, rest: (f64, f64)) -> Vec<(f64, f64)> {
    if rest.1 >= 10.0 {
        cells.push(rest);
    } else if let Some(last) = cells.last_mut() {
        *last = (last.0 + rest.0, last.1 + rest.1);
    }
    cells
}

/// Normal deviate of the chi-square statistic (Wilson and Hilferty), and √n times the largest
/// distance of the distribution functions.
fn misfit(counts: &Counts, variance: f64, law: &Probabilities) -> (f64, f64) {
    let cells = counts.cells(variance, law);
    let freedom = (cells.len() - 1) as f64;
    let statistic: f64 =
        cells.iter().map(|(found, expected)| (found - expected).powi(2) / expected).sum();
    let spread = 2.0 / (9.0 * freedom);
    let deviate = ((statistic / freedom).cbrt() - 1.0 + spread) / spread.sqrt();
    let (mut found, mut expected, mut distance) = (0.0, 0.0, 0.0f64);
    for value in -counts.reach..=counts.reach {
        found += counts.counts[(value + counts.reach) as usize] as f64 / counts.draws as f64;
        expected += law.at(value);
        distance = distance.max((found - expected).abs());
    }
    (deviate, distance * (counts.draws as f64).sqrt())
}

#[track_caller]
fn assert_fits(what: &str, (chi_square, kolmogorov): (f64, f64)) {
    assert!(chi_square < 4.0 && kolmogorov < 2.2, "{what}: {chi_square} {kolmogorov}");
}

#[track_caller]
fn assert_rejected(what: &str, (chi_square, kolmogorov): (f64, f64)) {
    assert!(chi_square > 6.0, "{what} passes: {chi_square} {kolmogorov}");
}

fn counts(law: Law, variance: (u128, u128), draws: u64, seed: u8) -> Counts {
    let sampler = Sampler::new(law, &Variance::new(variance.0, variance.1).unwrap());
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    Counts::of(variance.0 as f64 / variance.1 as f64, draws, || sampler.sample(&mut rng))
}

/// Whether there is a law to test: a discrete Gaussian of deviation 0.1 is always zero, and one of
/// more than a table's variance is not drawn.
fn is_tested(law: Law, (p, q): (u128, u128)) -> bool {
    law == Law::Skellam || (p * 100 > q && p <= 4096 * 4096)
}

#[test]
fn draws_follow_their_law_and_not_one_of_another_variance() {
    for law in Law::ALL {
        for (p, q, draws) in NOISES.into_iter().filter(|(p, q, _)| is_tested(law, (*p, *q))) {
            let variance = p as f64 / q as f64;
            let expected = Probabilities::of(law, variance);
            let what = format!("{law:?} {p}/{q}");
            let right = counts(law, (p, q), draws, 1);
            assert_fits(&what, misfit(&right, variance, &expected));
            for percent in [99, 101] {
                let wrong = counts(law, (p * percent, q * 100), draws, 2);
                let what = format!("{what} at {percent} %");
                assert_rejected(&what, misfit(&wrong, variance, &expected));
            }
        }
    }
}

#[test]
fn a_discrete_gaussian_far_below_one_unit_is_zero() {
    let none = counts(Law::DiscreteGaussian, (1, 100), 1_000_000, 1);
    assert_eq!(none.counts[none.reach as usize], 1_000_000);
}

#[test]
fn each_law_is_told_from_the_other() {
    for (p, q, draws) in [(1, 4, 1_000_000), (1, 1, 1_000_000), (16, 1, 2_000_000)] {
        for (drawn, expected) in
            [(Law::Skellam, Law::DiscreteGaussian), (Law::DiscreteGaussian, Law::Skellam)]
        {
            let variance = p as f64 / q as f64;
            let misfit = misfit(
                &counts(drawn, (p, q), draws, 3),
                variance,
                &Probabilities::of(expected, variance),
            );
            assert_rejected(&format!("{drawn:?} {p}/{q}"), misfit);
        }
    }
}

#[test]
fn rounded_normal_draws_are_told_from_both_laws() {
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    for deviation in [0.5, 1.0] {
        let variance = deviation * deviation;
        let rounded = Counts::of(variance, 1_000_000, || {
            let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
            let normal = radius * (std::f64::consts::TAU * uniform()).cos();
            (normal * deviation).round() as i64
        });
        for law in Law::ALL {
            let misfit = misfit(&rounded, variance, &Probabilities::of(law, variance));
            assert_rejected(&format!("a rounded normal of {deviation}"), misfit);
        }
    }
}

#[test]
fn tails_cut_at_four_deviations_are_missed() {
    for law in Law::ALL {
        for (p, draws) in [(64, 4_000_000), (10_000, 4_000_000), (4096 * 4096, 4_000_000)] {
            let variance = p as f64;
            let cut = (4.0 * variance.sqrt()) as i64;
            let sampler = Sampler::new(law, &Variance::new(p, 1).unwrap());
            let mut rng = ChaCha20Rng::from_seed([5; 32]);
            let short = Counts::of(variance, draws, || {
                loop {
                    let draw = sampler.sample(&mut rng);
                    if draw.abs() < cut {
                        return draw;
                    }
                }
            });
            let misfit = misfit(&short, variance, &Probabilities::of(law, variance));
            assert_rejected(&format!("{law:?} {p} without tails"), misfit);
        }
    }
}
