//! One chunk as bytes: canary, lanes, canary. Words are little-endian; the low b bits of each
//! unpacked lane follow one another from the low bit up, and the bits after the last are zero.

use super::chunk::{ChunkWords, Lanes};
use super::{CANARY, Layout};
use thiserror::Error;

/// Bytes that are no chunk. Their sender is at fault.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// Too short or too long.
    #[error("chunk {chunk} has {given} bytes instead of {expected}")]
    Length {
        /// Which chunk.
        chunk: usize,
        /// Bytes received.
        given: usize,
        /// Bytes of this chunk in the task's layout.
        expected: usize,
    },
    /// Bits after the last lane that are not zero: two encodings of one chunk.
    #[error("chunk {chunk} has bits set after its last coordinate")]
    Padding {
        /// Which chunk.
        chunk: usize,
    },
}

impl Layout {
    /// The bytes of a chunk, [`Layout::chunk_wire_len`] of them.
    pub fn to_wire(&self, chunk: usize, words: &ChunkWords) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.chunk_wire_len(chunk));
        bytes.extend(words.start.to_le_bytes());
        let bits = self.lane.wire_bits(self.ring_bits);
        match &words.lanes {
            Lanes::Half(lanes) => {
                write_bits(lanes.iter().map(|lane| (*lane).into()), bits, &mut bytes)
            }
            Lanes::Whole(lanes) => write_bits(lanes.iter().copied(), bits, &mut bytes),
        }
        bytes.extend(words.end.to_le_bytes());
        bytes
    }

    /// The chunk that these bytes encode.
    ///
    /// # Errors
    /// [`WireError`] unless the bytes are exactly what [`Layout::to_wire`] would write.
    pub fn from_wire(&self, chunk: usize, bytes: &[u8]) -> Result<ChunkWords, WireError> {
        let mut words = self.zero_chunk(chunk);
        self.add_from_wire(chunk, bytes, &mut words)?;
        Ok(words)
    }

    /// Adds the chunk that these bytes encode to `sum`, a sum of the same chunk.
    ///
    /// # Errors
    /// As [`Layout::from_wire`]; `sum` is as it was.
    ///
    /// # Panics
    /// If `sum` has another number of lanes.
    pub fn add_from_wire(
        &self,
        chunk: usize,
        bytes: &[u8],
        sum: &mut ChunkWords,
    ) -> Result<(), WireError> {
        let Wire { start, body, end } = self.split_wire(chunk, bytes)?;
        assert_eq!(sum.lanes.len(), self.chunk_lanes(chunk), "chunks of different layouts");
        sum.start = sum.start.wrapping_add(u64::from_le_bytes(*start));
        sum.end = sum.end.wrapping_add(u64::from_le_bytes(*end));
        match (&mut sum.lanes, self.lane.wire_bits(self.ring_bits)) {
            (Lanes::Half(lanes), 32) => {
                for (lane, word) in lanes.iter_mut().zip(body.as_chunks().0) {
                    *lane = lane.wrapping_add(u32::from_le_bytes(*word));
                }
            }
            (Lanes::Whole(lanes), 64) => {
                for (lane, word) in lanes.iter_mut().zip(body.as_chunks().0) {
                    *lane = lane.wrapping_add(u64::from_le_bytes(*word));
                }
            }
            (Lanes::Half(lanes), bits) => {
                let mut reader = BitReader::new(body, bits);
                lanes.iter_mut().for_each(|lane| *lane = lane.wrapping_add(reader.next() as u32));
            }
            (Lanes::Whole(lanes), bits) => {
                let mut reader = BitReader::new(body, bits);
                lanes.iter_mut().for_each(|lane| *lane = lane.wrapping_add(reader.next()));
            }
        }
        Ok(())
    }

    /// Whether these bytes encode a chunk.
    ///
    /// # Errors
    /// As [`Layout::from_wire`].
    pub fn check_wire(&self, chunk: usize, bytes: &[u8]) -> Result<(), WireError> {
        self.split_wire(chunk, bytes).map(|_| ())
    }

    fn split_wire<'a>(&self, chunk: usize, bytes: &'a [u8]) -> Result<Wire<'a>, WireError> {
        let (expected, given) = (self.chunk_wire_len(chunk), bytes.len());
        let length = WireError::Length { chunk, given, expected };
        if given != expected {
            return Err(length);
        }
        let Some((start, rest)) = bytes.split_first_chunk::<CANARY>() else { return Err(length) };
        let Some((body, end)) = rest.split_last_chunk::<CANARY>() else { return Err(length) };
        let used = self.chunk_lanes(chunk) * self.lane.wire_bits(self.ring_bits);
        // Fewer than 8 bits, as the length is right.
        let padding = 8 * body.len() - used;
        if body.last().is_some_and(|last| u32::from(*last) >> (8 - padding) != 0) {
            return Err(WireError::Padding { chunk });
        }
        Ok(Wire { start, body, end })
    }
}

/// The bytes of a chunk, taken apart.
struct Wire<'a> {
    start: &'a [u8; CANARY],
    body: &'a [u8],
    end: &'a [u8; CANARY],
}

fn low_bits(bits: usize) -> u64 {
    u64::MAX >> (64 - bits)
}

fn write_bits(lanes: impl Iterator<Item = u64>, bits: usize, bytes: &mut Vec<u8>) {
    let (mut pending, mut filled) = (0u128, 0);
    for lane in lanes {
        pending |= u128::from(lane & low_bits(bits)) << filled;
        filled += bits;
        while filled >= 64 {
            bytes.extend((pending as u64).to_le_bytes());
            pending >>= 64;
            filled -= 64;
        }
    }
    bytes.extend(&pending.to_le_bytes()[..filled.div_ceil(8)]);
}

struct BitReader<'a> {
    bytes: &'a [u8],
    bits: usize,
    pending: u128,
    filled: usize,
}

impl<'a> BitReader<'a> {
    fn new(bytes: &'a [u8], bits: usize) -> Self {
        Self { bytes, bits, pending: 0, filled: 0 }
    }

    /// The next lane; zero bits after the end.
    fn next(&mut self) -> u64 {
        if self.filled < self.bits {
            let (now, later) = self.bytes.split_at(self.bytes.len().min(8));
            let mut word = [0; 8];
            word[..now.len()].copy_from_slice(now);
            self.pending |= u128::from(u64::from_le_bytes(word)) << self.filled;
            self.filled += 8 * now.len();
            self.bytes = later;
        }
        let lane = self.pending as u64 & low_bits(self.bits);
        self.pending >>= self.bits;
        self.filled = self.filled.saturating_sub(self.bits);
        lane
    }
}
