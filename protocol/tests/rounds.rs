//! Whole rounds in one process: exact sums. How devices are lost is in `tests/dropouts`.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::dp::Law;
use sealsum_protocol::error::AbortCode;
use sealsum_protocol::mask::{Backend, Suite};
use sealsum_protocol::server::{Event, State, Step};
use sealsum_protocol::task::{Bins, Kind, Privacy, Range, Rotation, TaskFields, Weights};
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
fn a_histogram_is_summed_from_values() {
    let bins = Bins { range: Range { low: 0.0, high: 100.0 }, count: 10 };
    let ages = task(5, |fields| {
        (fields.kind, fields.coordinates) = (Kind::Histogram(bins), 10);
        (fields.clip, fields.scale, fields.ring_bits) = (1.0, 1, 8);
    });
    let mut rehearsal = Rehearsal::new(5, ages);
    rehearsal.updates = [5.0, 15.0, 12.0, 99.0, 250.0].map(|age| vec![age]).to_vec();
    rehearsal.run(&no_losses());
    assert_eq!(rehearsal.recover().expect("a sum"), [1, 2, 0, 0, 0, 0, 0, 0, 0, 2]);
}

#[test]
fn a_rotated_sum_turns_back_and_its_padding_is_empty() {
    let rotated = task(6, |fields| {
        fields.kind = Kind::Vector(Rotation::Hadamard);
        (fields.coordinates, fields.clip, fields.scale) = (20, 8.0, 1 << 16);
    });
    let mut rehearsal = Rehearsal::new(6, rotated);
    rehearsal.updates = (0..6).map(|device| vec![device as f64 / 8.0; 20]).collect();
    rehearsal.run(&no_losses());
    let integers = rehearsal.recover().expect("a sum");
    assert_eq!(integers.len(), 32);
    let mut sum: Vec<f64> = integers.iter().map(|integer| *integer as f64 / 65_536.0).collect();
    let cohort = rehearsal.round.cohort().unwrap();
    cohort.task.rotation(&cohort.transcript.params_hash).unwrap().invert(&mut sum);
    // Each of six devices rounds each rotated coordinate by less than a unit.
    let most = 6.0 * 32f64.sqrt() / 65_536.0;
    let (values, padding) = sum.split_at(20);
    assert!(values.iter().all(|value| (value - 15.0 / 8.0).abs() < most), "{values:?}");
    assert!(padding.iter().all(|value| value.abs() < most), "{padding:?}");
    assert!(integers.iter().any(|integer| *integer < 0), "nothing was rotated");
}

#[test]
fn noise_is_in_the_sum_and_within_its_law() {
    let noisy = task(6, |fields| {
        fields.privacy = Privacy::Noise { law: Law::Skellam, z_permille: 1000, delta: 1e-5 };
        (fields.coordinates, fields.clip, fields.scale) = (4000, 1.0, 64);
    });
    let mut rehearsal = Rehearsal::new(6, noisy);
    rehearsal.updates = vec![vec![0.0; 4000]; 6];
    rehearsal.run(&no_losses());
    let sum = rehearsal.recover().expect("a sum");
    let cohort = rehearsal.round.cohort().unwrap();
    let variance = cohort.task.noise(&cohort.parameters).unwrap().unwrap().1;
    let expected = 6.0 * variance.numerator() as f64 / variance.denominator() as f64;
    let found = sum.iter().map(|value| (value * value) as f64).sum::<f64>() / 4000.0;
    assert!((found / expected - 1.0).abs() < 0.15, "{found} against {expected}");
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

#[test]
fn an_aggregator_on_another_kind_of_cpu_gives_the_exact_sum() {
    for mask_suite in [Suite::ChaCha20, Suite::Aes256Ctr] {
        let change = |fields: &mut TaskFields| {
            (fields.coordinates, fields.mask_suite) = (20_000, mask_suite)
        };
        for backend in Backend::available(mask_suite) {
            let mut rehearsal = Rehearsal::new(5, task(5, change));
            rehearsal.run(&no_losses());
            let recovery = rehearsal.recovery.take().expect("a sum to unmask");
            rehearsal.recovery = Some(recovery.with_backend(backend));
            assert_eq!(rehearsal.recover().expect("a sum"), rehearsal.expected(), "{backend:?}");
        }
    }
}
