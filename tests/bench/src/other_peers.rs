//! Peers that do more, less or something else than a masked sum: CPU time and bytes, beside ours.

use sealsum_protocol::mask::Suite;

use crate::backend;
use crate::outcome::Outcome;
use crate::peers::{prio, prio_version, python, version};
use crate::round::{Shape, run};
use crate::summary::Row;

/// The devices beside a peer whose cost grows with each one on its own.
const CLIENTS: usize = 32;
const LARGE: usize = 1_000_000;

/// A client's time, the server's, and bytes up: theirs over ours.
fn compare(name: &str, peer: &str, theirs: &Outcome, own: &Outcome, backend: &str) -> Vec<Row> {
    // A server that works for each client on its own is brought to as many as ours had.
    let scale = if theirs.clients == own.clients {
        1.0
    } else {
        own.clients as f64 / theirs.clients as f64
    };
    let parts = [
        ("client_cpu", "s", own.client_cpu_s, theirs.client_cpu_s),
        ("server_cpu", "s", own.server_cpu_s, theirs.server_cpu_s * scale),
        ("upload", "bytes", own.upload_bytes as f64, theirs.upload_bytes as f64),
    ];
    let row = |(part, unit, value, other): (&str, &str, f64, f64)| Row {
        name: format!("{part}_{name}_over_ours"),
        value,
        unit: unit.to_owned(),
        peer: format!(
            "{peer}: n={} d={}, {} of ours lost",
            own.clients, own.coordinates, own.dropped
        ),
        ratio: other / value,
        higher_is_better: true,
        target: None,
        backend: backend.to_owned(),
    };
    parts.map(row).into()
}

/// Two servers and a proof that each value has 16 bits: more than ours does, under another trust.
pub(crate) fn prio_rows() -> Vec<Row> {
    let backend = backend(Suite::ChaCha20);
    let compared = |(coordinates, clients, name): (usize, usize, &str)| {
        let theirs = prio(&[clients, coordinates]).outcome;
        let own = run(&Shape::new(CLIENTS, coordinates, 0), backend);
        let peer = format!("{}, Prio3SumVec, 16 bits, both servers", prio_version());
        compare(name, &peer, &theirs, &own, backend.name())
    };
    [(10_000, 4, "prio_1e4"), (100_000, 2, "prio_1e5")].into_iter().flat_map(compared).collect()
}

/// Homomorphic addition under one key, which sees every vector.
pub(crate) fn ckks_rows() -> Vec<Row> {
    let backend = backend(Suite::ChaCha20);
    let theirs = python("ckks", &[CLIENTS, 100_000]).outcome;
    let own = run(&Shape::new(CLIENTS, 100_000, 0), backend);
    let peer = format!("{}, CKKS 8192", version("tenseal"));
    compare("ckks", &peer, &theirs, &own, backend.name())
}

/// Masks that cost the server the same whoever is lost, and each client n parts of a mask: without
/// vectors, keys and messages, while ours is the whole round. With it, what a device of ours sends.
pub(crate) fn lightsecagg_rows() -> Vec<Row> {
    let rounds = hundred();
    let theirs = python("lightsecagg", &[100, LARGE, 70, 50]).outcome;
    let peer = format!("{}, LightSecAgg, its masks alone", version("fedml"));
    let names = ["lightsecagg", "lightsecagg_aes256"].into_iter().zip(suites());
    let rows = names
        .zip(&rounds)
        .flat_map(|((name, suite), own)| compare(name, &peer, &theirs, own, backend(suite).name()));
    rows.chain([upload_row(&rounds[0], backend(Suite::ChaCha20).name())]).collect()
}

/// A round of a hundred, three in ten lost, in both suites.
fn hundred() -> [Outcome; 2] {
    suites().map(|suite| run(&Shape { suite, ..Shape::new(100, LARGE, 30) }, backend(suite)))
}

fn suites() -> [Suite; 2] {
    [Suite::ChaCha20, Suite::Aes256Ctr]
}

/// What a device may send, in bytes: two thirds of four bytes a coordinate, 200 a neighbour, a page.
pub(crate) fn budget(round: &Outcome) -> f64 {
    0.67 * 4.0 * round.coordinates as f64 + 200.0 * round.counts().k as f64 + 4096.0
}

/// All that a device sends, over what it may.
fn upload_row(round: &Outcome, backend: &str) -> Row {
    let (n, d, k) = (round.clients, round.coordinates, round.counts().k);
    Row {
        name: "upload_over_budget".to_owned(),
        value: round.upload_bytes as f64,
        unit: "bytes".to_owned(),
        peer: format!("0.67 x 4 d + 200 k + 4096 bytes: n={n} k={k} d={d}, sums of 21 bits"),
        ratio: round.upload_bytes as f64 / budget(round),
        higher_is_better: false,
        target: Some(1.0),
        backend: backend.to_owned(),
    }
}
