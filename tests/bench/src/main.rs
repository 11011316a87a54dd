//! `make bench`: sealsum against the limits of this machine and against its peers.
//!
//! Only ratios are worth comparing. Ours and what it is held against alternate in one process on
//! the clock of one thread's CPU time, and every result is checked before anything is timed: a
//! wrong sum has no speed. `SEALSUM_BENCH_BACKEND` forces a back end for masks by its name.
//!
//! | module | what it is |
//! |---|---|
//! | [`masks`], [`backends`] | one mask, against OpenSSL's raw streams; every back end, forced |
//! | [`unmasking`], [`client`] | a server's and a client's masks, against the cost model |
//! | [`model`] | the cost model, and the rates of its primitives in this run |
//! | [`cohort`] | the round that both are taken from |
//! | [`obeyed`] | the aggregator's state machine among honest devices, for `cohort` and `round` |
//! | [`openssl_stream`] | the limit: OpenSSL's ChaCha20 |
//! | [`round`], [`round_model`] | a whole round with everything in it, and what it must cost |
//! | [`whole_client`], [`dp_step`] | all of a client; its privacy step |
//! | [`peers`], [`outcome`] | programs beside ours, and what each says of its round |
//! | [`flower`], [`other_peers`] | the rows of the peers |
//! | [`growth`], [`plot`] | how a round grows, in pictures |
//! | [`alternate`], [`clock`] | how it is measured |
//! | [`summary`], [`report`], [`machine`] | what is written |
//!
//! A peer that is missing is an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that fails has no result"
)]

mod alternate;
mod backends;
mod client;
mod clock;
mod cohort;
mod dp_step;
mod flower;
mod growth;
mod machine;
mod masks;
mod model;
mod obeyed;
mod openssl_stream;
mod other_peers;
mod outcome;
mod peers;
mod plot;
mod report;
mod round;
mod round_model;
mod summary;
mod unmasking;
mod whole_client;

use std::path::Path;
use std::process::ExitCode;

use sealsum_protocol::mask::{Backend, Suite};
use summary::{Row, Summary};

/// Argument of the process that has only OpenSSL's AVX2 to compare with.
const AVX2_ONLY: &str = "avx2-only";
const USAGE: &str =
    "usage: sealsum-bench [all | round CLIENTS COORDINATES DROPPED [RING_BITS [SUITE]]]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => measure("bench", rows(), &[Suite::ChaCha20]),
        ["all"] => measure("bench-all", all_rows(), &[Suite::ChaCha20, Suite::Aes256Ctr]),
        [AVX2_ONLY] => print_json(&masks::avx2_row()),
        ["round", ref numbers @ ..] => match shape(numbers) {
            Some(shape) => print_json(&round::run(&shape, backend(shape.suite))),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn print_json(value: &impl serde::Serialize) -> ExitCode {
    println!("{}", serde_json::to_string(value).expect("JSON"));
    ExitCode::SUCCESS
}

fn shape(arguments: &[&str]) -> Option<round::Shape> {
    let number = |text: &str| text.parse::<usize>().ok();
    let [clients, coordinates, dropped, rest @ ..] = arguments else { return None };
    let mut shape = round::Shape::new(number(clients)?, number(coordinates)?, number(dropped)?);
    if let [bits, rest @ ..] = rest {
        shape.ring_bits = bits.parse().ok()?;
        if let [suite] = rest {
            shape.suite = Suite::from_name(suite)?;
        }
    }
    (arguments.len() <= 5 && shape.dropped < shape.clients).then_some(shape)
}

/// Where the report goes: `make` runs this at the root of the repository.
const DOCS: &str = "docs";

fn measure(command: &str, rows: Vec<Row>, grown: &[Suite]) -> ExitCode {
    let summary = Summary::of(rows);
    print!("{}", summary.table());
    eprintln!("measuring: how a round grows");
    let pictures = growth::pictures(grown);
    let reported = report::write(Path::new(DOCS), command, &summary, &pictures);
    match reported.and_then(|()| summary.write()) {
        Ok(path) => {
            println!("{}, {DOCS}/benchmarks.md", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the summary is not written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures a group of rows, and says so: one takes seconds to minutes.
fn group(name: &str, rows: impl FnOnce() -> Vec<Row>) -> Vec<Row> {
    eprintln!("measuring: {name}");
    rows()
}

/// With those that take minutes each.
fn all_rows() -> Vec<Row> {
    let mut rows = rows();
    rows.extend(group("a hundred clients of Flower", || vec![flower::hundred()]));
    rows.extend(group("every back end", backends::rows));
    rows
}

fn rows() -> Vec<Row> {
    [
        group("masks", mask_rows),
        group("a client's privacy step, masks, and all of it", client_rows),
        group("unmasking", unmasking_rows),
        group("Flower", flower::rows),
        group("Prio3", other_peers::prio_rows),
        group("CKKS", other_peers::ckks_rows),
        group("LightSecAgg", other_peers::lightsecagg_rows),
    ]
    .concat()
}

fn mask_rows() -> Vec<Row> {
    let [chacha20, aes] = [Suite::ChaCha20, Suite::Aes256Ctr].map(backend);
    vec![
        masks::row(masks::FASTEST_CHACHA20, chacha20),
        masks::avx2_in_a_process_of_its_own(AVX2_ONLY),
        masks::row(masks::FASTEST_AES256, aes),
    ]
}

fn client_rows() -> Vec<Row> {
    let (chacha20, step) = (backend(Suite::ChaCha20), dp_step::Step::now());
    vec![step.row(), client::row(chacha20), whole_client::row(chacha20, &step)]
}

fn unmasking_rows() -> Vec<Row> {
    let chacha20 = backend(Suite::ChaCha20);
    vec![unmasking::model_row(chacha20), unmasking::two_core_row(chacha20)]
}

/// The fastest, or the one that the environment names.
fn backend(suite: Suite) -> Backend {
    let available = Backend::available(suite);
    let Ok(name) = std::env::var("SEALSUM_BENCH_BACKEND") else { return available[0] };
    let named = available.iter().find(|backend| backend.name() == name);
    *named.or(available.last().filter(|_| masks::is_known(&name))).unwrap_or_else(|| {
        panic!("no back end {name} for {}; there are {available:?}", suite.name())
    })
}
