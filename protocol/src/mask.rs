//! Masks: the stream of a cipher under a 256-bit seed, added to a chunk word by word.
//!
//! Chunk i takes its stream from byte 65,536 i on, in wire order: canary, lanes, canary; each is
//! read little-endian. So the position of every word follows from the layout alone, and chunks
//! can be masked in any order.

use crate::encoding::{CANARY, CHUNK_STREAM, ChunkWords, Lanes};
use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The mask suite, a task parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// ChaCha20 with a zero nonce and a 64-bit block counter from 0 (RFC 8439's block function),
    /// the stream of `rand_chacha::ChaCha20Rng`.
    ChaCha20,
    /// AES-256 in counter mode (SP 800-38A), 128-bit big-endian counter from 0.
    Aes256Ctr,
}

/// The seed of one mask: in its own box, wiped on drop, without `Debug`, `==` or `Clone`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MaskSeed(Box<[u8; 32]>);

/// Whether a mask is added or subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Added.
    Plus,
    /// Subtracted.
    Minus,
}

impl Suite {
    /// The name in task files.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChaCha20 => "chacha20",
            Self::Aes256Ctr => "aes256ctr",
        }
    }

    /// The suite of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ChaCha20, Self::Aes256Ctr].into_iter().find(|suite| suite.name() == name)
    }
}

impl MaskSeed {
    /// A seed whose 32 bytes `fill` writes in place.
    pub fn init_with(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut seed = Box::new([0; 32]);
        fill(&mut seed);
        Self(seed)
    }
}

impl Sign {
    /// The sign with which device `own` adds the mask it shares with `other`, both by roster
    /// index: the lower one adds, so that the two cancel.
    pub fn of_pair(own: usize, other: usize) -> Self {
        if own < other { Self::Plus } else { Self::Minus }
    }

    /// The sign that takes this one back.
    pub fn opposite(self) -> Self {
        match self {
            Self::Plus => Self::Minus,
            Self::Minus => Self::Plus,
        }
    }
}

/// Adds or subtracts the mask of `seed` to chunk `chunk`, in place.
pub fn apply(suite: Suite, seed: &MaskSeed, chunk: usize, words: &mut ChunkWords, sign: Sign) {
    let mut stream = Stream::at(suite, seed, chunk as u64 * CHUNK_STREAM as u64);
    words.start = stream.mask_word(words.start, sign);
    match &mut words.lanes {
        Lanes::Half(lanes) => stream.mask_lanes(lanes, sign, |lane: u32, bytes, sign| {
            let mask = u32::from_le_bytes(bytes);
            match sign {
                Sign::Plus => lane.wrapping_add(mask),
                Sign::Minus => lane.wrapping_sub(mask),
            }
        }),
        Lanes::Whole(lanes) => stream.mask_lanes(lanes, sign, add_word),
    }
    words.end = stream.mask_word(words.end, sign);
}

fn add_word(word: u64, bytes: [u8; CANARY], sign: Sign) -> u64 {
    let mask = u64::from_le_bytes(bytes);
    match sign {
        Sign::Plus => word.wrapping_add(mask),
        Sign::Minus => word.wrapping_sub(mask),
    }
}

/// Small enough for the first-level cache, whole cipher blocks.
const BUFFER: usize = 4096;

/// A cipher's stream from some byte on. AES wipes its key schedule on drop; `rand_chacha` cannot, so
/// a copy of a ChaCha20 seed may stay in freed memory.
enum Stream {
    ChaCha20(Box<ChaCha20Rng>),
    Aes256Ctr(Box<Ctr128BE<Aes256>>),
}

impl Stream {
    fn at(suite: Suite, seed: &MaskSeed, byte: u64) -> Self {
        match suite {
            Suite::ChaCha20 => {
                let mut rng = Box::new(ChaCha20Rng::from_seed(*seed.0));
                rng.set_word_pos(u128::from(byte / 4));
                Self::ChaCha20(rng)
            }
            Suite::Aes256Ctr => {
                let mut cipher =
                    Box::new(Ctr128BE::<Aes256>::new((&*seed.0).into(), &[0; 16].into()));
                cipher.seek(byte);
                Self::Aes256Ctr(cipher)
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        match self {
            Self::ChaCha20(rng) => rng.fill_bytes(bytes),
            Self::Aes256Ctr(cipher) => {
                bytes.fill(0);
                cipher.apply_keystream(bytes);
            }
        }
    }

    fn mask_word(&mut self, word: u64, sign: Sign) -> u64 {
        let mut mask = Zeroizing::new([0; CANARY]);
        self.fill(mask.as_mut());
        add_word(word, *mask, sign)
    }

    fn mask_lanes<T: Copy, const SIZE: usize>(
        &mut self,
        lanes: &mut [T],
        sign: Sign,
        add: impl Fn(T, [u8; SIZE], Sign) -> T,
    ) {
        let mut buffer = Zeroizing::new([0; BUFFER]);
        for part in lanes.chunks_mut(BUFFER / SIZE) {
            let bytes = &mut buffer[..part.len() * SIZE];
            self.fill(bytes);
            for (lane, mask) in part.iter_mut().zip(bytes.as_chunks::<SIZE>().0) {
                *lane = add(*lane, *mask, sign);
            }
        }
    }
}
