//! The Merkle tree over the log (RFC 9162 §2.1, SHA-256): a leaf is the exact bytes of one envelope,
//! `leaf_index = seq`. What is kept of it are tiles ([`Tile`], C2SP tlog-tiles), so a proof in a log
//! of ten million rows is a handful of reads, and appending needs only the right edge
//! ([`Frontier`]).

mod frontier;
mod proof;
mod tile;
mod verify;

pub use frontier::Frontier;
pub use proof::Tree;
pub use tile::{Tile, TileError, TileId, Tiles, TreeError, Wanted};
pub use verify::{ProofError, verify_consistency, verify_inclusion};

use crate::digest::sha256;

/// A node of the tree, or its root.
pub type Hash = [u8; 32];

/// How many hashes a full tile has.
pub const TILE_WIDTH: usize = 256;

/// How many levels of the tree a tile spans.
const TILE_HEIGHT: u32 = 8;

/// The largest tree: `seq` is a signed 64-bit number where it is stored.
pub const MAX_SIZE: u64 = i64::MAX.cast_unsigned();

/// The root of a tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The hash of a leaf: the exact bytes of an envelope after a zero byte.
pub fn leaf_hash(envelope: &[u8]) -> Hash {
    sha256(&[&[0], envelope])
}

/// The hash of an inner node: both children after a one byte, so that no node passes for a leaf.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root of a complete subtree over `hashes`, of which there are a power of two.
fn complete(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two());
    match hashes {
        [] => EMPTY_ROOT,
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node_hash(&complete(left), &complete(right))
        }
    }
}

/// How many hashes a tree of `size` leaves has on a tile level: complete subtrees of
/// 256^`level` leaves.
fn count(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(level) * TILE_HEIGHT)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
