//! How the stream of a suite is made on this CPU.

use super::chunk::{Span, mask};
use super::portable::{Aes256Ctr, ChaCha20};
use super::word::Word;
use super::{MaskSeed, Sign, Suite};
use crate::encoding::{CHUNK_STREAM, ChunkWords, Lanes};

#[cfg(target_arch = "x86_64")]
use super::x86;

/// One way to make a suite's stream that this CPU can; all give the same bits. Only this module
/// makes values, each after the CPU was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ChaCha20,
    #[cfg(target_arch = "x86_64")]
    ChaCha20Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    ChaCha20Avx512(x86::Avx512),
    Aes256Ctr,
    #[cfg(target_arch = "x86_64")]
    Aes256CtrVaes256(x86::Vaes256),
    #[cfg(target_arch = "x86_64")]
    Aes256CtrVaes512(x86::Vaes512),
}

impl Backend {
    /// The fastest there is for `suite` on this CPU.
    pub fn detect(suite: Suite) -> Self {
        Self(fast(suite).next().unwrap_or(portable(suite)))
    }

    /// All there are for `suite` on this CPU, the fastest first, the portable one last.
    pub fn available(suite: Suite) -> Vec<Self> {
        fast(suite).chain([portable(suite)]).map(Self).collect()
    }

    /// Which suite's stream it makes.
    pub fn suite(self) -> Suite {
        match self.0 {
            Kind::ChaCha20 => Suite::ChaCha20,
            Kind::Aes256Ctr => Suite::Aes256Ctr,
            #[cfg(target_arch = "x86_64")]
            Kind::ChaCha20Avx2(_) | Kind::ChaCha20Avx512(_) => Suite::ChaCha20,
            #[cfg(target_arch = "x86_64")]
            Kind::Aes256CtrVaes256(_) | Kind::Aes256CtrVaes512(_) => Suite::Aes256Ctr,
        }
    }

    /// What it asks of the CPU, in a word.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::ChaCha20 | Kind::Aes256Ctr => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::ChaCha20Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::ChaCha20Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Aes256CtrVaes256(_) => "vaes256",
            #[cfg(target_arch = "x86_64")]
            Kind::Aes256CtrVaes512(_) => "vaes512",
        }
    }

    /// Adds or subtracts the mask of `seed` to chunk `chunk`, in place.
    pub fn apply(self, seed: &MaskSeed, chunk: usize, words: &mut ChunkWords, sign: Sign) {
        let from = chunk as u64 * CHUNK_STREAM as u64;
        let ChunkWords { start, lanes, end } = words;
        match lanes {
            Lanes::Half(lanes) => self.mask(seed, from, Span { start, lanes, end }, sign),
            Lanes::Whole(lanes) => self.mask(seed, from, Span { start, lanes, end }, sign),
        }
    }

    /// Applies each mask to chunk `chunk`, in place, while it is in the cache.
    pub fn apply_all<'a>(
        self,
        masks: impl IntoIterator<Item = (&'a MaskSeed, Sign)>,
        chunk: usize,
        words: &mut ChunkWords,
    ) {
        for (seed, sign) in masks {
            self.apply(seed, chunk, words, sign);
        }
    }

    /// The stream of `seed` from byte `from` on.
    pub(super) fn mask<W: Word>(self, seed: &MaskSeed, from: u64, span: Span<W>, sign: Sign) {
        match self.0 {
            Kind::ChaCha20 => mask(&mut ChaCha20::new(seed), from, span, sign),
            Kind::Aes256Ctr => mask(&mut Aes256Ctr::new(seed), from, span, sign),
            #[cfg(target_arch = "x86_64")]
            Kind::ChaCha20Avx2(cpu) => mask(&mut x86::ChaCha20::new(cpu, seed), from, span, sign),
            #[cfg(target_arch = "x86_64")]
            Kind::ChaCha20Avx512(cpu) => mask(&mut x86::ChaCha20::new(cpu, seed), from, span, sign),
            #[cfg(target_arch = "x86_64")]
            Kind::Aes256CtrVaes256(cpu) => {
                mask(&mut x86::Aes256Ctr::new(cpu, seed), from, span, sign);
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Aes256CtrVaes512(cpu) => {
                mask(&mut x86::Aes256Ctr::new(cpu, seed), from, span, sign);
            }
        }
    }
}

fn portable(suite: Suite) -> Kind {
    match suite {
        Suite::ChaCha20 => Kind::ChaCha20,
        Suite::Aes256Ctr => Kind::Aes256Ctr,
    }
}

#[cfg(target_arch = "x86_64")]
fn fast(suite: Suite) -> impl Iterator<Item = Kind> {
    let kinds = match suite {
        Suite::ChaCha20 => [
            x86::Avx512::detect().map(Kind::ChaCha20Avx512),
            x86::Avx2::detect().map(Kind::ChaCha20Avx2),
        ],
        Suite::Aes256Ctr => [
            x86::Vaes512::detect().map(Kind::Aes256CtrVaes512),
            x86::Vaes256::detect().map(Kind::Aes256CtrVaes256),
        ],
    };
    kinds.into_iter().flatten()
}

#[cfg(not(target_arch = "x86_64"))]
fn fast(_: Suite) -> impl Iterator<Item = Kind> {
    std::iter::empty()
}
