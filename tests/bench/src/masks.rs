//! One mask expanded and added to a vector of a million 32-bit lanes.

use std::process::Command;

use sealsum_protocol::encoding::{CHUNK_STREAM, ChunkWords, Layout};
use sealsum_protocol::mask::{Backend, MaskSeed, Sign, Suite};

use crate::alternate::alternate;
use crate::clock::thread_cpu;
use crate::openssl_stream::Stream;
use crate::summary::Row;

const COORDINATES: usize = 1_000_000;
const ROUNDS: usize = 21;
/// Masks between two looks at the clock.
const MASKS: usize = 8;
const KEY: [u8; 32] = [42; 32];
/// What takes AVX-512 from OpenSSL, which reads it when the process starts.
const NO_AVX512: (&str, &str) = ("OPENSSL_ia32cap", ":~0xd0030000");
pub(crate) const FASTEST_CHACHA20: &str = "mask_vs_openssl_chacha20";
pub(crate) const FASTEST_AES256: &str = "mask_aes256_vs_openssl_chacha20";
const AVX2: &str = "mask_avx2_vs_openssl_avx2";

/// Ours, with its addition, over OpenSSL's raw ChaCha20.
pub(crate) fn row(name: &str, backend: Backend) -> Row {
    let layout = Layout::new(COORDINATES, 32).expect("a layout");
    let seed = MaskSeed::init_with(|seed| *seed = KEY);
    check(backend, &layout, &seed);
    let mut chunks: Vec<ChunkWords> =
        (0..layout.chunks()).map(|chunk| layout.zero_chunk(chunk)).collect();
    let bytes: usize = (0..layout.chunks()).map(|chunk| layout.chunk_wire_len(chunk)).sum();
    let ours = || {
        let mut mask = || {
            for (chunk, words) in chunks.iter_mut().enumerate() {
                backend.apply(&seed, chunk, words, Sign::Plus);
            }
        };
        thread_cpu(|| (0..MASKS).for_each(|_| mask())).0
    };
    let mut stream = Stream::new(Suite::ChaCha20, &KEY);
    let medians = alternate(ROUNDS, ours, || thread_cpu(|| stream.run(MASKS * bytes)).0);
    Row {
        name: name.to_owned(),
        value: (MASKS * bytes) as f64 / medians.ours / 1e9,
        unit: "GB/s".to_owned(),
        peer: format!("{}, raw ChaCha20", openssl::version::version()),
        ratio: medians.ratio,
        higher_is_better: true,
        target: target(name, backend),
        backend: backend.name().to_owned(),
    }
}

/// What a back end must reach; for others than these there is no target.
fn target(name: &str, backend: Backend) -> Option<f64> {
    match (name, backend.name()) {
        (FASTEST_CHACHA20, "avx512") => Some(0.85),
        (AVX2, "avx2") => Some(0.80),
        (FASTEST_AES256, "vaes512" | "vaes256") => Some(2.5),
        _ => None,
    }
}

/// The mask is OpenSSL's stream of the same suite.
fn check(backend: Backend, layout: &Layout, seed: &MaskSeed) {
    let mut stream = Stream::new(backend.suite(), &KEY);
    for chunk in 0..layout.chunks() {
        let mut words = layout.zero_chunk(chunk);
        backend.apply(seed, chunk, &mut words, Sign::Plus);
        let expected = stream.take(CHUNK_STREAM);
        let mask = layout.to_wire(chunk, &words);
        assert!(mask == expected[..mask.len()], "{backend:?} makes another stream");
    }
}

/// Our AVX2 kernel in a process whose OpenSSL has no AVX-512.
pub(crate) fn avx2_row() -> Row {
    let available = Backend::available(Suite::ChaCha20);
    let avx2 = available.into_iter().find(|backend| backend.name() == "avx2");
    row(AVX2, avx2.expect("a CPU with AVX2"))
}

/// [`avx2_row`] of this program run again.
pub(crate) fn avx2_in_a_process_of_its_own(argument: &str) -> Row {
    let (name, value) = NO_AVX512;
    let own = std::env::current_exe().expect("the path of this program");
    let output = Command::new(own).arg(argument).env(name, value).output().expect("a process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let row: Row = serde_json::from_slice(&output.stdout).expect("a row");
    Row { peer: format!("{}, its AVX2", row.peer), ..row }
}

/// Whether any suite has a back end of that name here.
pub(crate) fn is_known(name: &str) -> bool {
    let both = [Suite::ChaCha20, Suite::Aes256Ctr].map(Backend::available);
    both.iter().flatten().any(|backend| backend.name() == name)
}
