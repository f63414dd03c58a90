//! Tiles: 256 neighbouring hashes of one level in one piece, as C2SP tlog-tiles lays them out. Tiles
//! of level 0 hold leaf hashes, those above hold the roots of full tiles below them. A tile only
//! grows, so whoever keeps the widest form of one can answer for every narrower one.

use super::{Hash, TILE_WIDTH, complete, count};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where a tile is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for leaf hashes; each level above stands for 256 times as many leaves.
    pub level: u8,
    /// Its place among the tiles of its level, from 0.
    pub index: u64,
}

impl TileId {
    /// Its path in the C2SP layout: `tile/0/x001/x234/067`, and with less than 256 hashes
    /// `tile/0/x001/x234/067.p/8`.
    pub fn path(self, width: usize) -> String {
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        let mut path = format!("tile/{}", self.level);
        for (place, group) in groups.iter().enumerate().rev() {
            let more = if place == 0 { "" } else { "x" };
            let _ = write!(path, "/{more}{group:03}");
        }
        if width < TILE_WIDTH {
            let _ = write!(path, ".p/{width}");
        }
        path
    }

    /// How many hashes this tile has in a tree of `size` leaves: 0 to 256.
    pub fn width_at(self, size: u64) -> usize {
        let before = self.index.saturating_mul(TILE_WIDTH as u64);
        let here = count(size, self.level).saturating_sub(before);
        usize::try_from(here).map_or(TILE_WIDTH, |n| n.min(TILE_WIDTH))
    }
}

/// Some neighbouring hashes: 1 to 256 of them, full with 256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    pub(super) id: TileId,
    pub(super) hashes: Vec<Hash>,
}

/// Why bytes are not a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not 1 to 256 hashes of 32 bytes.
    #[error("a tile is 1 to 256 hashes of 32 bytes, not {0} bytes")]
    Length(usize),
}

impl Tile {
    /// A tile of these hashes.
    pub fn new(id: TileId, hashes: Vec<Hash>) -> Result<Self, TileError> {
        if hashes.is_empty() || hashes.len() > TILE_WIDTH {
            return Err(TileError::Length(hashes.len() * size_of::<Hash>()));
        }
        Ok(Self { id, hashes })
    }

    /// A tile as it is stored and served: its hashes one after the other.
    pub fn from_bytes(id: TileId, bytes: &[u8]) -> Result<Self, TileError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(TileError::Length(bytes.len()));
        }
        Self::new(id, hashes.to_vec())
    }

    /// Its hashes one after the other, 32 to 8 192 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.concat()
    }

    /// Where it is.
    pub const fn id(&self) -> TileId {
        self.id
    }

    /// Its hashes.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Whether it will not grow any more.
    pub const fn is_full(&self) -> bool {
        self.hashes.len() == TILE_WIDTH
    }

    /// Its path in the C2SP layout.
    pub fn path(&self) -> String {
        self.id.path(self.hashes.len())
    }
}

/// A tile that has to be read, and how many of its hashes are needed: its width in the tree that is
/// asked about, so that it also names the partial tile of a C2SP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Which tile.
    pub id: TileId,
    /// How many hashes of it, from the first: 1 to 256.
    pub width: usize,
}

/// Where tiles are read from. Nothing read is trusted: a proof made from wrong tiles does not verify.
pub trait Tiles {
    /// Why a tile could not be read.
    type Error;

    /// The tile with at least `wanted.width` hashes; more is welcome, none if it is not there.
    fn tile(&self, wanted: Wanted) -> Result<Option<Tile>, Self::Error>;
}

/// Tiles in memory: what a test or a bench keeps, and what a caller fills that must read its storage
/// before it can ask ([`super::Tree::inclusion_tiles`]).
impl Tiles for BTreeMap<TileId, Tile> {
    type Error = std::convert::Infallible;

    fn tile(&self, wanted: Wanted) -> Result<Option<Tile>, Self::Error> {
        Ok(self.get(&wanted.id).cloned())
    }
}

/// Why something could not be computed from tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError<E> {
    /// The storage failed.
    #[error("a tile could not be read: {0}")]
    Storage(E),
    /// A tile is not there, or has too few hashes, or is another one.
    #[error("the tile {} is missing or too short", .0.id.path(.0.width))]
    Missing(Wanted),
    /// The tree has fewer entries than the question needs.
    #[error("{asked} is not within a tree of {size} entries")]
    OutOfRange {
        /// The entry or the size that was asked for.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// More entries than a log can have.
    #[error("a log cannot have {0} entries")]
    TooLarge(u64),
}

/// Reads each tile once, however many hashes of it are needed.
pub(super) struct Reader<'t, T> {
    tiles: &'t T,
    size: u64,
    read: BTreeMap<TileId, Tile>,
}

impl<'t, T: Tiles> Reader<'t, T> {
    pub(super) const fn new(tiles: &'t T, size: u64) -> Self {
        Self {
            tiles,
            size,
            read: BTreeMap::new(),
        }
    }

    /// The root of a complete subtree.
    pub(super) fn node(&mut self, node: Node) -> Result<Hash, TreeError<T::Error>> {
        let (id, first, many) = node.place();
        let hashes = self.hashes(id)?;
        // `hashes` has all the tile has at this size, and the node is complete at this size.
        Ok(complete(&hashes[first..first + many]))
    }

    /// All hashes a tile has in a tree of this size.
    pub(super) fn hashes(&mut self, id: TileId) -> Result<&[Hash], TreeError<T::Error>> {
        let width = id.width_at(self.size);
        let wanted = Wanted { id, width };
        if !self.read.contains_key(&id) {
            let tile = self.tiles.tile(wanted).map_err(TreeError::Storage)?;
            let tile = tile.filter(|t| t.id == id && t.hashes.len() >= width);
            self.read
                .insert(id, tile.ok_or(TreeError::Missing(wanted))?);
        }
        Ok(&self.read[&id].hashes[..width])
    }
}

/// A complete subtree: `2^height` leaves from `index * 2^height` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) height: u32,
    pub(super) index: u64,
}

impl Node {
    /// The tile whose hashes it is made of, the first of them, and how many: up to 128.
    pub(super) fn place(self) -> (TileId, usize, usize) {
        let within = self.height % super::TILE_HEIGHT;
        let first = self.index << within;
        let id = TileId {
            // Heights are below 64, so levels below 8.
            level: u8::try_from(self.height / super::TILE_HEIGHT).unwrap_or(u8::MAX),
            index: first / TILE_WIDTH as u64,
        };
        let first = usize::try_from(first % TILE_WIDTH as u64).unwrap_or(0);
        (id, first, 1 << within)
    }
}

/// The complete subtrees that a subtree over `low..high` is made of, from the left: one for each bit
/// of its length, the largest first. `low` is a multiple of the largest one, as it is for every
/// subtree of RFC 9162 §2.1.1.
pub(super) fn nodes(low: u64, high: u64) -> impl DoubleEndedIterator<Item = Node> {
    let length = high - low;
    (0..u64::BITS).rev().filter_map(move |height| {
        if length >> height & 1 == 0 {
            return None;
        }
        let larger = length.checked_shr(height + 1).unwrap_or(0);
        let before = larger.checked_shl(height + 1).unwrap_or(0);
        Some(Node {
            height,
            index: (low + before) >> height,
        })
    })
}
