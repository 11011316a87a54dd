//! Masks: the suite, the seed, the place in the stream, the width of the ring and the length of
//! the vector come from the input.

use sealsum_protocol::encoding::{ChunkWords, Layout};
use sealsum_protocol::mask::{Backend, MaskSeed, Sign, Suite};

use crate::input::Input;
use crate::{Target, named};

/// Every way this CPU has to make a mask.
pub const TARGETS: &[Target] = &[named("mask", mask)];

/// Coordinates of a vector: up to three batches of the widest back end at four a word.
const MOST: usize = 3 * 512;

/// Each back end changes a chunk as the portable one does, which takes that back.
fn mask(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let suite = [Suite::ChaCha20, Suite::Aes256Ctr][input.below(2)];
    let sign = [Sign::Plus, Sign::Minus][input.below(2)];
    let ring_bits = 8 + input.below(57) as u8;
    let coordinates = 1 + (input.below(256) << 8 | input.below(256)) % MOST;
    let chunk = u32::from_le_bytes([(); 4].map(|()| input.byte())) as usize;
    let seed = MaskSeed::init_with(|seed| seed.fill_with(|| input.byte()));
    let layout = Layout::new(coordinates, ring_bits).unwrap();
    let before = chunk_of(&layout, input.rest());

    let mut backends = Backend::available(suite);
    let portable = backends.pop().unwrap();
    let mut expected = before.clone();
    portable.apply(&seed, chunk, &mut expected, sign);
    for backend in backends {
        let mut words = before.clone();
        backend.apply(&seed, chunk, &mut words, sign);
        assert!(words == expected, "{backend:?} makes another stream");
        portable.apply(&seed, chunk, &mut words, sign.opposite());
        assert!(words == before, "{backend:?} is not taken back");
    }
}

/// The bytes as coordinates, again and again.
fn chunk_of(layout: &Layout, bytes: &[u8]) -> ChunkWords {
    let bytes = if bytes.is_empty() { &[0] } else { bytes };
    let values = bytes.iter().cycle().map(|byte| i64::from(*byte as i8));
    layout.encode_chunk(0, &values.take(layout.coordinates()).collect::<Vec<i64>>())
}
