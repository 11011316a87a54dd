//! Every back end that this CPU has, each forced: one mask, and a whole round.

use sealsum_protocol::mask::{Backend, Suite};

use crate::masks;
use crate::round::{Shape, run};
use crate::summary::Row;

const SHAPE: (usize, usize, usize) = (32, 1_000_000, 3);

/// Both rows of each back end of each suite.
pub(crate) fn rows() -> Vec<Row> {
    let suites = [Suite::ChaCha20, Suite::Aes256Ctr];
    suites.into_iter().flat_map(of_suite).collect()
}

fn of_suite(suite: Suite) -> Vec<Row> {
    let available = Backend::available(suite);
    let name =
        |what: &str, backend: &Backend| format!("{what}_{}_{}", suite.name(), backend.name());
    let mut rows: Vec<Row> =
        available.iter().map(|backend| masks::row(&name("mask", backend), *backend)).collect();
    let (n, d, lost) = SHAPE;
    let rounds: Vec<f64> = available
        .iter()
        .map(|backend| {
            run(&Shape { suite, ..Shape::new(n, d, lost) }, *backend).cpu_s.expect("all of it")
        })
        .collect();
    rows.extend(available.iter().zip(&rounds).map(|(backend, cpu_s)| Row {
        name: name("round", backend),
        value: *cpu_s,
        unit: "s".to_owned(),
        peer: format!("the same by {}: n={n} d={d}, {lost} lost", available[0].name()),
        ratio: cpu_s / rounds[0],
        higher_is_better: false,
        target: None,
        backend: backend.name().to_owned(),
    }));
    rows
}
