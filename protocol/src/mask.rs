//! Masks: the stream of a cipher under a 256-bit seed, added to a chunk word by word.
//!
//! Chunk i takes its stream from byte 65,536 i on, in wire order: canary, lanes, canary; each is
//! read little-endian. So the position of every word follows from the layout alone, and chunks
//! can be masked in any order and in parallel.
//!
//! The stream is added as it is made, in registers where a [`Backend`] for this CPU can: no mask is
//! ever as long as a vector, and the chunk stays in the cache while all its masks are added.

mod backend;
mod chunk;
mod portable;
mod suite;
#[cfg(test)]
mod tests;
mod word;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use backend::Backend;
pub use suite::{MaskSeed, Sign, Suite};

use crate::encoding::ChunkWords;

/// Adds or subtracts the mask of `seed` to chunk `chunk`, in place, the fastest way there is here.
pub fn apply(suite: Suite, seed: &MaskSeed, chunk: usize, words: &mut ChunkWords, sign: Sign) {
    Backend::detect(suite).apply(seed, chunk, words, sign);
}
