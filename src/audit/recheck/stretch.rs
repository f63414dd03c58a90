//! What is read of a store at a time: the places one tile of leaf hashes stands for.

use crate::audit::bundle::MAX_ENVELOPE_BYTES;
use crate::audit::tree::{TILE_WIDTH, TileId};

/// Places of a stretch.
pub const WIDTH: u64 = TILE_WIDTH as u64;

/// A row as it is stored: the envelope, and the columns that repeat parts of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Where it says it is.
    pub seq: i64,
    /// When.
    pub ts_ms: i64,
    /// A column that does not hold what its type allows.
    pub malformed: Option<&'static str>,
    /// The event's id.
    pub event_id: &'a [u8],
    /// Whose event; none for a stranger's.
    pub actor_omni: Option<&'a [u8]>,
    /// The vendor.
    pub vendor: Option<&'a [u8]>,
    /// Its rail.
    pub rail: Option<&'a [u8]>,
    /// The tool.
    pub tool: &'a [u8],
    /// How it ended.
    pub verdict: &'a [u8],
    /// The namespace.
    pub namespace: Option<&'a [u8]>,
    /// The exact bytes.
    pub envelope: &'a [u8],
}

/// Where a row's parts are in the buffer: one after the other, absent ones as [`ABSENT`].
#[derive(Debug, Clone, Copy)]
struct Span {
    seq: i64,
    ts_ms: i64,
    malformed: Option<&'static str>,
    from: usize,
    lengths: [u32; 8],
}

/// The length of what is not there.
const ABSENT: u32 = u32::MAX;

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The number of its origin.
    pub origin: i64,
    /// How many entries it says it covers.
    pub size: i64,
    /// The signed note.
    pub note: String,
}

/// Rows of [`WIDTH`] places, the tiles that end there, and the checkpoints within. It is used again
/// and again, so that reading a log takes as much memory as reading its beginning.
#[derive(Debug, Default)]
pub struct Stretch {
    /// The first place: a multiple of [`WIDTH`].
    pub first: u64,
    /// The stored form of each tile of [`tiles_ending`], if it is there.
    pub tiles: Vec<(TileId, Option<Vec<u8>>)>,
    /// Checkpoints of more than `first` and at most `first +` [`WIDTH`] entries by size; those of none
    /// are in the first stretch.
    pub checkpoints: Vec<StoredCheckpoint>,
    bytes: Vec<u8>,
    rows: Vec<Span>,
}

impl Stretch {
    /// Empties it for the stretch from a place on.
    pub fn begin(&mut self, first: u64) {
        self.first = first;
        self.tiles.clear();
        self.checkpoints.clear();
        self.bytes.clear();
        self.rows.clear();
    }

    /// Adds a row. An envelope that is larger than any can be is left out, and the row is malformed.
    pub fn push(&mut self, row: &Row<'_>) {
        let mut malformed = row.malformed;
        let mut envelope = row.envelope;
        if envelope.len() > MAX_ENVELOPE_BYTES {
            envelope = &[];
            malformed = malformed.or(Some("envelope"));
        }
        let from = self.bytes.len();
        let parts = [
            Some(row.event_id),
            row.actor_omni,
            row.vendor,
            row.rail,
            Some(row.tool),
            Some(row.verdict),
            row.namespace,
            Some(envelope),
        ];
        let lengths = parts.map(|part| {
            let Some(part) = part else { return ABSENT };
            // No column beside it is longer than the envelope that repeats it.
            let part = &part[..part.len().min(MAX_ENVELOPE_BYTES + 1)];
            self.bytes.extend_from_slice(part);
            u32::try_from(part.len()).unwrap_or(ABSENT)
        });
        self.rows.push(Span {
            seq: row.seq,
            ts_ms: row.ts_ms,
            malformed,
            from,
            lengths,
        });
    }

    /// Its rows in the order in which they were read.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.rows.iter().map(|span| self.row(span))
    }

    /// How many rows it has.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn row(&self, span: &Span) -> Row<'_> {
        let mut rest = self.bytes.get(span.from..).unwrap_or_default();
        let mut part = |at: usize| {
            let length = span.lengths[at];
            if length == ABSENT {
                return None;
            }
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (part, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(part)
        };
        let event_id = part(0).unwrap_or_default();
        let [actor_omni, vendor, rail] = [part(1), part(2), part(3)];
        let [tool, verdict] = [part(4), part(5)].map(Option::unwrap_or_default);
        let namespace = part(6);
        Row {
            seq: span.seq,
            ts_ms: span.ts_ms,
            malformed: span.malformed,
            event_id,
            actor_omni,
            vendor,
            rail,
            tool,
            verdict,
            namespace,
            envelope: part(7).unwrap_or_default(),
        }
    }
}

/// The tiles of a tree of `size` entries that get their last hash in the stretch from `first` on.
pub fn tiles_ending(first: u64, size: u64) -> Vec<TileId> {
    if first >= size {
        return Vec::new();
    }
    let end = size.min(first.saturating_add(WIDTH));
    let mut tiles = Vec::new();
    let mut hashes = end;
    // Whether the tile below was filled here, so that a hash of this level is new.
    let mut filled = true;
    for level in 0_u8..8 {
        let (index, rest) = (hashes / WIDTH, hashes % WIDTH);
        filled &= rest == 0 && hashes > 0;
        if filled {
            let index = index - 1;
            tiles.push(TileId { level, index });
        } else if end == size && rest > 0 {
            tiles.push(TileId { level, index });
        }
        hashes /= WIDTH;
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tree::Frontier;
    use std::collections::BTreeSet;

    #[test]
    fn a_row_comes_back_as_it_went_in() {
        let row = Row {
            seq: 3,
            ts_ms: -1,
            malformed: None,
            event_id: b"evt_1",
            actor_omni: Some(&[7; 32]),
            vendor: None,
            rail: Some(b""),
            tool: b"t",
            verdict: b"accept",
            namespace: None,
            envelope: &[1, 2, 3],
        };
        let other = Row {
            seq: 4,
            actor_omni: None,
            namespace: Some(b"travel"),
            ..row
        };
        let mut stretch = Stretch::default();
        stretch.push(&row);
        stretch.push(&other);
        assert_eq!(stretch.rows().collect::<Vec<_>>(), [row, other]);
        let large = vec![0; MAX_ENVELOPE_BYTES + 1];
        stretch.begin(256);
        stretch.push(&Row {
            envelope: &large,
            ..row
        });
        assert_eq!(
            stretch.rows().next().and_then(|r| r.malformed),
            Some("envelope")
        );
    }

    /// Every tile of a tree ends in exactly one stretch, in the form it has in that tree.
    #[test]
    fn each_tile_ends_once() {
        for size in [
            1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_000, 131_072,
        ] {
            let mut frontier = Frontier::new();
            let made = frontier.append((0..size).map(|_| [0; 32]));
            let made: BTreeSet<TileId> = made.iter().map(crate::audit::tree::Tile::id).collect();
            let mut ending = Vec::new();
            for first in (0..size + 600).step_by(256) {
                ending.extend(tiles_ending(first, size));
            }
            let once: BTreeSet<TileId> = ending.iter().copied().collect();
            assert_eq!(once.len(), ending.len(), "{size}");
            assert_eq!(once, made, "{size}");
        }
    }
}
