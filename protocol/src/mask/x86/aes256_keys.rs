//! The round keys of AES-256 (FIPS 197, 5.2).

use super::registers::{load_128, store_128};
use std::arch::x86_64::*;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Fifteen round keys; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(in super::super) struct RoundKeys(pub(super) [[u8; 16]; 15]);

impl RoundKeys {
    #[target_feature(enable = "aes,sse2")]
    pub(super) fn expand(key: &[u8; 32]) -> Self {
        let mut keys = Self([[0; 16]; 15]);
        for (round, half) in keys.0.iter_mut().zip(key.as_chunks().0) {
            *round = *half;
        }
        keys.even::<2, 0x01>();
        keys.odd::<3>();
        keys.even::<4, 0x02>();
        keys.odd::<5>();
        keys.even::<6, 0x04>();
        keys.odd::<7>();
        keys.even::<8, 0x08>();
        keys.odd::<9>();
        keys.even::<10, 0x10>();
        keys.odd::<11>();
        keys.even::<12, 0x20>();
        keys.odd::<13>();
        keys.even::<14, 0x40>();
        keys
    }

    /// A key whose first word is mixed in rotated and with a round constant.
    #[inline]
    #[target_feature(enable = "aes,sse2")]
    fn even<const ROUND: usize, const CONSTANT: i32>(&mut self) {
        let assist = _mm_aeskeygenassist_si128::<CONSTANT>(load_128(&self.0[ROUND - 1]));
        self.mix::<ROUND>(_mm_shuffle_epi32::<0xff>(assist));
    }

    /// A key whose first word is mixed in as it is.
    #[inline]
    #[target_feature(enable = "aes,sse2")]
    fn odd<const ROUND: usize>(&mut self) {
        let assist = _mm_aeskeygenassist_si128::<0>(load_128(&self.0[ROUND - 1]));
        self.mix::<ROUND>(_mm_shuffle_epi32::<0xaa>(assist));
    }

    /// Each word is the one two keys before, with all before it in that key and `word`.
    #[inline]
    #[target_feature(enable = "aes,sse2")]
    fn mix<const ROUND: usize>(&mut self, word: __m128i) {
        let mut key = load_128(&self.0[ROUND - 2]);
        key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
        key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
        store_128(&mut self.0[ROUND], _mm_xor_si128(key, word));
    }
}
