//! The cost model: what a round must cost, from the rates of its primitives in this run.
//!
//! | | |
//! |---|---|
//! | R | OpenSSL's raw ChaCha20 |
//! | T | one agreement and the derivation of a seed from it |
//! | L | one secret rebuilt from t shares |
//! | A | one vector added to another, from memory that no cache holds |

#[path = "../../../protocol/examples/innermost_loops/pair.rs"]
mod pair;

use pair::Pair;
use rand_core::SeedableRng;
use sealsum_protocol::mask::Suite;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::{Share, recover, split};

use crate::alternate::median;
use crate::clock::thread_cpu;
use crate::openssl_stream::Stream;

const ROUNDS: usize = 7;

/// Seconds of each primitive.
pub(crate) struct Rates {
    /// A byte of stream: 1/R.
    pub(crate) stream_byte: f64,
    /// T.
    pub(crate) agreement: f64,
    /// L.
    pub(crate) rebuild: f64,
    /// A byte added: 1/A.
    pub(crate) added_byte: f64,
}

impl Rates {
    /// Of this moment, for secrets shared with threshold `t`.
    pub(crate) fn now(t: usize) -> Self {
        Self {
            stream_byte: stream_byte(),
            agreement: agreement(),
            rebuild: rebuild(t),
            added_byte: added_byte(),
        }
    }
}

/// CPU seconds of one of `count`, the median of rounds.
pub(crate) fn per(count: usize, mut work: impl FnMut()) -> f64 {
    let round = |_| thread_cpu(|| (0..count).for_each(|_| work())).0 / count as f64;
    median((0..ROUNDS).map(round).collect())
}

fn stream_byte() -> f64 {
    const BYTES: usize = 1 << 25;
    let mut stream = Stream::new(Suite::ChaCha20, &[1; 32]);
    per(1, || stream.run(BYTES)) / BYTES as f64
}

fn agreement() -> f64 {
    let pair = Pair::new();
    per(200, || assert!(std::hint::black_box(pair.agrees())))
}

/// Each time at other points: nothing is kept from the time before.
fn rebuild(t: usize) -> f64 {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    let secret = SecretScalar::random(&mut rng);
    let points: Vec<u16> = (1..=2 * t as u16).step_by(2).collect();
    let shares = split(&secret, t, &points, &mut rng).expect("a sharing");
    let shares: Vec<(u16, Share)> = points.into_iter().zip(shares).collect();
    per(20, || {
        let rebuilt = recover(std::hint::black_box(&shares), t).expect("enough");
        assert!(rebuilt.as_bytes() == secret.as_bytes());
    })
}

fn added_byte() -> f64 {
    const WORDS: usize = 1 << 19;
    const VECTORS: usize = 64;
    let vectors: Vec<Vec<u64>> = (0..VECTORS as u64).map(|value| vec![value; WORDS]).collect();
    let mut sum = vec![0u64; WORDS];
    let seconds = per(1, || {
        for vector in &vectors {
            for (word, other) in sum.iter_mut().zip(vector) {
                *word = word.wrapping_add(*other);
            }
        }
    });
    let once: u64 = (0..VECTORS as u64).sum();
    assert!(sum.iter().all(|word| *word == once * ROUNDS as u64));
    seconds / (VECTORS * WORDS * 8) as f64
}
