//! The machine words that masks are added to, and blocks of 64 bytes of them.

use super::Sign;

/// Bytes of a block of words: one of ChaCha20, four of AES, one of the widest registers.
pub(super) const BLOCK: usize = 64;

/// A lane: `u32` or `u64`.
pub(super) trait Word: Copy {
    /// [`BLOCK`] bytes of such words.
    type Block;
    /// 32-bit halves of a word.
    const HALVES: usize;

    /// The words by blocks.
    ///
    /// # Panics
    /// If they are no whole blocks.
    fn blocks(words: &mut [Self]) -> &mut [Self::Block];

    /// The words of blocks.
    fn words(blocks: &mut [Self::Block]) -> &mut [Self];

    /// The word of its halves, the low one first.
    fn of_halves(halves: &[u32]) -> Self;

    /// This word with a mask added or subtracted.
    fn masked(self, mask: Self, sign: Sign) -> Self;

    /// Adds or subtracts masks that are given as bytes, little-endian.
    fn mask_bytes(words: &mut [Self], bytes: &[u8], sign: Sign);

    /// Adds or subtracts masks that are given as halves.
    fn mask_halves(words: &mut [Self], halves: &[u32], sign: Sign) {
        for (word, mask) in words.iter_mut().zip(halves.chunks_exact(Self::HALVES)) {
            *word = word.masked(Self::of_halves(mask), sign);
        }
    }
}

/// A word of so many halves of 32 bits, and how they make one.
macro_rules! word {
    ($word:ident, $halves:expr, $of_halves:expr) => {
        impl Word for $word {
            type Block = [$word; BLOCK / (4 * $halves)];
            const HALVES: usize = $halves;

            fn blocks(words: &mut [Self]) -> &mut [Self::Block] {
                let (blocks, rest) = words.as_chunks_mut();
                assert!(rest.is_empty(), "no whole blocks");
                blocks
            }

            fn words(blocks: &mut [Self::Block]) -> &mut [Self] {
                blocks.as_flattened_mut()
            }

            fn mask_bytes(words: &mut [Self], bytes: &[u8], sign: Sign) {
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = word.masked(Self::from_le_bytes(*bytes), sign);
                }
            }

            fn of_halves(halves: &[u32]) -> Self {
                $of_halves(halves)
            }

            fn masked(self, mask: Self, sign: Sign) -> Self {
                match sign {
                    Sign::Plus => self.wrapping_add(mask),
                    Sign::Minus => self.wrapping_sub(mask),
                }
            }
        }
    };
}

word!(u32, 1, |halves: &[u32]| halves[0]);
word!(u64, 2, |halves: &[u32]| u64::from(halves[0]) | u64::from(halves[1]) << 32);
