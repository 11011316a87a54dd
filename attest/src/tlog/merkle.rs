//! The append-only Merkle tree of RFC 6962 2.1: roots and proofs, made and verified.
//!
//! Every algorithm here is one walk: from the whole tree down, splitting `lo..hi` where RFC 6962
//! splits it, at the largest power of two below its length. Proofs list hashes from the leaf up.

use std::convert::Infallible;

use thiserror::Error;

use super::hash::{Hash, TreeHead};

/// Hashes of the complete subtrees of a log.
pub trait HashStore {
    /// Why a hash could not be read.
    type Error;

    /// Hash of complete subtree `index` at `level`: over the leaves from `index * 2^level` up to
    /// `(index + 1) * 2^level`. Asked only for subtrees of a tree that the caller named.
    ///
    /// # Errors
    /// Whatever the store fails with.
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// A complete subtree that appending a leaf made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Its height; 0 for the leaf itself.
    pub level: u8,
    /// Its number among the subtrees of that level.
    pub index: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Why a proof could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProveError<E> {
    /// The leaf or the older tree is not part of the tree: the caller's mistake.
    #[error("the log of {size} entries has no proof for {asked}")]
    OutOfRange {
        /// Index of a leaf, or size of an older tree.
        asked: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The leaves of a batch are none, too many, or not in ascending order.
    #[error("the leaves of a batch proof must be ascending and between 1 and {max}")]
    Leaves {
        /// The bound.
        max: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] E),
}

/// Why a proof is refused: whoever made it is wrong or lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The leaf or the older tree does not fit into the tree.
    #[error("{asked} does not fit into a log of {size} entries")]
    OutOfRange {
        /// Index of a leaf, or size of an older tree.
        asked: u64,
        /// Size of the tree.
        size: u64,
    },
    /// Not as many hashes as a proof for this position has.
    #[error("the proof has {found} hashes instead of {expected}")]
    Length {
        /// How many it should have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// The leaves of a batch are none, too many, or not in ascending order.
    #[error("the leaves of a batch proof must be ascending and between 1 and {max}")]
    Leaves {
        /// The bound.
        max: usize,
    },
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the signed root")]
    Root,
}

/// The subtrees that become complete when `leaf` is appended to a tree of `size`: what a store
/// must remember, the leaf first.
///
/// # Errors
/// Those of the store.
pub fn appended<S: HashStore>(store: &S, size: u64, leaf: Hash) -> Result<Vec<Subtree>, S::Error> {
    let mut grown = vec![Subtree { level: 0, index: size, hash: leaf }];
    let mut last = grown[0];
    while last.index % 2 == 1 {
        let left = store.subtree(last.level, last.index - 1)?;
        let hash = Hash::of_node(&left, &last.hash);
        last = Subtree { level: last.level + 1, index: last.index / 2, hash };
        grown.push(last);
    }
    Ok(grown)
}

/// Root of the tree of the first `size` leaves.
///
/// # Errors
/// Those of the store.
pub fn root<S: HashStore>(store: &S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(Hash::of_empty_tree()) } else { range(store, 0, size) }
}

/// Proof that leaf `index` is in the tree of the first `size` leaves (RFC 6962 2.1.1).
///
/// # Errors
/// [`ProveError`].
pub fn prove_inclusion<S: HashStore>(
    store: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if index >= size {
        return Err(ProveError::OutOfRange { asked: index, size });
    }
    siblings(store, &path_to_leaf(index, size))
}

/// Checks that `leaf` is number `index` of the tree (RFC 6962 2.1.1).
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    head: &TreeHead,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= head.size {
        return Err(ProofError::OutOfRange { asked: index, size: head.size });
    }
    let path = path_to_leaf(index, head.size);
    demand_length(path.len(), proof)?;
    let climb = |below: Hash, (step, sibling): (&Step, &Hash)| step.join(&below, sibling);
    demand_root(path.iter().rev().zip(proof).fold(*leaf, climb), head)
}

