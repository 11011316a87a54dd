//! Proofs and tiles, made from what is stored.

use rusqlite::Connection;
use sealsum_attest::events::Entry;
use sealsum_attest::inclusion::{Consistency, Inclusion, MembersProof, Place};
use sealsum_attest::tlog::batch;
use sealsum_attest::tlog::merkle::{self, ProveError};
use sealsum_attest::tlog::proof::LogProof;
use sealsum_attest::tlog::tiles::{self, Kind, Tile, TileError};

use crate::LogError;
use crate::checkpoint;
use crate::key::LogKey;
use crate::table::{self, Stored};

/// That the entry of a certificate is in the log; `index` is that of a `certificate.issued`.
///
/// # Errors
/// [`LogError`].
pub fn inclusion(tx: &Connection, key: &LogKey, index: u64) -> Result<Inclusion, LogError> {
    let checkpoint = checkpoint::current(tx, key)?;
    let proof = merkle::prove_inclusion(&Stored(tx), index, checkpoint.head().size);
    let entry = Entry::parse(&table::entry(tx, index)?);
    Ok(Inclusion {
        vkey: key.verifier().to_string(),
        checkpoint: checkpoint.to_string(),
        index,
        ts: entry.ok_or(LogError::Altered { position: index })?.ts,
        proof: proof.map_err(refused)?,
    })
}

/// One proof for the entries at these places, which may be in any order.
///
/// # Errors
/// [`LogError::Batch`] for none, too many, or one twice.
pub fn members(
    tx: &Connection,
    key: &LogKey,
    members: Vec<Place>,
) -> Result<MembersProof, LogError> {
    let checkpoint = checkpoint::current(tx, key)?;
    let mut indices: Vec<u64> = members.iter().map(|place| place.index).collect();
    indices.sort_unstable();
    let proof = batch::prove(&Stored(tx), &indices, checkpoint.head().size).map_err(refused)?;
    Ok(MembersProof { checkpoint: checkpoint.to_string(), members, proof })
}

/// One entry's proof as a file; the entry is its extra data.
///
/// # Errors
/// [`LogError::OutOfRange`].
pub fn file(tx: &Connection, key: &LogKey, index: u64) -> Result<LogProof, LogError> {
    let checkpoint = checkpoint::current(tx, key)?;
    let hashes = merkle::prove_inclusion(&Stored(tx), index, checkpoint.head().size);
    let proof = LogProof::new(index, hashes.map_err(refused)?, &checkpoint);
    Ok(proof.with_extra(table::entry(tx, index)?))
}

/// That the log of `from` entries is the beginning of that of `to`.
///
/// # Errors
/// [`LogError::OutOfRange`].
pub fn consistency(view: &Connection, from: u64, to: u64) -> Result<Consistency, LogError> {
    let size = table::size(view)?;
    if to > size {
        return Err(LogError::OutOfRange { asked: to, size });
    }
    let proof = merkle::prove_consistency(&Stored(view), from, to).map_err(refused)?;
    Ok(Consistency { from, to, proof })
}

/// The bytes of a file of the log.
///
/// # Errors
/// [`LogError::OutOfRange`] if the log is not that large yet.
pub fn tile(view: &Connection, tile: &Tile) -> Result<Vec<u8>, LogError> {
    let size = table::size(view)?;
    let too_small = LogError::OutOfRange { asked: tile.first(), size };
    if Tile::of(tile.kind(), tile.index(), size).is_none_or(|there| there.width() < tile.width()) {
        return Err(too_small);
    }
    if tile.kind() != Kind::Entries {
        return tiles::hashes(&Stored(view), tile).map_err(|error| match error {
            TileError::Fetch(error) => error,
            TileError::Kind(_) | TileError::Missing { .. } | TileError::Length { .. } => too_small,
        });
    }
    let entries = table::entries(view, tile.first(), tile.width())?;
    tiles::bundle(entries.iter().map(Vec::as_slice)).ok_or(too_small)
}

fn refused(error: ProveError<LogError>) -> LogError {
    match error {
        ProveError::OutOfRange { asked, size } => LogError::OutOfRange { asked, size },
        ProveError::Leaves { .. } => LogError::Batch(error.to_string()),
        ProveError::Store(error) => error,
    }
}
