//! Flower's SecAgg+, process against process.

use sealsum_protocol::mask::Suite;

use crate::alternate::median;
use crate::backend;
use crate::peers::{Ran, ours, python, version};
use crate::summary::Row;

/// Devices, coordinates, lost: a tenth.
const ROUND: [usize; 3] = [32, 1_000_000, 3];
/// What takes Flower minutes, as it shares its secrets in Python.
const HUNDRED: [usize; 3] = [100, 100_000, 10];
const PAIRS: usize = 3;
/// Flower sums integers of 32 bits.
const RING_BITS: usize = 32;

/// Processes of Flower's and of ours, by turns.
struct Runs {
    theirs: Vec<Ran>,
    ours: Vec<Ran>,
}

impl Runs {
    /// A row of what a run costs, by the middle of the pairs.
    fn row(&self, name: &str, unit: &str, suite: Suite, part: impl Fn(&Ran) -> f64) -> Row {
        let pairs = self.theirs.iter().zip(&self.ours);
        let mut ratios: Vec<f64> = pairs.map(|(theirs, own)| part(theirs) / part(own)).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let round = &self.ours[0].outcome;
        let (n, d, lost) = (round.clients, round.coordinates, round.dropped);
        Row {
            name: name.to_owned(),
            value: median(self.ours.iter().map(part).collect()),
            unit: unit.to_owned(),
            peer: format!(
                "{}, SecAgg+: n={n} d={d}, {lost} lost, {RING_BITS} bits; {least:.1} to {most:.1} in {} run(s)",
                version("flwr"),
                ratios.len()
            ),
            ratio: median(ratios),
            higher_is_better: true,
            target: None,
            backend: backend(suite).name().to_owned(),
        }
    }
}

/// Whole processes, each from its start to its end, with the making of its vectors and the check of
/// its result. The other suite runs beside the same processes of Flower's.
pub(crate) fn rows() -> Vec<Row> {
    let (mut chacha20, mut aes) = (Vec::new(), Vec::new());
    let run = |_| {
        let theirs = python("flower", &ROUND);
        chacha20.push(own(ROUND, Suite::ChaCha20));
        aes.push(own(ROUND, Suite::Aes256Ctr));
        theirs
    };
    let theirs = (0..PAIRS).map(run).collect();
    let mut runs = Runs { theirs, ours: chacha20 };
    let suite = Suite::ChaCha20;
    let mut rows = vec![
        Row {
            target: Some(12.0),
            ..runs.row("round_cpu_flower_over_ours", "s", suite, |run| run.process_s)
        },
        runs.row("client_cpu_flower_over_ours", "s", suite, |run| run.outcome.client_cpu_s),
        runs.row("server_cpu_flower_over_ours", "s", suite, |run| run.outcome.server_cpu_s),
        runs.row("upload_flower_over_ours", "bytes", suite, |run| run.outcome.upload_bytes as f64),
    ];
    runs.ours = aes;
    let (name, suite) = ("round_cpu_flower_over_ours_aes256", Suite::Aes256Ctr);
    rows.push(runs.row(name, "s", suite, |run| run.process_s));
    rows
}

/// A hundred devices, once.
pub(crate) fn hundred() -> Row {
    let suite = Suite::ChaCha20;
    let runs = Runs { theirs: vec![python("flower", &HUNDRED)], ours: vec![own(HUNDRED, suite)] };
    runs.row("round_cpu_flower_over_ours_n100", "s", suite, |run| run.process_s)
}

fn own([n, d, lost]: [usize; 3], suite: Suite) -> Ran {
    ours(&[n, d, lost, RING_BITS], suite)
}