/// Proof that the tree of the first `old` leaves is a beginning of that of the first `new`
/// (RFC 6962 2.1.2). It is empty if `old` is 0 or equals `new`.
///
/// # Errors
/// [`ProveError`].
pub fn prove_consistency<S: HashStore>(
    store: &S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if old > new {
        return Err(ProveError::OutOfRange { asked: old, size: new });
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let (path, lo) = path_to_end(old, new);
    let mut proof = Vec::new();
    if lo != 0 {
        proof.push(range(store, lo, old)?);
    }
    proof.extend(siblings(store, &path)?);
    Ok(proof)
}

/// Checks that the tree `old` is a beginning of the tree `new` (RFC 6962 2.1.2).
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    old: &TreeHead,
    new: &TreeHead,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old.size > new.size {
        return Err(ProofError::OutOfRange { asked: old.size, size: new.size });
    }
    if old.size == 0 {
        demand_length(0, proof)?;
        return demand_root(Hash::of_empty_tree(), old);
    }
    let (path, lo) = path_to_end(old.size, new.size);
    // The old root itself is the bottom of the path if it is a complete subtree of the new tree.
    demand_length(path.len() + usize::from(lo != 0), proof)?;
    let (bottom, rest) = match proof {
        [first, rest @ ..] if lo != 0 => (*first, rest),
        _ => (old.root, proof),
    };
    let (mut old_root, mut new_root) = (bottom, bottom);
    for (step, sibling) in path.iter().rev().zip(rest) {
        if step.side == Side::Left {
            old_root = step.join(&old_root, sibling);
        }
        new_root = step.join(&new_root, sibling);
    }
    demand_root(old_root, old)?;
    demand_root(new_root, new)
}

/// A tree in memory.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let Ok(grown) = appended(self, self.size(), leaf);
        for subtree in grown {
            let level = usize::from(subtree.level);
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(subtree.hash);
        }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        let Ok(root) = root(self, self.size());
        TreeHead { size: self.size(), root }
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}

/// # Panics
/// Asked for a subtree that the tree does not have.
impl HashStore for Tree {
    type Error = Infallible;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.levels[usize::from(level)][index as usize])
    }
}

/// One step down from a subtree to one of its halves: the other half is the sibling.
struct Step {
    /// On which side of the path the sibling lies.
    side: Side,
    /// First leaf of the sibling.
    lo: u64,
    /// Leaf after its last one.
    hi: u64,
}

#[derive(PartialEq)]
enum Side {
    Left,
    Right,
}

impl Step {
    /// Goes into the half of `lo..hi` that satisfies the choice; returns it beside the step.
    fn down(lo: u64, hi: u64, left: impl FnOnce(u64) -> bool) -> (Self, u64, u64) {
        let middle = lo + split_at(hi - lo);
        if left(middle) {
            (Self { side: Side::Right, lo: middle, hi }, lo, middle)
        } else {
            (Self { side: Side::Left, lo, hi: middle }, middle, hi)
        }
    }

    fn join(&self, below: &Hash, sibling: &Hash) -> Hash {
        match self.side {
            Side::Left => Hash::of_node(sibling, below),
            Side::Right => Hash::of_node(below, sibling),
        }
    }
}

/// Steps from the root down to leaf `index`.
fn path_to_leaf(index: u64, size: u64) -> Vec<Step> {
    let (mut lo, mut hi) = (0, size);
    let mut path = Vec::new();
    while hi - lo > 1 {
        let step;
        (step, lo, hi) = Step::down(lo, hi, |middle| index < middle);
        path.push(step);
    }
    path
}

/// Steps from the root of `new` down to the subtree that ends where the tree `old` ends, and the
/// first leaf of that subtree.
fn path_to_end(old: u64, new: u64) -> (Vec<Step>, u64) {
    let (mut lo, mut hi) = (0, new);
    let mut path = Vec::new();
    while hi != old {
        let step;
        (step, lo, hi) = Step::down(lo, hi, |middle| old <= middle);
        path.push(step);
    }
    (path, lo)
}

fn siblings<S: HashStore>(store: &S, path: &[Step]) -> Result<Vec<Hash>, ProveError<S::Error>> {
    path.iter().rev().map(|step| Ok(range(store, step.lo, step.hi)?)).collect()
}

/// Hash over the leaves `lo..hi`, a subtree of some tree: `lo` is a multiple of every power of two
/// up to its length.
pub(super) fn range<S: HashStore>(store: &S, lo: u64, hi: u64) -> Result<Hash, S::Error> {
    let length = hi - lo;
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        return store.subtree(level as u8, lo >> level);
    }
    let middle = lo + split_at(length);
    Ok(Hash::of_node(&range(store, lo, middle)?, &range(store, middle, hi)?))
}

/// Largest power of two below `length`, which is at least 2.
pub(super) fn split_at(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

fn demand_length(expected: usize, proof: &[Hash]) -> Result<(), ProofError> {
    let found = proof.len();
    if found == expected { Ok(()) } else { Err(ProofError::Length { expected, found }) }
}

pub(super) fn demand_root(found: Hash, head: &TreeHead) -> Result<(), ProofError> {
    if found == head.root { Ok(()) } else { Err(ProofError::Root) }
}
