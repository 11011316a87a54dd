//! The server's unmasking: secrets rebuilt, keys agreed, uploads added, masks taken off.

use std::num::NonZero;

use sealsum_aggregator::sum;
use sealsum_protocol::encoding::ChunkWords;
use sealsum_protocol::mask::Backend;

use crate::clock::{process_cpu, wall};
use crate::cohort::{EACH, Unmaskable, unmaskable};
use crate::model::Rates;
use crate::summary::Row;

const COORDINATES: usize = 1_000_000;
/// Cohorts: one in a complete graph, one in a sparse one.
const COHORTS: [usize; 2] = [100, 1_000];
/// Times that two threads are tried: the best was disturbed least by whatever else runs.
const TRIES: usize = 5;

/// The worse cohort against the model.
pub(crate) fn model_row(backend: Backend) -> Row {
    let measured = COHORTS.map(|devices| measure(devices, backend));
    let by_ratio = |a: &&Measured, b: &&Measured| a.over_model.total_cmp(&b.over_model);
    let worst = measured.iter().max_by(by_ratio).expect("cohorts");
    Row {
        name: "server_vs_model".to_owned(),
        value: worst.cpu,
        unit: "s".to_owned(),
        peer: format!("cost model: {}", worst.cohort),
        ratio: worst.over_model,
        higher_is_better: false,
        target: Some(1.15),
        backend: backend.name().to_owned(),
    }
}

/// Two threads on the wall against the CPU time of one.
pub(crate) fn two_core_row(backend: Backend) -> Row {
    // Keys are agreed on once, so each try takes a round of its own.
    let attempt = |_| {
        let (one, two) = (round(COHORTS[0], backend), round(COHORTS[0], backend));
        let (cpu, ()) = process_cpu(|| unmask(&one, 1));
        let (wall, ()) = wall(|| unmask(&two, 2));
        (wall / cpu, wall)
    };
    let tries = (0..TRIES).map(attempt);
    let (ratio, value) = tries.min_by(|a, b| a.0.total_cmp(&b.0)).expect("a try");
    Row {
        name: "two_core_wall_over_cpu".to_owned(),
        value,
        unit: "s".to_owned(),
        peer: format!("CPU time of one thread, n={} d={COORDINATES}", COHORTS[0]),
        ratio,
        higher_is_better: false,
        target: Some(0.6),
        backend: backend.name().to_owned(),
    }
}

struct Measured {
    cohort: String,
    cpu: f64,
    over_model: f64,
}

fn round(devices: usize, backend: Backend) -> Unmaskable {
    unmaskable(devices, COORDINATES, backend)
}

fn measure(devices: usize, backend: Backend) -> Measured {
    let round = round(devices, backend);
    let before = Rates::now(round.t);
    let (unmasked_in, ()) = process_cpu(|| unmask(&round, 1));
    let after = Rates::now(round.t);
    let cpu = round.rebuilt_in + unmasked_in;
    let model = (model(&round, &before) + model(&round, &after)) / 2.0;
    let Unmaskable { n, k, t, lost, .. } = round;
    let cohort = format!("n={n} k={k} t={t} d={COORDINATES}, {lost} lost");
    Measured { cohort, cpu, over_model: cpu / model }
}

/// The sum of all uploads, checked in every coordinate.
fn unmask(round: &Unmaskable, threads: usize) {
    let recovery = &round.recovery;
    let layout = recovery.layout();
    let contributors = recovery.contributors();
    let add = |device: usize, chunk: usize, bytes: &mut Vec<u8>, sum: &mut ChunkWords| {
        let upload = if device == contributors[0] { &round.first } else { &round.common };
        bytes.clone_from(&upload[chunk]);
        layout.add_from_wire(chunk, bytes, sum).expect("an upload");
        Ok(())
    };
    let expected = EACH * contributors.len() as i64;
    let threads = NonZero::new(threads).expect("some");
    let unmasked: std::io::Result<()> = sum::unmask(recovery, threads, add, |chunk, sum| {
        let values = recovery.decode_chunk(chunk, &sum).expect("canaries that count");
        assert!(values.iter().all(|value| *value == expected), "a wrong sum");
        Ok(())
    });
    unmasked.expect("threads");
}

/// n L + M_dh T + M w / R + n w / A, with M masks, M_dh of them agreed on.
fn model(round: &Unmaskable, rates: &Rates) -> f64 {
    let (n, masks) = (round.n as f64, round.recovery.masks() as f64);
    let contributors = round.recovery.contributors().len() as f64;
    let bytes = round.common.iter().map(Vec::len).sum::<usize>() as f64;
    n * rates.rebuild
        + (masks - contributors) * rates.agreement
        + masks * bytes * rates.stream_byte
        + contributors * bytes * rates.added_byte
}
