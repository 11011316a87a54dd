//! ChaCha20, eight blocks at a time: register i holds word i of each of them.

use super::super::word::Word;
use super::CONSTANTS;
use super::registers::add_256;
use std::arch::x86_64::*;

/// Blocks of a batch.
pub(super) const BLOCKS: usize = 8;

/// Adds the blocks from number `counter` on.
#[target_feature(enable = "avx2")]
pub(super) fn add<W: Word, const MINUS: bool>(
    key: &[u32; 8],
    counter: u64,
    blocks: &mut [W::Block],
) {
    for (index, batch) in blocks.chunks_exact_mut(BLOCKS).enumerate() {
        let [low, high] = stream(key, counter + (index * BLOCKS) as u64);
        for (block, masks) in batch.iter_mut().zip(low.into_iter().zip(high)) {
            add_256::<W, MINUS>(block, [masks.0, masks.1]);
        }
    }
}

/// Eight blocks: their first halves, then their second halves.
#[inline]
#[target_feature(enable = "avx2")]
fn stream(key: &[u32; 8], counter: u64) -> [[__m256i; 8]; 2] {
    let initial = initial(key, counter);
    let mut state = initial;
    for _ in 0..10 {
        for column in 0..4 {
            quarter(&mut state, column, column + 4, column + 8, column + 12);
        }
        for diagonal in 0..4 {
            quarter(
                &mut state,
                diagonal,
                4 + (diagonal + 1) % 4,
                8 + (diagonal + 2) % 4,
                12 + (diagonal + 3) % 4,
            );
        }
    }
    for (word, initial) in state.iter_mut().zip(initial) {
        *word = _mm256_add_epi32(*word, initial);
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15] = state;
    [
        transposed([s0, s1, s2, s3, s4, s5, s6, s7]),
        transposed([s8, s9, s10, s11, s12, s13, s14, s15]),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn initial(key: &[u32; 8], counter: u64) -> [__m256i; 16] {
    let mut state = [_mm256_setzero_si256(); 16];
    for (register, word) in state.iter_mut().zip(CONSTANTS.iter().chain(key)) {
        *register = _mm256_set1_epi32(*word as i32);
    }
    // A batch starts at a multiple of its blocks, so the low word does not wrap within it.
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    state[12] = _mm256_add_epi32(_mm256_set1_epi32(counter as i32), lanes);
    state[13] = _mm256_set1_epi32((counter >> 32) as i32);
    state
}

#[inline]
#[target_feature(enable = "avx2")]
fn quarter(s: &mut [__m256i; 16], a: usize, b: usize, c: usize, d: usize) {
    s[a] = _mm256_add_epi32(s[a], s[b]);
    s[d] = rotate_bytes::<2>(_mm256_xor_si256(s[d], s[a]));
    s[c] = _mm256_add_epi32(s[c], s[d]);
    s[b] = rotate::<12, 20>(_mm256_xor_si256(s[b], s[c]));
    s[a] = _mm256_add_epi32(s[a], s[b]);
    s[d] = rotate_bytes::<1>(_mm256_xor_si256(s[d], s[a]));
    s[c] = _mm256_add_epi32(s[c], s[d]);
    s[b] = rotate::<7, 25>(_mm256_xor_si256(s[b], s[c]));
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const LEFT: i32, const RIGHT: i32>(words: __m256i) -> __m256i {
    const { assert!(LEFT + RIGHT == 32) };
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(words), _mm256_srli_epi32::<RIGHT>(words))
}

/// A rotation by whole bytes is one shuffle.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate_bytes<const BYTES: usize>(words: __m256i) -> __m256i {
    let order = match BYTES {
        1 => _mm_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14),
        _ => _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13),
    };
    _mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(order))
}

/// From word i of all blocks in register i to all words of block i in register i.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(mut s: [__m256i; 8]) -> [__m256i; 8] {
    // Four words of a block meet in half a register, of blocks 4h + i in half h.
    for group in s.chunks_exact_mut(4) {
        let ab_low = _mm256_unpacklo_epi32(group[0], group[1]);
        let ab_high = _mm256_unpackhi_epi32(group[0], group[1]);
        let cd_low = _mm256_unpacklo_epi32(group[2], group[3]);
        let cd_high = _mm256_unpackhi_epi32(group[2], group[3]);
        group[0] = _mm256_unpacklo_epi64(ab_low, cd_low);
        group[1] = _mm256_unpackhi_epi64(ab_low, cd_low);
        group[2] = _mm256_unpacklo_epi64(ab_high, cd_high);
        group[3] = _mm256_unpackhi_epi64(ab_high, cd_high);
    }
    // Then the halves of one block, one from each group, meet in a register.
    let mut blocks = s;
    for i in 0..4 {
        blocks[i] = _mm256_permute2x128_si256::<0x20>(s[i], s[4 + i]);
        blocks[4 + i] = _mm256_permute2x128_si256::<0x31>(s[i], s[4 + i]);
    }
    blocks
}
