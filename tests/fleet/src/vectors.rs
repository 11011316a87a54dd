//! Vectors, and the root of their masked chunks.

use sealsum_protocol::ids::Hash;
use sealsum_protocol::merkle;
use sealsum_protocol::transcript::chunk_leaf;

/// What a device signs of its masked chunks.
pub fn root_of(chunks: &[Vec<u8>]) -> Hash {
    let leaves = chunks.iter().enumerate().map(|(index, bytes)| chunk_leaf(index, bytes));
    merkle::root(leaves.collect())
}

/// Multiples of 1/256 that no subset of devices shares a sum of, some negative.
pub fn update(index: usize, coordinates: usize) -> Vec<f64> {
    units(index, coordinates).into_iter().map(|units| units as f64 / 256.0).collect()
}

/// [`update`] in units of 1/256.
pub fn units(index: usize, coordinates: usize) -> Vec<i64> {
    let value = |coordinate: usize| match coordinate {
        0 if index < 18 => 1i64 << index,
        1 => -(index as i64) - 1,
        _ => (index as i64 * 31 + coordinate as i64 * 17) % 257 - 128,
    };
    (0..coordinates).map(value).collect()
}
