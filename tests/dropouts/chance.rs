//! Sparse graphs: how often random losses end a round, beside the bound that the parameters are
//! made for. The bound is computed here anew, in logarithms, as a second opinion on
//! `protocol/src/hypergeometric.rs`.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::graph::Graph;
use sealsum_protocol::parameters::{CohortInputs, Parameters};

const CORRUPT: u32 = 100;
const DROPOUT: u32 = 200;

fn parameters(n: usize) -> Parameters {
    let inputs = CohortInputs {
        min_contributors: 3,
        corrupt_share_permille: CORRUPT,
        dropout_share_permille: DROPOUT,
    };
    Parameters::derive(&inputs, n, 0).unwrap()
}

/// ln(m!).
fn ln_factorial(m: usize) -> f64 {
    (2..=m).map(|i| (i as f64).ln()).sum()
}

fn ln_choose(n: usize, k: usize) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Pr[fewer than `least` of `marked` among `draws` out of `population`].
fn fewer_than(least: usize, population: usize, marked: usize, draws: usize) -> f64 {
    let possible = (draws + marked).saturating_sub(population)..=draws.min(marked);
    let weight = |found: usize| {
        let others = ln_choose(population - marked, draws - found);
        (ln_choose(marked, found) + others - ln_choose(population, draws)).exp()
    };
    possible.filter(|found| *found < least).map(weight).sum()
}

/// A union bound over devices and windows on the chance that `lost` random losses end the round.
fn predicted(parameters: &Parameters, lost: usize) -> f64 {
    let (n, k) = (parameters.n, parameters.k);
    let left = n - lost;
    let neighbours = fewer_than(parameters.t, n - 1, left - 1, k);
    let windows = fewer_than(parameters.w_min, n, left, k / 2);
    n as f64 * (neighbours + windows)
}

/// Which `lost` of `n` devices are lost.
fn draw_lost(n: usize, lost: usize, rng: &mut ChaCha20Rng) -> Vec<bool> {
    let mut order: Vec<usize> = (0..n).collect();
    for place in 0..lost {
        let other = place + rng.next_u64() as usize % (n - place);
        order.swap(place, other);
    }
    let mut is_lost = vec![false; n];
    order[..lost].iter().for_each(|device| is_lost[*device] = true);
    is_lost
}

/// Whether the secrets of everybody that is left can be rebuilt and each window has enough.
fn completes(parameters: &Parameters, graph: &Graph, is_lost: &[bool]) -> bool {
    let alive = |device: usize| !is_lost[device];
    let holders = |device: usize| {
        graph.neighbours(device).iter().filter(|peer| alive(usize::from(**peer))).count()
    };
    (0..parameters.n).filter(|device| alive(*device)).all(|device| holders(device) >= parameters.t)
        && graph.windows_hold(parameters, alive)
}

/// Of `trials` rounds, the share that random losses end.
fn measured(parameters: &Parameters, lost: usize, trials: usize) -> f64 {
    let n = parameters.n;
    let ids: Vec<[u8; 32]> = (0..n as u64).map(id).collect();
    let mut rng = ChaCha20Rng::seed_from_u64(lost as u64);
    let failed = (0..trials).filter(|_| {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let graph = Graph::new(parameters, &seed, &ids);
        !completes(parameters, &graph, &draw_lost(n, lost, &mut rng))
    });
    failed.count() as f64 / trials as f64
}

fn id(number: u64) -> [u8; 32] {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

#[test]
fn the_losses_that_a_task_names_end_next_to_no_round() {
    for n in [120, 200, 400] {
        let parameters = parameters(n);
        let lost = n * DROPOUT as usize / 1000;
        let bound = predicted(&parameters, lost);
        assert!(bound <= 2.0 * 2f64.powi(-20), "n={n}: {bound:e}");
        assert_eq!(measured(&parameters, lost, 1000), 0.0, "n={n}");
    }
}

#[test]
fn more_losses_end_rounds_as_often_as_the_bound_allows_and_not_much_less() {
    let (n, trials) = (200, 3000);
    let parameters = parameters(n);
    let mut told_apart = 0;
    for lost in (40..100).step_by(4) {
        let (bound, found) = (predicted(&parameters, lost), measured(&parameters, lost, trials));
        let error = 4.0 * (bound.min(1.0) / trials as f64).sqrt();
        assert!(found <= bound + error, "{lost} lost: {found} of at most {bound}");
        if (0.01..0.3).contains(&bound) {
            // The events of a union bound overlap, but rare ones little.
            assert!(found >= bound / 10.0, "{lost} lost: {found}, the bound is {bound}");
            told_apart += 1;
        }
    }
    assert!(told_apart > 0, "no loss in between was tried");
}
