//! Flower's SecAgg+, process against process.

use crate::alternate::median;
use crate::peers::{ours, python, version};
use crate::summary::Row;

/// Devices, coordinates, lost: a tenth.
const ROUND: [usize; 3] = [32, 1_000_000, 3];
const PAIRS: usize = 3;
/// Flower sums integers of 32 bits.
const RING_BITS: usize = 32;

/// Whole processes by turns, each from its start to its end, with the making of its vectors and the
/// check of its result.
pub(crate) fn rows(backend: &str) -> Vec<Row> {
    let (mut process, mut client, mut server, mut upload) = (vec![], vec![], vec![], vec![]);
    let mut seconds = vec![];
    for _ in 0..PAIRS {
        let theirs = python("flower", &ROUND);
        let [n, d, lost] = ROUND;
        let own = ours(&[n, d, lost, RING_BITS]);
        process.push(theirs.process_s / own.process_s);
        client.push(theirs.outcome.client_cpu_s / own.outcome.client_cpu_s);
        server.push(theirs.outcome.server_cpu_s / own.outcome.server_cpu_s);
        upload.push(theirs.outcome.upload_bytes as f64 / own.outcome.upload_bytes as f64);
        seconds.push([
            own.process_s,
            own.outcome.client_cpu_s,
            own.outcome.server_cpu_s,
            own.outcome.upload_bytes as f64,
        ]);
    }
    let value = |part: usize| median(seconds.iter().map(|run| run[part]).collect());
    let row = |name: &str, part, unit: &str, ratios: Vec<f64>, target| Row {
        name: name.to_owned(),
        value: value(part),
        unit: unit.to_owned(),
        peer: format!(
            "{}, SecAgg+, {PAIRS} pairs from {:.1} to {:.1}{}",
            version("flwr"),
            ratios.iter().copied().fold(f64::MAX, f64::min),
            ratios.iter().copied().fold(f64::MIN, f64::max),
            label(ROUND)
        ),
        ratio: median(ratios),
        higher_is_better: true,
        target,
        backend: backend.to_owned(),
    };
    vec![
        row("round_cpu_flower_over_ours", 0, "s", process, Some(12.0)),
        row("client_cpu_flower_over_ours", 1, "s", client, None),
        row("server_cpu_flower_over_ours", 2, "s", server, None),
        row("upload_flower_over_ours", 3, "bytes", upload, None),
    ]
}

fn label([n, d, lost]: [usize; 3]) -> String {
    format!(", n={n} d={d}, {lost} lost, 32 bits")
}

/// A hundred devices once: Flower shares its secrets in Python, which takes minutes.
pub(crate) fn hundred(backend: &str) -> Row {
    let round = [100, 100_000, 10];
    let (theirs, own) = (python("flower", &round), ours(&[100, 100_000, 10, RING_BITS]));
    Row {
        name: "round_cpu_flower_over_ours_n100".to_owned(),
        value: own.process_s,
        unit: "s".to_owned(),
        peer: format!("{}, SecAgg+, one pair{}", version("flwr"), label(round)),
        ratio: theirs.process_s / own.process_s,
        higher_is_better: true,
        target: None,
        backend: backend.to_owned(),
    }
}
