//! Whole rounds in one process: exact sums, and every way to lose devices.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::error::AbortCode;
use sealsum_protocol::mask::Suite;
use sealsum_protocol::server::{Event, State, Step};
use sealsum_protocol::task::{Privacy, Weights};
use sealsum_test_fleet::*;

fn exact_sum(n: usize, task: sealsum_protocol::task::Task) -> Rehearsal {
    let mut rehearsal = Rehearsal::new(n, task);
    rehearsal.run(&no_losses());
    let sum = rehearsal.recover().expect("a sum");
    assert_eq!(sum, rehearsal.expected());
    assert_eq!(rehearsal.report().contributors.len(), n);
    assert_eq!(rehearsal.report().state, State::Finished);
    rehearsal
}

#[test]
fn a_complete_graph_gives_the_exact_sum() {
    for n in [3, 4, 7, 12, 30] {
        let rehearsal = exact_sum(n, task(n, |_| {}));
        let report = rehearsal.report();
        assert_eq!(report.signers, report.roster);
        assert_eq!(report.revealers, report.roster);
        assert!(report.dropped.is_empty() && report.blamed.is_empty());
        let steps: Vec<Step> = report.took_ms.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps.len(), 7, "{steps:?}");
    }
}

#[test]
fn every_ring_and_suite_gives_the_exact_sum() {
    for ring_bits in [26, 32, 33, 64] {
        for mask_suite in [Suite::ChaCha20, Suite::Aes256Ctr] {
            exact_sum(
                5,
                task(5, |fields| {
                    fields.coordinates = 20_000;
                    fields.clip = 4096.0;
                    (fields.ring_bits, fields.mask_suite) = (ring_bits, mask_suite);
                }),
            );
        }
    }
    for (ring_bits, clip) in [(14, 4.0), (16, 16.0), (21, 500.0)] {
        let small = task(5, |fields| (fields.ring_bits, fields.clip) = (ring_bits, clip));
        let mut rehearsal = Rehearsal::new(5, small);
        for (index, update) in rehearsal.updates.iter_mut().enumerate() {
            *update = (0..5).map(|j| (index as f64 - 2.0) * (j as f64 - 2.0) / 256.0).collect();
        }
        rehearsal.run(&no_losses());
        assert_eq!(rehearsal.recover().expect("a sum"), rehearsal.expected());
    }
}

#[test]
fn a_sparse_graph_gives_the_exact_sum_with_losses_at_each_step() {
    let n = 150;
    let mut rehearsal = Rehearsal::new(n, task(n, |fields| fields.clip = 8192.0));
    let parameters = rehearsal.round.cohort().unwrap().parameters.clone();
    assert!(!parameters.complete && parameters.k < n - 1 && parameters.w_min > 0);
    rehearsal.run(&[vec![3, 77], vec![10, 149], vec![0, 41, 42], vec![64, 65], vec![100, 120]]);
    assert_eq!(rehearsal.recover().expect("a sum"), rehearsal.expected());
    let report = rehearsal.report();
    assert_eq!(report.shared.len(), n - 2);
    assert_eq!(report.contributors.len(), n - 7);
    assert_eq!(report.signers.len(), n - 9);
    assert_eq!(report.revealers.len(), n - 11);
    let count = |step| report.dropped.iter().filter(|dropped| dropped.step == step).count();
    let counts = [Step::Share, Step::Mask, Step::Check, Step::Unmask].map(count);
    assert_eq!(counts, [2, 5, 2, 2]);
}

#[test]
fn weights_are_summed_inside_the_clip() {
    let weighed = task(4, |fields| {
        fields.weights = Weights::UpTo(4);
        fields.coordinates = 2;
    });
    let mut rehearsal = Rehearsal::new(4, weighed);
    rehearsal.updates = (0..4).map(|index| vec![4.0 * index as f64, -8.0]).collect();
    rehearsal.run(&no_losses());
    // Weights 1, 2, 3, 4 of 4: values and the weight itself times w / 4, in 1/256.
    let sum = rehearsal.recover().expect("a sum");
    assert_eq!(sum, [(2 + 6 + 12) * 256, -8 * 640, 640]);
}

#[test]
fn noise_is_in_the_sum_and_within_its_law() {
    let noisy = task(6, |fields| {
        fields.privacy = Privacy::Skellam { z_permille: 1000, delta: 1e-5 };
        (fields.coordinates, fields.clip, fields.scale) = (4000, 1.0, 64);
    });
    let mut rehearsal = Rehearsal::new(6, noisy);
    rehearsal.updates = vec![vec![0.0; 4000]; 6];
    rehearsal.run(&no_losses());
    let sum = rehearsal.recover().expect("a sum");
    let cohort = rehearsal.round.cohort().unwrap();
    let variance = cohort.task.noise_variance(&cohort.parameters).unwrap().unwrap();
    let expected = 6.0 * variance.numerator() as f64 / variance.denominator() as f64;
    let found = sum.iter().map(|value| (value * value) as f64).sum::<f64>() / 4000.0;
    assert!((found / expected - 1.0).abs() < 0.15, "{found} against {expected}");
}

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
fn every_dropout_pattern_of_up_to_six_devices_ends_as_the_review_says() {
    for n in 3..=6 {
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
fn devices_known_to_be_gone_are_not_waited_for() {
    let mut rehearsal = Rehearsal::new(6, task(6, |_| {}));
    rehearsal.share();
    rehearsal.acknowledge();
    rehearsal.take_sharers();
    rehearsal.lose(&[2]);
    let gone = rehearsal.devices[2].id;
    rehearsal.event(Event::Gone(gone)).unwrap();
    rehearsal.mask();
    rehearsal.check();
    rehearsal.take_quorum();
    rehearsal.unmask();
    assert_eq!(rehearsal.recover(), Some(rehearsal.expected()));
    assert_eq!(rehearsal.now, START, "no deadline passed");
}

#[test]
fn too_few_devices_never_share() {
    let mut rehearsal = Rehearsal::new(
        4,
        task(4, |fields| {
            (fields.max_devices, fields.start_when, fields.min_contributors) = (9, 6, 5)
        }),
    );
    assert_eq!(rehearsal.round.step(), Step::Advertise);
    rehearsal.pass_deadline(Step::Advertise);
    assert_eq!(rehearsal.abort_code(), Some(AbortCode::TooFewDevices));
}
