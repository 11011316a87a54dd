//! ChaCha20, sixteen blocks at a time: register i holds word i of each of them.

use super::super::word::Word;
use super::CONSTANTS;
use super::registers::add_512;
use std::arch::x86_64::*;

/// Blocks of a batch.
pub(super) const BLOCKS: usize = 16;

/// Adds the blocks from number `counter` on.
#[target_feature(enable = "avx512f")]
pub(super) fn add<W: Word, const MINUS: bool>(
    key: &[u32; 8],
    counter: u64,
    blocks: &mut [W::Block],
) {
    for (index, batch) in blocks.chunks_exact_mut(BLOCKS).enumerate() {
        let stream = stream(key, counter + (index * BLOCKS) as u64);
        for (block, mask) in batch.iter_mut().zip(stream) {
            add_512::<W, MINUS>(block, mask);
        }
    }
}

/// Sixteen blocks, one in each register.
#[inline]
#[target_feature(enable = "avx512f")]
fn stream(key: &[u32; 8], counter: u64) -> [__m512i; 16] {
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
        *word = _mm512_add_epi32(*word, initial);
    }
    transposed(state)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn initial(key: &[u32; 8], counter: u64) -> [__m512i; 16] {
    let mut state = [_mm512_setzero_si512(); 16];
    for (register, word) in state.iter_mut().zip(CONSTANTS.iter().chain(key)) {
        *register = _mm512_set1_epi32(*word as i32);
    }
    // A batch starts at a multiple of its blocks, so the low word does not wrap within it.
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    state[12] = _mm512_add_epi32(_mm512_set1_epi32(counter as i32), lanes);
    state[13] = _mm512_set1_epi32((counter >> 32) as i32);
    state
}

#[inline]
#[target_feature(enable = "avx512f")]
fn quarter(s: &mut [__m512i; 16], a: usize, b: usize, c: usize, d: usize) {
    s[a] = _mm512_add_epi32(s[a], s[b]);
    s[d] = _mm512_rol_epi32::<16>(_mm512_xor_si512(s[d], s[a]));
    s[c] = _mm512_add_epi32(s[c], s[d]);
    s[b] = _mm512_rol_epi32::<12>(_mm512_xor_si512(s[b], s[c]));
    s[a] = _mm512_add_epi32(s[a], s[b]);
    s[d] = _mm512_rol_epi32::<8>(_mm512_xor_si512(s[d], s[a]));
    s[c] = _mm512_add_epi32(s[c], s[d]);
    s[b] = _mm512_rol_epi32::<7>(_mm512_xor_si512(s[b], s[c]));
}

/// From word i of all blocks in register i to all words of block i in register i.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(mut s: [__m512i; 16]) -> [__m512i; 16] {
    // Four words of a block meet in a quarter register, of blocks 4q + i in quarter q.
    for group in s.chunks_exact_mut(4) {
        let ab_low = _mm512_unpacklo_epi32(group[0], group[1]);
        let ab_high = _mm512_unpackhi_epi32(group[0], group[1]);
        let cd_low = _mm512_unpacklo_epi32(group[2], group[3]);
        let cd_high = _mm512_unpackhi_epi32(group[2], group[3]);
        group[0] = _mm512_unpacklo_epi64(ab_low, cd_low);
        group[1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        group[2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        group[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    // Then the quarters of one block, one from each group, meet in a register.
    let mut blocks = s;
    for i in 0..4 {
        let first = _mm512_shuffle_i32x4::<0x44>(s[i], s[4 + i]);
        let second = _mm512_shuffle_i32x4::<0xee>(s[i], s[4 + i]);
        let third = _mm512_shuffle_i32x4::<0x44>(s[8 + i], s[12 + i]);
        let fourth = _mm512_shuffle_i32x4::<0xee>(s[8 + i], s[12 + i]);
        blocks[i] = _mm512_shuffle_i32x4::<0x88>(first, third);
        blocks[4 + i] = _mm512_shuffle_i32x4::<0xdd>(first, third);
        blocks[8 + i] = _mm512_shuffle_i32x4::<0x88>(second, fourth);
        blocks[12 + i] = _mm512_shuffle_i32x4::<0xdd>(second, fourth);
    }
    blocks
}
