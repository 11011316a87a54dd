//! Complete graphs: every pattern of losses ends as the second review's table says.

use sealsum_protocol::error::AbortCode;
use sealsum_protocol::server::State;
use sealsum_test_fleet::{Rehearsal, task};

/// The largest cohort of which every loss is tried.
const LARGEST: usize = if cfg!(feature = "all") { 8 } else { 6 };

/// Losses at each of five points: after the roster, after dealing, after acknowledging, after the
/// masked input, after signing.
type Losses = [usize; 5];

/// What the second review's table says of such losses in a complete graph.
fn verdict(
    n: usize,
    losses: &Losses,
    a_min: usize,
    quorum: usize,
    t: usize,
) -> Result<(), AbortCode> {
    let [roster, dealt, acknowledged, masked, signed] = *losses;
    if n - roster < a_min {
        return Err(AbortCode::TooFewDevices);
    }
    // Each dealer's shares must be held by t who acknowledged; itself excluded.
    let acknowledgers = n - roster - dealt;
    if acknowledgers.saturating_sub(1) < t {
        return Err(AbortCode::TooFewDevices);
    }
    let survivors = acknowledgers - acknowledged;
    if survivors < a_min {
        return Err(AbortCode::TooFewContributors);
    }
    let signers = survivors - masked;
    if signers < quorum {
        return Err(AbortCode::NoConsensus);
    }
    // A survivor's own self-mask secret is held by the others only.
    if (signers - signed).saturating_sub(1) < t {
        return Err(AbortCode::TooFewShares);
    }
    Ok(())
}

fn lose_in_order(losses: &Losses, order: &[usize]) -> [Vec<usize>; 5] {
    let mut rest = order.iter().copied();
    losses.map(|count| rest.by_ref().take(count).collect())
}

fn all_losses(most: usize) -> Vec<Losses> {
    let mut all = Vec::new();
    let range = 0..=most;
    for a in range.clone() {
        for b in range.clone() {
            for c in range.clone() {
                for d in range.clone() {
                    for e in range.clone() {
                        if a + b + c + d + e <= most {
                            all.push([a, b, c, d, e]);
                        }
                    }
                }
            }
        }
    }
    all
}

fn run_losses(n: usize, dropout_share_permille: u32, losses: &Losses, order: &[usize]) {
    let fields = task(n, |fields| fields.dropout_share_permille = dropout_share_permille);
    let mut rehearsal = Rehearsal::new(n, fields);
    let parameters = rehearsal.round.cohort().unwrap().parameters.clone();
    let (a_min, quorum, t) = (parameters.a_min, parameters.quorum, parameters.t);
    rehearsal.run(&lose_in_order(losses, order));
    let sum = rehearsal.recover();
    match verdict(n, losses, a_min, quorum, t) {
        Ok(()) => assert_eq!(sum, Some(rehearsal.expected()), "n={n} {losses:?} {order:?}"),
        Err(code) => {
            assert_eq!(rehearsal.abort_code(), Some(code), "n={n} {losses:?} {order:?}");
            assert_eq!(sum, None);
        }
    }
    let total: usize = losses.iter().sum();
    if total <= parameters.tolerated() {
        assert_eq!(rehearsal.report().state, State::Finished, "n={n} {losses:?}");
    }
}

#[test]
fn every_pattern_of_losses_ends_as_the_review_says() {
    for n in 3..=LARGEST {
        // Which devices are lost does not matter in a complete graph, so each pattern of counts
        // loses others; the test below turns all places of two losses.
        let mut order: Vec<usize> = (0..n).collect();
        for losses in all_losses(n) {
            run_losses(n, 200, &losses, &order);
            order.rotate_left(1);
        }
    }
}

#[test]
fn each_placement_of_a_single_or_double_loss_ends_alike() {
    for n in [5, 6] {
        for first in 0..n {
            for second in (0..n).filter(|second| *second != first) {
                for (a, b) in [(0, 2), (1, 3), (2, 4), (3, 3)] {
                    let mut losses = [0; 5];
                    losses[a] += 1;
                    losses[b] += 1;
                    run_losses(n, 200, &losses, &[first, second]);
                }
            }
        }
    }
}

#[test]
fn the_table_of_tolerated_losses() {
    let tolerated = |n: usize, share| {
        let rehearsal = Rehearsal::new(n, task(n, |f| f.dropout_share_permille = share));
        rehearsal.round.cohort().unwrap().parameters.tolerated()
    };
    let defaults: Vec<usize> = (3..=12).map(|n| tolerated(n, 200)).collect();
    assert_eq!(defaults, [0, 0, 1, 1, 1, 1, 1, 2, 2, 2]);
    assert_eq!(tolerated(12, 340), 4);
}

#[test]
fn twelve_devices_survive_exactly_four_losses() {
    for step in 0..5 {
        let mut losses = [0; 5];
        losses[step] = 4;
        run_losses(12, 340, &losses, &[0, 3, 7, 11, 5]);
        losses[step] = 5;
        run_losses(12, 340, &losses, &[0, 3, 7, 11, 5]);
    }
    let within = Rehearsal::new(12, task(12, |f| f.dropout_share_permille = 340));
    assert_eq!(within.round.cohort().unwrap().parameters.tolerated(), 4);
    run_losses(12, 340, &[1, 1, 1, 1, 0], &[2, 4, 6, 8]);
    run_losses(12, 340, &[1, 1, 1, 1, 1], &[2, 4, 6, 8, 10]);
}

#[test]
fn every_subset_lost_at_any_one_step_ends_as_its_size_says() {
    for n in 3..=LARGEST {
        for step in 0..5 {
            for subset in 0..1u32 << n {
                let lost: Vec<usize> = (0..n).filter(|device| subset >> device & 1 == 1).collect();
                let mut losses = [0; 5];
                losses[step] = lost.len();
                run_losses(n, 200, &losses, &lost);
            }
        }
    }
}
