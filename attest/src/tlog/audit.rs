//! An export checked from its entries up: nothing in it is believed but the signed head.

use thiserror::Error;

use super::hash::{Hash, TreeHead};
use super::merkle::{ProofError, Tree, demand_root, root};
use super::tiles::{Kind, Tile, entries, grown, hashes};

/// Why an export is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuditError<E> {
    /// A file could not be read.
    #[error("{tile}: {error}")]
    Fetch {
        /// Which file.
        tile: Tile,
        /// Why.
        error: E,
    },
    /// A bundle is not made of as many entries as its name says.
    #[error("{0} is not a bundle of as many entries as it should hold")]
    Bundle(Tile),
    /// A level tile does not hold the hashes of the entries.
    #[error("{0} does not follow from the entries")]
    Tile(Tile),
    /// The entries do not lead to the signed root.
    #[error("the entries are not those of the signed checkpoint")]
    Root,
}

/// Reads every file of a log with this head: hashes all entries, demands that they lead to the
/// signed root, and that every level tile follows from them. `entry` sees each entry with its
/// index, before any of it is proved; trust what it collected only if this returns a tree.
///
/// # Errors
/// [`AuditError`].
pub fn audit<E>(
    head: &TreeHead,
    mut fetch: impl FnMut(&Tile) -> Result<Vec<u8>, E>,
    mut entry: impl FnMut(u64, &[u8]),
) -> Result<Tree, AuditError<E>> {
    let mut tree = Tree::default();
    for tile in grown(0, head.size) {
        let bytes = fetch(&tile).map_err(|error| AuditError::Fetch { tile, error })?;
        if tile.kind() == Kind::Entries {
            for bytes in entries(&bytes, tile.width()).ok_or(AuditError::Bundle(tile))? {
                entry(tree.size(), bytes);
                tree.push(Hash::of_leaf(bytes));
            }
        } else if !hashes(&tree, &tile).is_ok_and(|expected| expected == bytes) {
            return Err(AuditError::Tile(tile));
        }
    }
    if tree.head() == *head { Ok(tree) } else { Err(AuditError::Root) }
}

/// Demands that an older head, signed too, is a beginning of the audited log.
///
/// # Errors
/// [`ProofError`]: the log has been rewritten, or cut.
pub fn extends(tree: &Tree, older: &TreeHead) -> Result<(), ProofError> {
    let size = tree.size();
    if older.size > size {
        return Err(ProofError::OutOfRange { asked: older.size, size });
    }
    let Ok(beginning) = root(tree, older.size);
    demand_root(beginning, older)
}
