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
//! | [`agent`], [`thousand`] | a device's agent; the aggregator's memory among a thousand devices |
//! | [`programs`], [`memory`] | the programs that both run, and what the kernel says of them |
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

mod agent;
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
mod memory;
mod model;
mod obeyed;
mod openssl_stream;
mod other_peers;
mod outcome;
mod peers;
mod plot;
mod programs;
mod report;
mod round;
mod round_model;
mod summary;
mod thousand;
mod unmasking;
mod whole_client;

use std::path::Path;
use std::process::ExitCode;

use machine::Used;
use sealsum_protocol::mask::{Backend, Suite};
use summary::{Row, Summary, target};

/// Argument of the process that has only OpenSSL's AVX2 to compare with.
const AVX2_ONLY: &str = "avx2-only";
const USAGE: &str = "usage: sealsum-bench [all | only WORD | round CLIENTS COORDINATES DROPPED [RING_BITS [SUITE]]]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => measure("bench", &target().join("bench"), &GROUPS, &[Suite::ChaCha20]),
        ["all"] => {
            let groups = [&GROUPS[..], &SLOW].concat();
            measure("bench-all", Path::new(DOCS), &groups, &[Suite::ChaCha20, Suite::Aes256Ctr])
        }
        ["only", word] => only(word),
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

/// Where the report with everything goes: `make` runs this at the root of the repository.
const DOCS: &str = "docs";

fn measure(command: &str, folder: &Path, groups: &[Group], grown: &[Suite]) -> ExitCode {
    let used = Used::now();
    let summary = Summary::of(rows(groups));
    print!("{}", summary.table());
    eprintln!("measuring: how a round grows");
    let pictures = growth::pictures(grown);
    let reported = report::write(folder, command, used.by_others(), &summary, &pictures);
    match reported.and_then(|()| summary.write()) {
        Ok(path) => {
            println!("{}, {}/benchmarks.md", path.display(), folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the summary is not written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Rows that are measured together, and what they are of.
type Group = (&'static str, fn() -> Vec<Row>);

const GROUPS: [Group; 8] = [
    ("masks", mask_rows),
    ("a client's privacy step, masks, and all of it", client_rows),
    ("unmasking", unmasking_rows),
    ("a device's agent", agent::rows),
    ("Flower", flower::rows),
    ("Prio3", other_peers::prio_rows),
    ("CKKS", other_peers::ckks_rows),
    ("LightSecAgg", other_peers::lightsecagg_rows),
];

/// Those that take minutes each.
const SLOW: [Group; 3] = [
    ("a hundred clients of Flower", || vec![flower::hundred()]),
    ("every back end", backends::rows),
    ("the aggregator's memory with a thousand devices", || vec![thousand::row()]),
];

fn rows(groups: &[Group]) -> Vec<Row> {
    let measured = groups.iter().flat_map(|(name, rows)| {
        eprintln!("measuring: {name}");
        rows()
    });
    measured.collect()
}

/// Measures and prints the groups with this in their name; nothing is written.
fn only(word: &str) -> ExitCode {
    let groups: Vec<Group> =
        [&GROUPS[..], &SLOW].concat().into_iter().filter(|(name, _)| name.contains(word)).collect();
    print!("{}", Summary::of(rows(&groups)).table());
    if groups.is_empty() { usage() } else { ExitCode::SUCCESS }
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
