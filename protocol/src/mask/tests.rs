//! Every back end of this CPU against the streams of `rand_chacha`, and of `aes` and `ctr`.

use super::chunk::{MOST_BATCH, Span};
use super::word::Word;
use super::{Backend, MaskSeed, Sign, Suite};
use crate::encoding::CANARY;
use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const SUITES: [Suite; 2] = [Suite::ChaCha20, Suite::Aes256Ctr];

/// The stream by the crates alone.
fn reference(suite: Suite, key: [u8; 32], from: u64, len: usize) -> Vec<u8> {
    let mut stream = vec![0; len];
    match suite {
        Suite::ChaCha20 => {
            let mut rng = ChaCha20Rng::from_seed(key);
            rng.set_word_pos(u128::from(from / 4));
            rng.fill_bytes(&mut stream);
        }
        Suite::Aes256Ctr => {
            let mut cipher = Ctr128BE::<Aes256>::new(&key.into(), &[0; 16].into());
            cipher.seek(from);
            cipher.apply_keystream(&mut stream);
        }
    }
    stream
}

/// Lanes of one width with whatever was in them.
trait Lane: Word + PartialEq + std::fmt::Debug {
    fn some(rng: &mut ChaCha20Rng) -> Self;
    fn shifted(self, mask: &[u8], sign: Sign) -> Self;
}

macro_rules! lane {
    ($word:ty, $draw:ident) => {
        impl Lane for $word {
            fn some(rng: &mut ChaCha20Rng) -> Self {
                rng.$draw()
            }

            fn shifted(self, mask: &[u8], sign: Sign) -> Self {
                let mask = Self::from_le_bytes(mask.try_into().expect("a word"));
                match sign {
                    Sign::Plus => self.wrapping_add(mask),
                    Sign::Minus => self.wrapping_sub(mask),
                }
            }
        }
    };
}

lane!(u32, next_u32);
lane!(u64, next_u64);

/// Lanes that start `skip` words into their allocation, masked by every back end of both suites.
fn every_backend_masks_like_the_reference<L: Lane>(
    key: [u8; 32],
    (batch, skip, len): (u64, usize, usize),
    sign: Sign,
) {
    let from = batch * MOST_BATCH as u64;
    let mut rng = ChaCha20Rng::seed_from_u64(batch);
    let before: Vec<L> = (0..skip + len).map(|_| L::some(&mut rng)).collect();
    let canaries = (rng.next_u64(), rng.next_u64());
    let seed = MaskSeed::init_with(|bytes| *bytes = key);
    for suite in SUITES {
        let stream = reference(suite, key, from, 2 * CANARY + len * size_of::<L>());
        let (start, rest) = stream.split_at(CANARY);
        let (body, end) = rest.split_at(len * size_of::<L>());
        let mut expected = before.clone();
        for (lane, mask) in expected[skip..].iter_mut().zip(body.chunks(size_of::<L>())) {
            *lane = lane.shifted(mask, sign);
        }
        let expected_canaries = (canaries.0.shifted(start, sign), canaries.1.shifted(end, sign));
        for backend in Backend::available(suite) {
            let (mut lanes, mut found) = (before.clone(), canaries);
            let span = Span { start: &mut found.0, lanes: &mut lanes[skip..], end: &mut found.1 };
            backend.mask(&seed, from, span, sign);
            assert_eq!(found, expected_canaries, "{backend:?}");
            assert!(lanes == expected, "{backend:?}: lanes");
        }
    }
}

fn signs() -> impl Strategy<Value = Sign> {
    prop_oneof![Just(Sign::Plus), Just(Sign::Minus)]
}

/// Places in the stream: near, anywhere, and around where a 32-bit count of blocks wraps.
fn batches() -> impl Strategy<Value = u64> {
    let wrap = (1u64 << 38) / MOST_BATCH as u64;
    prop_oneof![0u64..200, 0u64..(1 << 40), (wrap - 4)..(wrap + 4)]
}

proptest! {
    #[test]
    fn every_backend_masks_half_lanes_like_the_reference(
        key: [u8; 32], batch in batches(), skip in 0usize..17, len in 0usize..1400, sign in signs(),
    ) {
        every_backend_masks_like_the_reference::<u32>(key, (batch, skip, len), sign);
    }

    #[test]
    fn every_backend_masks_whole_lanes_like_the_reference(
        key: [u8; 32], batch in batches(), skip in 0usize..9, len in 0usize..700, sign in signs(),
    ) {
        every_backend_masks_like_the_reference::<u64>(key, (batch, skip, len), sign);
    }
}

#[test]
fn every_length_around_a_batch_is_masked_like_the_reference() {
    for batch in [256, 512, 1024, 2048, 3072] {
        for len in batch - 2 * CANARY - 8..=batch + 8 {
            let place = (5, 1, len / 4);
            every_backend_masks_like_the_reference::<u32>([len as u8; 32], place, Sign::Plus);
            let place = (6, 1, len / 8);
            every_backend_masks_like_the_reference::<u64>([len as u8; 32], place, Sign::Minus);
        }
    }
}

#[test]
fn the_portable_backend_is_there_on_every_cpu_and_the_first_is_taken() {
    for suite in SUITES {
        let available = Backend::available(suite);
        assert_eq!(available.last().map(|backend| backend.name()), Some("portable"));
        assert_eq!(available.first(), Some(&Backend::detect(suite)));
        assert!(available.iter().all(|backend| backend.suite() == suite));
    }
}
