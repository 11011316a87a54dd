//! What a whole round must cost a client and a server, from the rates of its primitives.
//!
//! Beyond those of [`crate::model`]:
//!
//! | | |
//! |---|---|
//! | G | one key drawn, with its public half |
//! | S | one secret shared among k |
//! | V | one signature verified |
//! | H | OpenSSL's SHA-256 |
//! | D | the privacy step, a coordinate; and the table of its noise |

use openssl::sha::sha256;
use rand_core::SeedableRng;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::split;
use sealsum_protocol::signature::SecretKey;

use crate::dp_step::Step;
use crate::model::{Rates, per};
use crate::outcome::Outcome;

/// Seconds of each primitive, for one size of neighbourhood.
pub(crate) struct Primitives {
    rates: Rates,
    draw: f64,
    share: f64,
    verify: f64,
    hashed_byte: f64,
}

impl Primitives {
    /// Of this moment, for secrets shared among `k` with threshold `t`.
    pub(crate) fn now(k: usize, t: usize) -> Self {
        let hashed_byte = hashed_byte();
        Self {
            rates: Rates::now(t),
            draw: draw(),
            share: share(k, t),
            verify: verify(),
            hashed_byte,
        }
    }

    /// The mean of all clients, lost ones too. Each: 3 G + 4 k T + 2 S + (n + k) V, and if it
    /// uploads k T + (k + 1) w / R + w / A + w / H + (k' + Q) V, with k' neighbours that upload, and D.
    pub(crate) fn client(&self, round: &Outcome, step: Option<&Step>) -> f64 {
        let counts = round.counts();
        let (n, k, bytes) = (round.clients as f64, counts.k as f64, counts.vector_bytes as f64);
        let uploading = 1.0 - round.dropped as f64 / n;
        let enters = 3.0 * self.draw
            + 4.0 * k * self.rates.agreement
            + 2.0 * self.share
            + (n + k) * self.verify;
        let uploads = k * self.rates.agreement
            + bytes
                * ((k + 1.0) * self.rates.stream_byte + self.rates.added_byte + self.hashed_byte)
            + (k * uploading + counts.quorum as f64) * self.verify
            + step.map_or(0.0, |step| step.of(counts.padded));
        enters + uploading * uploads
    }

    /// 2 n V + 2 s V + n L + M' T + M w / R + s w / A + s w / H, with s that upload and M masks, M' of
    /// them agreed on.
    pub(crate) fn server(&self, round: &Outcome) -> f64 {
        let counts = round.counts();
        let (n, bytes) = (round.clients as f64, counts.vector_bytes as f64);
        let (masks, uploads) = (counts.masks as f64, n - round.dropped as f64);
        2.0 * (n + uploads) * self.verify
            + n * self.rates.rebuild
            + (masks - uploads) * self.rates.agreement
            + bytes * masks * self.rates.stream_byte
            + bytes * uploads * (self.rates.added_byte + self.hashed_byte)
    }
}

fn draw() -> f64 {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    per(200, || {
        std::hint::black_box(ExchangeKey::draw(&mut rng).public());
    })
}

fn share(k: usize, t: usize) -> f64 {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    let secret = SecretScalar::random(&mut rng);
    let points: Vec<u16> = (1..=k as u16).collect();
    per(5, || {
        let shares = split(&secret, t, &points, &mut rng).expect("a sharing");
        assert_eq!(std::hint::black_box(shares).len(), k);
    })
}

fn verify() -> f64 {
    let key = SecretKey::from_seed(&[1; 32]);
    let (message, public) = ([2; 200], key.public());
    let signature = key.sign(&message);
    per(100, || assert!(public.verifies(std::hint::black_box(&message), &signature)))
}

fn hashed_byte() -> f64 {
    let bytes = vec![1; 1 << 22];
    per(1, || {
        std::hint::black_box(sha256(&bytes));
    }) / bytes.len() as f64
}
