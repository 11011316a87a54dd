//! AES-256 in counter mode, 32 of its blocks at a time: four to a register.

use super::super::word::Word;
use super::aes256_keys::RoundKeys;
use super::registers::{add_512, load_128};
use std::arch::x86_64::*;

/// Blocks of 64 bytes of a batch.
pub(super) const BLOCKS: usize = 8;

/// Adds the cipher's blocks from number `counter` on.
#[target_feature(enable = "avx512f,avx512bw,aes,vaes")]
pub(super) fn add<W: Word, const MINUS: bool>(
    keys: &RoundKeys,
    counter: u64,
    blocks: &mut [W::Block],
) {
    let mut wide = [_mm512_setzero_si512(); 15];
    for (register, key) in wide.iter_mut().zip(&keys.0) {
        *register = _mm512_broadcast_i32x4(load_128(key));
    }
    for (index, batch) in blocks.chunks_exact_mut(BLOCKS).enumerate() {
        let stream = stream(&wide, counter + (index * 4 * BLOCKS) as u64);
        for (block, mask) in batch.iter_mut().zip(stream) {
            add_512::<W, MINUS>(block, mask);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,aes,vaes")]
fn stream(keys: &[__m512i; 15], counter: u64) -> [__m512i; BLOCKS] {
    let mut state = [_mm512_setzero_si512(); BLOCKS];
    for (index, register) in state.iter_mut().enumerate() {
        let number = (counter + 4 * index as u64) as i64;
        let numbers = _mm512_setr_epi64(0, number, 0, number + 1, 0, number + 2, 0, number + 3);
        *register = _mm512_xor_si512(big_endian(numbers), keys[0]);
    }
    for key in &keys[1..14] {
        for register in &mut state {
            *register = _mm512_aesenc_epi128(*register, *key);
        }
    }
    for register in &mut state {
        *register = _mm512_aesenclast_epi128(*register, keys[14]);
    }
    state
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn big_endian(numbers: __m512i) -> __m512i {
    let order = _mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
    _mm512_shuffle_epi8(numbers, _mm512_broadcast_i32x4(order))
}
