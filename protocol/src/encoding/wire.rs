//! One chunk as bytes: canary, lanes, canary. Words are little-endian; the low b bits of each
//! unpacked lane follow one another from the low bit up, and the bits after the last are zero.

use super::chunk::{ChunkWords, Lanes};
use super::lane::Lane;
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
        let (expected, given) = (self.chunk_wire_len(chunk), bytes.len());
        let length = WireError::Length { chunk, given, expected };
        if given != expected {
            return Err(length);
        }
        let Some((start, rest)) = bytes.split_first_chunk::<CANARY>() else { return Err(length) };
        let Some((body, end)) = rest.split_last_chunk::<CANARY>() else { return Err(length) };
        let lanes = match (self.lane, self.lane.wire_bits(self.ring_bits)) {
            (Lane::Half, 32) => Lanes::Half(
                body.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect(),
            ),
            (_, 64) => Lanes::Whole(
                body.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect(),
            ),
            (_, bits) => self.unpack_bits(chunk, body, bits)?,
        };
        Ok(ChunkWords { start: u64::from_le_bytes(*start), lanes, end: u64::from_le_bytes(*end) })
    }

    fn unpack_bits(&self, chunk: usize, body: &[u8], bits: usize) -> Result<Lanes, WireError> {
        let mut reader = BitReader::new(body, bits);
        let lanes = (0..self.chunk_lanes(chunk)).map(|_| reader.next());
        let lanes = match self.lane {
            Lane::Half => Lanes::Half(lanes.map(|lane| lane as u32).collect()),
            Lane::Packed { .. } | Lane::Whole => Lanes::Whole(lanes.collect()),
        };
        if reader.rest() != 0 {
            return Err(WireError::Padding { chunk });
        }
        Ok(lanes)
    }
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

    /// What follows the last lane: fewer than 8 bits, as the length was checked.
    fn rest(self) -> u128 {
        self.pending
    }
}
