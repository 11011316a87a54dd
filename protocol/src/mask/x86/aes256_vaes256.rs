//! AES-256 in counter mode, 16 of its blocks at a time: two to a register.

use super::super::word::Word;
use super::aes256_keys::RoundKeys;
use super::registers::{add_256, load_128};
use std::arch::x86_64::*;

/// Blocks of 64 bytes of a batch.
pub(super) const BLOCKS: usize = 4;

/// Adds the cipher's blocks from number `counter` on.
#[target_feature(enable = "avx2,aes,vaes")]
pub(super) fn add<W: Word, const MINUS: bool>(
    keys: &RoundKeys,
    counter: u64,
    blocks: &mut [W::Block],
) {
    let mut wide = [_mm256_setzero_si256(); 15];
    for (register, key) in wide.iter_mut().zip(&keys.0) {
        *register = _mm256_broadcastsi128_si256(load_128(key));
    }
    for (index, batch) in blocks.chunks_exact_mut(BLOCKS).enumerate() {
        let stream = stream(&wide, counter + (index * 4 * BLOCKS) as u64);
        for (block, [first, second]) in batch.iter_mut().zip(stream.as_chunks().0) {
            add_256::<W, MINUS>(block, [*first, *second]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,aes,vaes")]
fn stream(keys: &[__m256i; 15], counter: u64) -> [__m256i; 2 * BLOCKS] {
    let mut state = [_mm256_setzero_si256(); 2 * BLOCKS];
    for (index, register) in state.iter_mut().enumerate() {
        let number = (counter + 2 * index as u64) as i64;
        let numbers = _mm256_setr_epi64x(0, number, 0, number + 1);
        *register = _mm256_xor_si256(big_endian(numbers), keys[0]);
    }
    for key in &keys[1..14] {
        for register in &mut state {
            *register = _mm256_aesenc_epi128(*register, *key);
        }
    }
    for register in &mut state {
        *register = _mm256_aesenclast_epi128(*register, keys[14]);
    }
    state
}

#[inline]
#[target_feature(enable = "avx2")]
fn big_endian(numbers: __m256i) -> __m256i {
    let order = _mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
    _mm256_shuffle_epi8(numbers, _mm256_broadcastsi128_si256(order))
}
