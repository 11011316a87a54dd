//! The tree and its entries as static files: C2SP tlog-tiles.
//!
//! A level tile holds up to 256 hashes of one level, concatenated; level L counts in steps of
//! 2^(8 L) leaves. An entry bundle holds the entries of one tile of level 0, each behind its
//! length as u16 big-endian. The tiles at the right edge are partial and say so in their path.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::hash::{Hash, join, split};
use super::merkle::{HashStore, Tree};
use super::text::SIZE_MAX;

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u16 = 256;

/// Longest entry, in bytes: its length is a u16.
pub const ENTRY_MAX: usize = u16::MAX as usize;

/// Levels of the tree between one level of tiles and the next.
const HEIGHT: u8 = 8;

/// Highest level of tiles in a tree of [`SIZE_MAX`] leaves.
const LEVEL_MAX: u8 = 7;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Hashes of this level of tiles, 0 for those of the leaves.
    Level(u8),
    /// Entries.
    Entries,
}

impl Kind {
    /// Leaves below one item of such a tile, as a power of two.
    fn shift(self) -> u8 {
        match self {
            Self::Level(level) => level * HEIGHT,
            Self::Entries => 0,
        }
    }
}

/// Names one file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    kind: Kind,
    index: u64,
    width: u16,
}

impl Tile {
    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its number among the tiles of its kind.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it holds: 1 to [`WIDTH`].
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Index of its first hash or entry at its level.
    pub fn first(&self) -> u64 {
        self.index * u64::from(WIDTH)
    }

    /// The tile of this kind and number in a log of `size` entries: full, partial, or none.
    pub fn of(kind: Kind, index: u64, size: u64) -> Option<Self> {
        let items = size.checked_shr(kind.shift().into())?;
        let width = items.checked_sub(index.checked_mul(WIDTH.into())?)?.min(WIDTH.into()) as u16;
        (width > 0).then_some(Self { kind, index, width })
    }

    /// Reads the path that [`fmt::Display`] writes; any other spelling is `None`.
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "entries" => Kind::Entries,
            level => Kind::Level(level.parse().ok().filter(|level| *level <= LEVEL_MAX)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok().filter(|width| *width < WIDTH)?),
            None => (rest, WIDTH),
        };
        let tile = Self { kind, index: parse_index(index)?, width };
        (width > 0 && tile.end()? <= SIZE_MAX && tile.to_string() == path).then_some(tile)
    }

    /// The leaf after the last one that it covers.
    fn end(&self) -> Option<u64> {
        let items = self.index.checked_mul(WIDTH.into())?.checked_add(self.width.into())?;
        items.checked_mul(1 << self.kind.shift())
    }
}

/// The path below the log's prefix: `tile/0/x001/x234/067.p/5`.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Level(level) => write!(f, "tile/{level}/")?,
            Kind::Entries => f.write_str("tile/entries/")?,
        }
        write_index(f, self.index / 1000)?;
        write!(f, "{:03}", self.index % 1000)?;
        if self.width < WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

fn write_index(f: &mut fmt::Formatter<'_>, thousands: u64) -> fmt::Result {
    if thousands == 0 {
        return Ok(());
    }
    write_index(f, thousands / 1000)?;
    write!(f, "x{:03}/", thousands % 1000)
}

fn parse_index(path: &str) -> Option<u64> {
    path.split('/').try_fold(0_u64, |index, part| {
        let digits: u64 = part.strip_prefix('x').unwrap_or(part).parse().ok()?;
        index.checked_mul(1000)?.checked_add(digits)
    })
}

/// Every tile that a log of `size` entries has and one of `old_size`, not larger, had not:
/// what growing from one checkpoint to the next adds. Bundles come first.
pub fn grown(old_size: u64, size: u64) -> impl Iterator<Item = Tile> {
    let levels = (0..=LEVEL_MAX).map(Kind::Level);
    std::iter::once(Kind::Entries).chain(levels).flat_map(move |kind| {
        let old_items = old_size >> kind.shift();
        let first = old_items / u64::from(WIDTH);
        let unchanged = size >> kind.shift() == old_items;
        (first..)
            .take(if unchanged { 0 } else { usize::MAX })
            .map_while(move |index| Tile::of(kind, index, size))
    })
}

