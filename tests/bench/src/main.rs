//! `make bench`: sealsum against the limits of this machine and against its peers.
//!
//! Only ratios are worth comparing. Ours and what it is held against alternate in one process on
//! the clock of one thread's CPU time, and every result is checked before anything is timed: a
//! wrong sum has no speed. `SEALSUM_BENCH_BACKEND` forces a back end for masks by its name.
//!
//! | module | what it is |
//! |---|---|
//! | [`masks`] | one mask, against OpenSSL's raw streams |
//! | [`unmasking`], [`client`] | a server's and a client's masks, against the cost model |
//! | [`model`] | the cost model, and the rates of its primitives in this run |
//! | [`cohort`] | the round that both are taken from |
//! | [`openssl_stream`] | the limit: OpenSSL's ChaCha20 |
//! | [`alternate`], [`clock`] | how it is measured |
//! | [`summary`] | what is written |
//!
//! Peers that are whole systems get a module each, and a row that is an error if the peer is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that fails has no result"
)]

mod alternate;
mod client;
mod clock;
mod cohort;
mod masks;
mod model;
mod openssl_stream;
mod summary;
mod unmasking;

use std::process::ExitCode;

use sealsum_protocol::mask::{Backend, Suite};
use summary::{Row, Summary};

/// Argument of the process that has only OpenSSL's AVX2 to compare with.
const AVX2_ONLY: &str = "avx2-only";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(AVX2_ONLY) {
        println!("{}", serde_json::to_string(&masks::avx2_row()).expect("a row"));
        return ExitCode::SUCCESS;
    }
    let summary = Summary::of(rows());
    print!("{}", summary.table());
    match summary.write() {
        Ok(path) => {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the summary is not written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rows() -> Vec<Row> {
    let [chacha20, aes] = [Suite::ChaCha20, Suite::Aes256Ctr].map(backend);
    vec![
        masks::row("mask_vs_openssl_chacha20", chacha20),
        masks::avx2_in_a_process_of_its_own(AVX2_ONLY),
        masks::row("mask_aes256_vs_openssl_chacha20", aes),
        client::row(chacha20),
        unmasking::model_row(chacha20),
        unmasking::two_core_row(chacha20),
    ]
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
