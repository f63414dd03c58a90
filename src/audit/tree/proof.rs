//! Proofs, computed from tiles.

use super::tile::{Node, Reader, nodes};
use super::{EMPTY_ROOT, Hash, MAX_SIZE, Tiles, TreeError, Wanted, node_hash};
use std::collections::BTreeSet;

/// A tree of a certain size over stored tiles. The store may have grown since: tiles only get wider,
/// so every earlier size can still be asked about.
#[derive(Debug)]
pub struct Tree<'t, T> {
    size: u64,
    tiles: &'t T,
}

/// Leaves `low..high`: one subtree of RFC 9162 §2.1.1, whose root is one hash of a proof.
type Range = (u64, u64);

impl<'t, T: Tiles> Tree<'t, T> {
    /// The tree of the first `size` leaves.
    pub fn new(size: u64, tiles: &'t T) -> Result<Self, TreeError<T::Error>> {
        if size > MAX_SIZE {
            return Err(TreeError::TooLarge(size));
        }
        Ok(Self { size, tiles })
    }

    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The tree of its first `size` leaves.
    pub fn older(&self, size: u64) -> Result<Self, TreeError<T::Error>> {
        self.covers(size)?;
        Ok(Self { size, ..*self })
    }

    /// Its root.
    pub fn root(&self) -> Result<Hash, TreeError<T::Error>> {
        if self.size == 0 {
            return Ok(EMPTY_ROOT);
        }
        Ok(self.hashes(&[(0, self.size)])?[0])
    }

    /// A leaf's hash, as it is stored.
    pub fn leaf(&self, index: u64) -> Result<Hash, TreeError<T::Error>> {
        self.has(index)?;
        Ok(self.hashes(&[(index, index + 1)])?[0])
    }

    /// The inclusion proof of a leaf (RFC 9162 §2.1.3.1), the leaf's neighbour first.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, TreeError<T::Error>> {
        self.has(index)?;
        self.hashes(&path(index, self.size))
    }

    /// The consistency proof from the tree of the first `old` leaves (RFC 9162 §2.1.4.1); empty for
    /// no leaves and for all of them.
    pub fn consistency(&self, old: u64) -> Result<Vec<Hash>, TreeError<T::Error>> {
        self.covers(old)?;
        self.hashes(&growth(old, self.size))
    }

    /// Which tiles [`Self::inclusion`] reads: for a store that has to fetch them first.
    pub fn inclusion_tiles(&self, index: u64) -> Result<BTreeSet<Wanted>, TreeError<T::Error>> {
        self.has(index)?;
        Ok(self.wanted(&path(index, self.size)))
    }

    /// Which tiles [`Self::consistency`] reads.
    pub fn consistency_tiles(&self, old: u64) -> Result<BTreeSet<Wanted>, TreeError<T::Error>> {
        self.covers(old)?;
        Ok(self.wanted(&growth(old, self.size)))
    }

    fn has(&self, index: u64) -> Result<(), TreeError<T::Error>> {
        if index < self.size {
            return Ok(());
        }
        Err(self.out_of_range(index))
    }

    fn covers(&self, old: u64) -> Result<(), TreeError<T::Error>> {
        if old <= self.size {
            return Ok(());
        }
        Err(self.out_of_range(old))
    }

    const fn out_of_range(&self, asked: u64) -> TreeError<T::Error> {
        let size = self.size;
        TreeError::OutOfRange { asked, size }
    }

    fn hashes(&self, ranges: &[Range]) -> Result<Vec<Hash>, TreeError<T::Error>> {
        let mut reader = Reader::new(self.tiles, self.size);
        let hashes = ranges.iter().map(|&(low, high)| {
            let mut right = None;
            for node in nodes(low, high).rev() {
                let left = reader.node(node)?;
                right = Some(right.map_or(left, |right| node_hash(&left, &right)));
            }
            // A range of a proof is never empty.
            Ok(right.unwrap_or(EMPTY_ROOT))
        });
        hashes.collect()
    }

    fn wanted(&self, ranges: &[Range]) -> BTreeSet<Wanted> {
        let nodes = ranges.iter().flat_map(|&(low, high)| nodes(low, high));
        let ids = nodes.map(|node: Node| node.place().0);
        ids.map(|id| Wanted {
            id,
            width: id.width_at(self.size),
        })
        .collect()
    }
}

/// The largest power of two smaller than the length of a subtree with at least two leaves.
const fn split(low: u64, high: u64) -> u64 {
    1 << (high - low - 1).ilog2()
}

/// The subtrees of `PATH(index, D[size])`, from the leaf up.
fn path(index: u64, size: u64) -> Vec<Range> {
    let (mut low, mut high) = (0, size);
    let mut ranges = Vec::new();
    while high - low > 1 {
        let middle = low + split(low, high);
        if index < middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The subtrees of `PROOF(old, D[size])`.
fn growth(old: u64, size: u64) -> Vec<Range> {
    let (mut low, mut high) = (0, size);
    let mut ranges = Vec::new();
    if old == 0 {
        return ranges;
    }
    while old < high {
        let middle = low + split(low, high);
        if old <= middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    // The old tree itself is known to whoever asks.
    if low > 0 {
        ranges.push((low, high));
    }
    ranges.reverse();
    ranges
}