/// Bytes of a level tile.
///
/// # Errors
/// [`TileError::Kind`] for a bundle; those of the store.
pub fn hashes<S: HashStore>(store: &S, tile: &Tile) -> Result<Vec<u8>, TileError<S::Error>> {
    let Kind::Level(level) = tile.kind else {
        return Err(TileError::Kind(*tile));
    };
    let items = tile.first()..tile.first() + u64::from(tile.width);
    let hashes: Result<Vec<Hash>, _> =
        items.map(|index| store.subtree(level * HEIGHT, index)).collect();
    Ok(join(&hashes.map_err(TileError::Fetch)?))
}

/// Bytes of an entry bundle; `None` if it would hold more than [`WIDTH`] entries or one longer
/// than [`ENTRY_MAX`].
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (number, entry) in entries.into_iter().enumerate() {
        if number >= usize::from(WIDTH) {
            return None;
        }
        bytes.extend(u16::try_from(entry.len()).ok()?.to_be_bytes());
        bytes.extend(entry);
    }
    Some(bytes)
}

/// Reads an entry bundle of exactly `width` entries; anything else is `None`.
pub fn entries(mut bytes: &[u8], width: u16) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    for _ in 0..width {
        let (length, rest) = bytes.split_first_chunk()?;
        let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        found.push(entry);
        bytes = rest;
    }
    bytes.is_empty().then_some(found)
}

/// Why a hash cannot be read from tiles.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TileError<E> {
    /// Bundles hold no hashes: the caller's mistake.
    #[error("{0} holds entries, not hashes")]
    Kind(Tile),
    /// The log is smaller: the caller's mistake.
    #[error("the log has no subtree {index} at level {level}")]
    Missing {
        /// The level asked for.
        level: u8,
        /// The number asked for.
        index: u64,
    },
    /// The file does not have the length that its name says.
    #[error("{tile} has {found} bytes instead of {expected}: fetch it again")]
    Length {
        /// Which file.
        tile: Tile,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// Fetching failed.
    #[error(transparent)]
    Fetch(E),
}

/// The hashes of a log of known size, read back from its tiles; each tile is fetched once.
///
/// Tiles are not signed: what is made from them counts only once it leads to a signed root.
pub struct TileReader<F> {
    size: u64,
    fetch: F,
    fetched: RefCell<BTreeMap<Tile, Vec<Hash>>>,
}

impl<F> TileReader<F> {
    /// Of a log of `size` entries; `fetch` returns the bytes of the file at a tile's path.
    pub fn new(size: u64, fetch: F) -> Self {
        Self { size, fetch, fetched: RefCell::default() }
    }
}

impl<E, F: Fn(&Tile) -> Result<Vec<u8>, E>> TileReader<F> {
    fn tile(&self, tile: &Tile) -> Result<Vec<Hash>, TileError<E>> {
        if let Some(hashes) = self.fetched.borrow().get(tile) {
            return Ok(hashes.clone());
        }
        let bytes = (self.fetch)(tile).map_err(TileError::Fetch)?;
        let expected = usize::from(tile.width) * 32;
        let hashes = split(&bytes)
            .filter(|_| bytes.len() == expected)
            .ok_or(TileError::Length { tile: *tile, expected, found: bytes.len() })?;
        self.fetched.borrow_mut().insert(*tile, hashes.clone());
        Ok(hashes)
    }
}

impl<E, F: Fn(&Tile) -> Result<Vec<u8>, E>> HashStore for TileReader<F> {
    type Error = TileError<E>;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, TileError<E>> {
        let missing = TileError::Missing { level, index };
        let (kind, above) = (Kind::Level(level / HEIGHT), level % HEIGHT);
        let Some(first) = index.checked_mul(1 << above) else {
            return Err(missing);
        };
        let number = first / u64::from(WIDTH);
        let Some(tile) = Tile::of(kind, number, self.size) else {
            return Err(missing);
        };
        let start = (first % u64::from(WIDTH)) as usize;
        let below = self.tile(&tile)?;
        match below.get(start..start + (1 << above)) {
            Some(below) => Ok(below.iter().copied().collect::<Tree>().head().root),
            None => Err(missing),
        }
    }
}
