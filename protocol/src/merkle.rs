//! The hash tree over a list: of roster entries, of a dealer's shares, of a masked input's chunks.
//!
//! The tree of RFC 6962 section 2.1 (split at the largest power of two below the size), with
//! labels in place of its prefix bytes and the size bound into the root.

use std::iter;
use std::ops::Range;

use crate::ids::Hash;
use crate::labels;

/// The longest path: a list has at most 2^32 leaves.
pub const MAX_PATH: usize = 32;

/// A hash tree with all its nodes.
#[derive(Debug, Clone)]
pub struct Tree {
    size: usize,
    /// The leaves, then each level above; a last node without a sibling moves up as it is.
    nodes: Vec<Hash>,
}

impl Tree {
    /// The tree over leaf hashes, in order.
    pub fn new(leaves: Vec<Hash>) -> Self {
        let (size, mut nodes) = (leaves.len(), leaves);
        for level in levels(size) {
            if level.len() > 1 {
                let above: Vec<Hash> = nodes[level].chunks(2).map(parent).collect();
                nodes.extend(above);
            }
        }
        Self { size, nodes }
    }

    /// All nodes: the leaves in order, then each level above.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// The root, which the number of leaves is part of.
    pub fn root(&self) -> Hash {
        let top = self.nodes.last().copied();
        bind_size(self.size, top.unwrap_or(labels::TREE_NODE.hash(&[])))
    }

    /// The hashes beside the way from leaf `index` to the root, lowest first; none if there is no
    /// such leaf.
    pub fn path(&self, index: usize) -> Option<Vec<Hash>> {
        let beside = || places_of_path(index, self.size).map(|place| self.nodes[place]).collect();
        (index < self.size).then(beside)
    }
}

/// Where among the [`Tree::nodes`] over `size` leaves the path of leaf `index` is, lowest first.
pub fn places_of_path(index: usize, size: usize) -> impl Iterator<Item = usize> {
    levels(size).enumerate().filter_map(move |(height, level)| {
        let beside = (index >> height) ^ 1;
        (beside < level.len()).then(|| level.start + beside)
    })
}

/// The places of each level among the nodes.
fn levels(size: usize) -> impl Iterator<Item = Range<usize>> {
    let first = (size > 0).then_some(0..size);
    iter::successors(first, |below| {
        let above = below.end..below.end + below.len().div_ceil(2);
        (below.len() > 1).then_some(above)
    })
}

fn parent(children: &[Hash]) -> Hash {
    match children {
        [left, right] => node(*left, *right),
        _ => children[0],
    }
}

/// The root over leaf hashes, in order.
pub fn root(leaves: Vec<Hash>) -> Hash {
    Tree::new(leaves).root()
}

/// The root that `leaf`, at `index` of `size`, and `siblings` lead to; none if the path does not
/// have the length that this leaf's must have.
pub fn root_from_path(leaf: Hash, index: usize, size: usize, siblings: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (top, used) = climb(leaf, index, size, siblings)?;
    (used == siblings.len()).then(|| bind_size(size, top))
}

fn climb(leaf: Hash, index: usize, size: usize, siblings: &[Hash]) -> Option<(Hash, usize)> {
    if size == 1 {
        return Some((leaf, 0));
    }
    let left_size = split(size);
    let goes_left = index < left_size;
    let (below, used) = if goes_left {
        climb(leaf, index, left_size, siblings)?
    } else {
        climb(leaf, index - left_size, size - left_size, siblings)?
    };
    let sibling = *siblings.get(used)?;
    let above = if goes_left { node(below, sibling) } else { node(sibling, below) };
    Some((above, used + 1))
}

/// The largest power of two below `size`.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn node(left: Hash, right: Hash) -> Hash {
    labels::TREE_NODE.hash(&[left.as_bytes(), right.as_bytes()])
}

fn bind_size(size: usize, top: Hash) -> Hash {
    labels::TREE_ROOT.hash(&[&(size as u64).to_le_bytes(), top.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|i| Hash([i; 32])).collect()
    }

    #[test]
    fn every_leaf_of_every_size_proves_its_place_and_no_other() {
        for size in 1..20 {
            let leaves = leaves(size);
            for (index, leaf) in leaves.iter().enumerate() {
                let tree = Tree::new(leaves.clone());
                let path = tree.path(index).unwrap();
                for claimed in 0..leaves.len() {
                    let proved = root_from_path(*leaf, claimed, leaves.len(), &path);
                    assert_eq!(proved == Some(tree.root()), claimed == index);
                }
            }
        }
    }

    #[test]
    fn a_path_of_another_length_proves_nothing() {
        let leaves = leaves(7);
        let mut path = Tree::new(leaves.clone()).path(2).unwrap();
        path.push(Hash([0; 32]));
        assert_eq!(root_from_path(leaves[2], 2, 7, &path), None);
        path.truncate(2);
        assert_eq!(root_from_path(leaves[2], 2, 7, &path), None);
    }

    #[test]
    fn the_size_is_part_of_the_root() {
        let pair = leaves(2);
        let joined = [node(pair[0], pair[1])];
        assert_ne!(root(pair), root(joined.to_vec()));
    }
}
