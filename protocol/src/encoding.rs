//! How a vector of integers becomes ring words, chunks and bytes.
//!
//! The lane follows from `ring_bits` b alone: up to 16 bits four 16-bit fields share a 64-bit word,
//! up to 21 three 21-bit fields; 22 to 32 bits take a 32-bit lane and 33 to 64 a 64-bit lane, of
//! which the low b bits go on the wire. A word is sum v_j 2^(w j) in the integers, reduced modulo
//! 2^64 only: borrows run upward, and decoding takes them back from the low field up. The map is
//! linear, so sums of words decode to sums of vectors as long as no field's sum leaves its width.
//!
//! A chunk is at most [`CHUNK_STREAM`] bytes of mask stream: a canary word, the lanes, a canary
//! word. Each device adds 1 to each canary, so a sum over A must find |A| in every one.

mod chunk;
mod lane;
mod wire;

pub use chunk::{CanaryError, ChunkWords};
pub use wire::WireError;

pub(crate) use chunk::Lanes;

use lane::Lane;
use std::ops::Range;
use thiserror::Error;

/// Most coordinates of a vector.
pub const MOST_COORDINATES: usize = 1 << 26;
/// Mask stream bytes from the start of one chunk to the start of the next: whole cipher blocks.
pub const CHUNK_STREAM: usize = 1 << 16;
/// Bytes of one canary word.
pub const CANARY: usize = 8;

/// How a task's vectors are cut and packed; both ends compute it from the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    coordinates: usize,
    ring_bits: u8,
    lane: Lane,
}

/// A task that no layout fits.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    /// No coordinates, or too many.
    #[error("{0} coordinates are outside 1 to {MOST_COORDINATES}; split the vector into tasks")]
    Coordinates(usize),
    /// A ring that is too narrow or too wide.
    #[error("ring_bits = {0} is outside 8 to 64; leave it at \"auto\"")]
    RingBits(u8),
}

impl Layout {
    /// The layout of vectors of so many coordinates over a ring of so many bits.
    ///
    /// # Errors
    /// [`LayoutError`] outside the bounds of a task.
    pub fn new(coordinates: usize, ring_bits: u8) -> Result<Self, LayoutError> {
        if !(1..=MOST_COORDINATES).contains(&coordinates) {
            return Err(LayoutError::Coordinates(coordinates));
        }
        let lane = Lane::for_ring(ring_bits).ok_or(LayoutError::RingBits(ring_bits))?;
        Ok(Self { coordinates, ring_bits, lane })
    }

    /// Coordinates of a vector.
    pub fn coordinates(&self) -> usize {
        self.coordinates
    }

    /// Bits of the ring.
    pub fn ring_bits(&self) -> u8 {
        self.ring_bits
    }

    /// Chunks of a vector.
    pub fn chunks(&self) -> usize {
        self.coordinates.div_ceil(self.full_chunk())
    }

    /// Which coordinates chunk `chunk` holds; empty past the last.
    pub fn chunk_coordinates(&self, chunk: usize) -> Range<usize> {
        let start = chunk.saturating_mul(self.full_chunk()).min(self.coordinates);
        start..(start + self.full_chunk()).min(self.coordinates)
    }

    /// Bytes of chunk `chunk` on the wire, canaries included.
    pub fn chunk_wire_len(&self, chunk: usize) -> usize {
        let lanes = self.chunk_lanes(chunk);
        2 * CANARY + (lanes * self.lane.wire_bits(self.ring_bits)).div_ceil(8)
    }

    /// A chunk of zeros, to add others to.
    pub fn zero_chunk(&self, chunk: usize) -> ChunkWords {
        ChunkWords::zero(self.lane.lanes(self.chunk_lanes(chunk)))
    }

    fn full_chunk(&self) -> usize {
        (CHUNK_STREAM - 2 * CANARY) / self.lane.bytes() * self.lane.fields()
    }

    fn chunk_lanes(&self, chunk: usize) -> usize {
        self.chunk_coordinates(chunk).len().div_ceil(self.lane.fields())
    }
}
