//! Kernels for x86-64 CPUs with wide registers, chosen while the program runs.
//!
//! All `unsafe` of this crate is here, of two kinds: loads and stores through the reference to a
//! block ([`registers`]), and the call of a function that needs an instruction set, by the holder of
//! a token that only the detection of that set makes. Keys stay in registers and on the stack while
//! a chunk is masked; what is in memory of AES round keys is wiped.
#![allow(unsafe_code, reason = "stores of wide registers, and calls behind a detected CPU feature")]

mod aes256_keys;
mod aes256_vaes256;
mod aes256_vaes512;
mod chacha20_avx2;
mod chacha20_avx512;
mod registers;

use super::chunk::Kernel;
use super::word::{BLOCK, Word};
use super::{MaskSeed, Sign};
use aes256_keys::RoundKeys;
use zeroize::Zeroizing;

/// A set of instructions that this CPU was seen to have.
macro_rules! token {
    ($(#[$meta:meta])* $name:ident, $($feature:tt),+) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct $name(());

        impl $name {
            pub(super) fn detect() -> Option<Self> {
                ($(std::arch::is_x86_feature_detected!($feature))&&+).then_some(Self(()))
            }
        }
    };
}

token!(
    /// 256-bit registers.
    Avx2, "avx2"
);
token!(
    /// 512-bit registers.
    Avx512, "avx512f"
);
token!(
    /// AES on 256-bit registers.
    Vaes256, "avx2", "aes", "vaes"
);
token!(
    /// AES on 512-bit registers.
    Vaes512, "avx512f", "avx512bw", "avx2", "aes", "vaes"
);

/// "expand 32-byte k", the first four words of ChaCha20's state.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// ChaCha20 under one key.
pub(super) struct ChaCha20<Cpu> {
    cpu: Cpu,
    key: Zeroizing<[u32; 8]>,
}

/// AES-256 in counter mode under one key.
pub(super) struct Aes256Ctr<Cpu> {
    cpu: Cpu,
    keys: RoundKeys,
}

impl<Cpu> ChaCha20<Cpu> {
    pub(super) fn new(cpu: Cpu, seed: &MaskSeed) -> Self {
        let mut key = Zeroizing::new([0; 8]);
        for (word, bytes) in key.iter_mut().zip(seed.key().as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self { cpu, key }
    }
}

/// A CPU that makes AES round keys.
pub(super) trait ExpandsKeys {
    fn expand(self, key: &[u8; 32]) -> RoundKeys;
}

impl ExpandsKeys for Vaes256 {
    fn expand(self, key: &[u8; 32]) -> RoundKeys {
        // SAFETY: the token says that the CPU has these instructions.
        unsafe { RoundKeys::expand(key) }
    }
}

impl ExpandsKeys for Vaes512 {
    fn expand(self, key: &[u8; 32]) -> RoundKeys {
        // SAFETY: the token says that the CPU has these instructions.
        unsafe { RoundKeys::expand(key) }
    }
}

impl<Cpu: ExpandsKeys + Copy> Aes256Ctr<Cpu> {
    pub(super) fn new(cpu: Cpu, seed: &MaskSeed) -> Self {
        Self { cpu, keys: cpu.expand(seed.key()) }
    }
}

/// Blocks of ChaCha20 are counted by 64 bytes, those of AES by 16.
macro_rules! kernel {
    ($cipher:ident, $cpu:ident, $module:ident, $key:ident, $unit:expr) => {
        impl Kernel for $cipher<$cpu> {
            const BATCH: usize = $module::BLOCKS * BLOCK;

            fn add<W: Word>(&mut self, from: u64, blocks: &mut [W::Block], sign: Sign) {
                let $cpu(()) = self.cpu;
                let (key, counter) = (&self.$key, from / $unit);
                // SAFETY: the token says that the CPU has these instructions.
                unsafe {
                    match sign {
                        Sign::Plus => $module::add::<W, false>(key, counter, blocks),
                        Sign::Minus => $module::add::<W, true>(key, counter, blocks),
                    }
                }
            }
        }
    };
}

kernel!(ChaCha20, Avx2, chacha20_avx2, key, 64);
kernel!(ChaCha20, Avx512, chacha20_avx512, key, 64);
kernel!(Aes256Ctr, Vaes256, aes256_vaes256, keys, 16);
kernel!(Aes256Ctr, Vaes512, aes256_vaes512, keys, 16);
