//! The right edge of a tree: what appending needs, and nothing that grows with the log.

use super::tile::{Reader, nodes};
use super::{
    EMPTY_ROOT, Hash, MAX_SIZE, TILE_WIDTH, Tile, TileId, Tiles, TreeError, Wanted, complete,
    count, node_hash,
};
use std::collections::BTreeSet;

/// The unfinished tile of each level of a tree, with no hashes where none is unfinished.
fn edge(size: u64) -> impl Iterator<Item = Wanted> {
    let levels = (0..).take_while(move |&level| count(size, level) > 0);
    levels.map(move |level| {
        let index = count(size, level) / TILE_WIDTH as u64;
        let id = TileId { level, index };
        let width = id.width_at(size);
        Wanted { id, width }
    })
}

/// The last, unfinished tile of each level: at most 255 hashes a level, whatever the size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// From level 0 up; a level's width is the size's digit to the base 256, so some are empty.
    levels: Vec<Vec<Hash>>,
}

impl Frontier {
    /// The edge of an empty tree.
    pub const fn new() -> Self {
        Self {
            size: 0,
            levels: Vec::new(),
        }
    }

    /// Reads the edge of a stored tree: one tile a level at most. Compare [`Self::root`] with the
    /// last checkpoint before appending to it.
    pub fn load<T: Tiles>(size: u64, tiles: &T) -> Result<Self, TreeError<T::Error>> {
        if size > MAX_SIZE {
            return Err(TreeError::TooLarge(size));
        }
        let mut reader = Reader::new(tiles, size);
        let levels = edge(size).map(|Wanted { id, width }| match width {
            0 => Ok(Vec::new()),
            _ => Ok(reader.hashes(id)?.to_vec()),
        });
        let levels = levels.collect::<Result<_, _>>()?;
        Ok(Self { size, levels })
    }

    /// Which tiles [`Self::load`] reads: for a store that has to fetch them first.
    pub fn tiles(size: u64) -> BTreeSet<Wanted> {
        edge(size).filter(|wanted| wanted.width > 0).collect()
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends leaf hashes ([`super::leaf_hash`]) and gives every tile that is new or wider, each once
    /// and in its last form: the tiles that were filled, then the unfinished one of each level that
    /// changed. Storing them by [`TileId`], over what is there, is all a store has to do.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let mut changed = 0;
        for leaf in leaves {
            let reached = self.push_with(leaf, |tile| tiles.push(tile));
            changed = changed.max(reached);
        }
        tiles.extend(
            self.unfinished()
                .take_while(|t| usize::from(t.id.level) < changed),
        );
        tiles
    }

    /// The unfinished tiles: at most one a level.
    pub fn unfinished(&self) -> impl Iterator<Item = Tile> {
        let levels = (0..).zip(&self.levels);
        levels.filter_map(|(level, hashes)| {
            let index = count(self.size, level) / TILE_WIDTH as u64;
            let id = TileId { level, index };
            // A level that was filled to the brim has nothing unfinished.
            Tile::new(id, hashes.clone()).ok()
        })
    }

    /// Appends one leaf hash and keeps no tile: for reading through a log in constant memory.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_| ());
    }

    /// Appends one leaf, hands over the tiles it fills, and says how many levels changed.
    fn push_with(&mut self, leaf: Hash, mut filled: impl FnMut(Tile)) -> usize {
        self.size += 1;
        let mut hash = leaf;
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            level += 1;
            if hashes.len() < TILE_WIDTH {
                return level;
            }
            hash = complete(hashes);
            let full = std::mem::replace(hashes, Vec::with_capacity(TILE_WIDTH));
            let below = u8::try_from(level - 1).unwrap_or(u8::MAX);
            let id = TileId {
                level: below,
                index: count(self.size, below) / TILE_WIDTH as u64 - 1,
            };
            filled(Tile { id, hashes: full });
        }
    }

    /// The tree's root, from at most 255 hashes a level.
    pub fn root(&self) -> Hash {
        let mut right = None;
        for hashes in &self.levels {
            for node in nodes(0, hashes.len() as u64).rev() {
                let (_, first, many) = node.place();
                let left = complete(&hashes[first..first + many]);
                right = Some(right.map_or(left, |right| node_hash(&left, &right)));
            }
        }
        right.unwrap_or(EMPTY_ROOT)
    }
}
