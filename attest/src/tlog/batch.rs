//! One inclusion proof for many leaves of one tree.
//!
//! The proof lists, from left to right, the hash of every largest subtree without a wanted leaf:
//! the gaps. What two leaves share above them is in it once or not at all.

use std::slice::Iter;

use super::hash::{Hash, TreeHead};
use super::merkle::{HashStore, ProofError, ProveError, demand_root, range, split_at};

/// Most leaves in one proof: a cohort of 10,000, with room for a second certificate of many.
pub const LEAVES_MAX: usize = 16_384;

/// Proof that the leaves at `indices`, strictly ascending, are in the tree of the first `size`.
///
/// # Errors
/// [`ProveError`]: out of range, or indices that are none, too many or not ascending.
pub fn prove<S: HashStore>(
    store: &S,
    indices: &[u64],
    size: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if let Some(&asked) = indices.iter().find(|index| **index >= size) {
        return Err(ProveError::OutOfRange { asked, size });
    }
    if !in_order(indices) {
        return Err(ProveError::Leaves { max: LEAVES_MAX });
    }
    gaps(indices, size).into_iter().map(|(lo, hi)| Ok(range(store, lo, hi)?)).collect()
}

/// Checks that each of `leaves`, pairs of index and leaf hash, strictly ascending, is in the tree.
///
/// # Errors
/// [`ProofError`].
pub fn verify(leaves: &[(u64, Hash)], head: &TreeHead, proof: &[Hash]) -> Result<(), ProofError> {
    let indices: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
    if let Some(&asked) = indices.iter().find(|index| **index >= head.size) {
        return Err(ProofError::OutOfRange { asked, size: head.size });
    }
    if !in_order(&indices) {
        return Err(ProofError::Leaves { max: LEAVES_MAX });
    }
    let length =
        ProofError::Length { expected: gaps(&indices, head.size).len(), found: proof.len() };
    let mut rest = proof.iter();
    let root = rebuild(leaves, 0, head.size, &mut rest).ok_or(length)?;
    if rest.next().is_some() {
        return Err(length);
    }
    demand_root(root, head)
}

fn in_order(indices: &[u64]) -> bool {
    (1..=LEAVES_MAX).contains(&indices.len()) && indices.is_sorted_by(|left, right| left < right)
}

/// Largest subtrees without any of the leaves, left to right, as ranges of leaves.
fn gaps(indices: &[u64], size: u64) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    collect_gaps(indices, 0, size, &mut found);
    found
}

fn collect_gaps(indices: &[u64], lo: u64, hi: u64, found: &mut Vec<(u64, u64)>) {
    if indices.is_empty() {
        found.push((lo, hi));
    } else if hi - lo > 1 {
        let middle = lo + split_at(hi - lo);
        let (left, right) = indices.split_at(indices.partition_point(|index| *index < middle));
        collect_gaps(left, lo, middle, found);
        collect_gaps(right, middle, hi, found);
    }
}

/// Hash over `lo..hi` from the leaves in it and the proof's gaps; `None` if the proof runs out.
fn rebuild(leaves: &[(u64, Hash)], lo: u64, hi: u64, proof: &mut Iter<Hash>) -> Option<Hash> {
    if leaves.is_empty() {
        return proof.next().copied();
    }
    if hi - lo == 1 {
        return Some(leaves[0].1);
    }
    let middle = lo + split_at(hi - lo);
    let (left, right) = leaves.split_at(leaves.partition_point(|(index, _)| *index < middle));
    let left = rebuild(left, lo, middle, proof)?;
    let right = rebuild(right, middle, hi, proof)?;
    Some(Hash::of_node(&left, &right))
}
