//! What a mask is made of: a suite, a seed, a sign.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The mask suite, a task parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// ChaCha20 with a zero nonce and a 64-bit block counter from 0 (RFC 8439's block function),
    /// the stream of `rand_chacha::ChaCha20Rng`.
    ChaCha20,
    /// AES-256 in counter mode (SP 800-38A), 128-bit big-endian counter from 0.
    Aes256Ctr,
}

/// The seed of one mask: in its own box, wiped on drop, without `Debug`, `==` or `Clone`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MaskSeed(Box<[u8; 32]>);

/// Whether a mask is added or subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Added.
    Plus,
    /// Subtracted.
    Minus,
}

impl Suite {
    /// The name in task files.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChaCha20 => "chacha20",
            Self::Aes256Ctr => "aes256ctr",
        }
    }

    /// The suite of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ChaCha20, Self::Aes256Ctr].into_iter().find(|suite| suite.name() == name)
    }
}

impl MaskSeed {
    /// A seed whose 32 bytes `fill` writes in place.
    pub fn init_with(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut seed = Box::new([0; 32]);
        fill(&mut seed);
        Self(seed)
    }

    pub(super) fn key(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Sign {
    /// The sign with which device `own` adds the mask it shares with `other`, both by roster
    /// index: the lower one adds, so that the two cancel.
    pub fn of_pair(own: usize, other: usize) -> Self {
        if own < other { Self::Plus } else { Self::Minus }
    }

    /// The sign that takes this one back.
    pub fn opposite(self) -> Self {
        match self {
            Self::Plus => Self::Minus,
            Self::Minus => Self::Plus,
        }
    }
}
