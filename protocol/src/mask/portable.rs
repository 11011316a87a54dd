//! The streams of `rand_chacha`, and of `aes` and `ctr`, on any CPU: what all others must equal.

use super::chunk::{Kernel, MOST_BATCH};
use super::word::{BLOCK, Word};
use super::{MaskSeed, Sign};
use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

/// Small enough for the first-level cache.
const BUFFER: usize = 4096;

/// ChaCha20 by `rand_chacha`, which cannot wipe its state: a copy of the seed may stay on the
/// stack.
pub(super) struct ChaCha20(ChaCha20Rng);

/// AES-256 in counter mode by `aes` and `ctr`, which wipe the key schedule.
pub(super) struct Aes256Ctr(Ctr128BE<Aes256>);

impl ChaCha20 {
    pub(super) fn new(seed: &MaskSeed) -> Self {
        Self(ChaCha20Rng::from_seed(*seed.key()))
    }
}

impl Aes256Ctr {
    pub(super) fn new(seed: &MaskSeed) -> Self {
        Self(Ctr128BE::new(seed.key().into(), &[0; 16].into()))
    }
}

impl Kernel for ChaCha20 {
    const BATCH: usize = MOST_BATCH;

    fn add<W: Word>(&mut self, from: u64, blocks: &mut [W::Block], sign: Sign) {
        let rng = &mut self.0;
        rng.set_word_pos(u128::from(from / 4));
        add_buffered::<W>(blocks, sign, |bytes| rng.fill_bytes(bytes));
    }
}

impl Kernel for Aes256Ctr {
    const BATCH: usize = MOST_BATCH;

    fn add<W: Word>(&mut self, from: u64, blocks: &mut [W::Block], sign: Sign) {
        let cipher = &mut self.0;
        cipher.seek(from);
        add_buffered::<W>(blocks, sign, |bytes| {
            bytes.fill(0);
            cipher.apply_keystream(bytes);
        });
    }
}

/// Fills a buffer with the stream and adds it, again and again.
fn add_buffered<W: Word>(blocks: &mut [W::Block], sign: Sign, mut fill: impl FnMut(&mut [u8])) {
    let mut buffer = Zeroizing::new([0; BUFFER]);
    for part in blocks.chunks_mut(BUFFER / BLOCK) {
        let bytes = &mut buffer[..part.len() * BLOCK];
        fill(bytes);
        W::mask_bytes(W::words(part), bytes, sign);
    }
}
