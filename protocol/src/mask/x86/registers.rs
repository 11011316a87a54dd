//! Between memory and wide registers.

use super::super::word::{BLOCK, Word};
use std::arch::x86_64::*;

/// Adds a mask to a block, lane by lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add_512<W: Word, const MINUS: bool>(block: &mut W::Block, mask: __m512i) {
    const { assert!(size_of::<W::Block>() == BLOCK) };
    let place = std::ptr::from_mut(block).cast();
    // SAFETY: a block is 64 bytes of integers, borrowed for this call; no alignment is asked for.
    let words = unsafe { _mm512_loadu_si512(place) };
    let masked = match (W::HALVES, MINUS) {
        (1, false) => _mm512_add_epi32(words, mask),
        (1, true) => _mm512_sub_epi32(words, mask),
        (_, false) => _mm512_add_epi64(words, mask),
        (_, true) => _mm512_sub_epi64(words, mask),
    };
    // SAFETY: as above; all values of 64 bytes are integers.
    unsafe { _mm512_storeu_si512(place, masked) };
}

/// Adds a mask to a block, lane by lane; its second half is the second register.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add_256<W: Word, const MINUS: bool>(block: &mut W::Block, masks: [__m256i; 2]) {
    const { assert!(size_of::<W::Block>() == BLOCK) };
    let halves: *mut __m256i = std::ptr::from_mut(block).cast();
    for (half, mask) in masks.into_iter().enumerate() {
        // SAFETY: a block is 64 bytes, so two halves of 32.
        let place = unsafe { halves.add(half) };
        // SAFETY: these 32 bytes of integers are borrowed for this call; no alignment is asked for.
        let words = unsafe { _mm256_loadu_si256(place) };
        let masked = match (W::HALVES, MINUS) {
            (1, false) => _mm256_add_epi32(words, mask),
            (1, true) => _mm256_sub_epi32(words, mask),
            (_, false) => _mm256_add_epi64(words, mask),
            (_, true) => _mm256_sub_epi64(words, mask),
        };
        // SAFETY: as above; all values of 32 bytes are integers.
        unsafe { _mm256_storeu_si256(place, masked) };
    }
}

/// 16 bytes.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn load_128(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes are borrowed; no alignment is asked for.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// 16 bytes.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn store_128(bytes: &mut [u8; 16], register: __m128i) {
    // SAFETY: 16 bytes are borrowed; no alignment is asked for.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), register) };
}
