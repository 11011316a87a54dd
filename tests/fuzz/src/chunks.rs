//! Chunks of masked input: the width of the ring, the place of the chunk and the length of the
//! vector come from the input too.

use sealsum_protocol::encoding::{Layout, MOST_COORDINATES};

use crate::input::Input;
use crate::{Target, named};

/// The wire form of a chunk.
pub const TARGETS: &[Target] = &[named("chunk", read)];

fn read(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let ring_bits = 8 + input.below(57) as u8;
    let (chunk, values) = (input.below(4), 1 + input.below(64));
    let full = Layout::new(MOST_COORDINATES, ring_bits).unwrap().chunk_coordinates(0).len();
    let layout = Layout::new(chunk * full + values, ring_bits).unwrap();
    let wire = input.rest();
    let read = layout.from_wire(chunk, wire);
    assert_eq!(read.is_ok(), layout.check_wire(chunk, wire).is_ok());
    let Ok(words) = read else { return };
    assert_eq!(wire.len(), layout.chunk_wire_len(chunk));
    assert_eq!(layout.to_wire(chunk, &words), wire, "a second encoding");
    let mut twice = words.clone();
    twice.add_assign(&words);
    twice.sub_assign(&words);
    assert!(twice == words, "a sum that cannot be taken back");
    let Ok(decoded) = layout.decode_chunk(chunk, &words, 1) else { return };
    let again = layout.encode_chunk(chunk, &decoded);
    // Fields of the last word that no value has are not looked at.
    if values.is_multiple_of(12) {
        assert_eq!(layout.to_wire(chunk, &again), wire, "values that have two encodings");
    }
}
