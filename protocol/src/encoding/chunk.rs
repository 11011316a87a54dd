//! One chunk in memory: canary, lanes, canary.

use super::Layout;
use thiserror::Error;
use zeroize::Zeroize;

/// The lanes and canaries of one chunk. All arithmetic is modulo the word size; bits above the
/// ring are dropped on the wire and when decoding, which changes nothing because 2^b divides 2^32
/// or 2^64.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkWords {
    pub(crate) start: u64,
    pub(crate) lanes: Lanes,
    pub(crate) end: u64,
}

/// Lanes of either size.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// 32-bit lanes.
    Half(Vec<u32>),
    /// 64-bit lanes, packed or not.
    Whole(Vec<u64>),
}

/// A summed chunk whose canaries do not count the contributors: masks did not cancel, or a device
/// encoded something else. Nothing of the sum may be published.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("chunk {chunk}: canaries {start} and {end} instead of {contributors} contributors")]
pub struct CanaryError {
    /// Which chunk.
    pub chunk: usize,
    /// What both canaries should be.
    pub contributors: usize,
    /// Canary before the lanes.
    pub start: u64,
    /// Canary after the lanes.
    pub end: u64,
}

impl Lanes {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Half(lanes) => lanes.len(),
            Self::Whole(lanes) => lanes.len(),
        }
    }
}

impl ChunkWords {
    pub(super) fn zero(lanes: Lanes) -> Self {
        Self { start: 0, lanes, end: 0 }
    }

    /// Adds `other`, of the same chunk of the same layout.
    ///
    /// # Panics
    /// If the chunks have different shapes.
    pub fn add_assign(&mut self, other: &Self) {
        self.combine(other, u32::wrapping_add, u64::wrapping_add);
    }

    /// Subtracts `other`, of the same chunk of the same layout.
    ///
    /// # Panics
    /// If the chunks have different shapes.
    pub fn sub_assign(&mut self, other: &Self) {
        self.combine(other, u32::wrapping_sub, u64::wrapping_sub);
    }

    fn combine(&mut self, other: &Self, half: fn(u32, u32) -> u32, whole: fn(u64, u64) -> u64) {
        self.start = whole(self.start, other.start);
        self.end = whole(self.end, other.end);
        match (&mut self.lanes, &other.lanes) {
            (Lanes::Half(own), Lanes::Half(others)) => each(own, others, half),
            (Lanes::Whole(own), Lanes::Whole(others)) => each(own, others, whole),
            _ => panic!("chunks of different layouts"),
        }
    }
}

/// An encoded chunk is secret until it is masked; wiping is the holder's duty if it never is.
impl Zeroize for ChunkWords {
    fn zeroize(&mut self) {
        self.start.zeroize();
        self.end.zeroize();
        match &mut self.lanes {
            Lanes::Half(words) => words.zeroize(),
            Lanes::Whole(words) => words.zeroize(),
        }
    }
}

impl Layout {
    /// One device's chunk `chunk`, unmasked: its values and 1 in each canary.
    ///
    /// # Panics
    /// If `values` is not as long as [`Layout::chunk_coordinates`].
    pub fn encode_chunk(&self, chunk: usize, values: &[i64]) -> ChunkWords {
        assert_eq!(values.len(), self.chunk_coordinates(chunk).len(), "values of another chunk");
        ChunkWords { start: 1, lanes: self.lane.encode(values), end: 1 }
    }

    /// The sum of `contributors` vectors in chunk `chunk`, once all masks are gone.
    ///
    /// # Errors
    /// [`CanaryError`] if a canary does not count the contributors.
    pub fn decode_chunk(
        &self,
        chunk: usize,
        words: &ChunkWords,
        contributors: usize,
    ) -> Result<Vec<i64>, CanaryError> {
        let ChunkWords { start, lanes, end } = words;
        if (*start, *end) != (contributors as u64, contributors as u64) {
            return Err(CanaryError { chunk, contributors, start: *start, end: *end });
        }
        Ok(self.lane.decode(lanes, self.chunk_coordinates(chunk).len(), self.ring_bits))
    }
}

fn each<T: Copy>(own: &mut [T], others: &[T], operation: fn(T, T) -> T) {
    assert_eq!(own.len(), others.len(), "chunks of different layouts");
    for (word, other) in own.iter_mut().zip(others) {
        *word = operation(*word, *other);
    }
}
