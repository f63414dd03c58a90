//! The log's tree in process: growing it by batches, and proofs over a million rows with the tiles in
//! memory, as `docs/audit.md` has it.

use crate::Options;
use crate::report::{Report, Target, Times, micros};
use agentkeys::audit::tree::{
    Frontier, Hash, Tile, TileId, Tree, leaf_hash, verify_consistency, verify_inclusion,
};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

/// As long as a row of `memory.get` is.
const ROW: usize = 700;

/// A batch of two minutes at a thousand rows a second.
const BATCH: u64 = 120_000;

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let rows: u64 = if options.quick { 200_000 } else { 1_000_000 };
    let mut envelope = vec![0x5a; ROW];
    let mut tiles: BTreeMap<TileId, Tile> = BTreeMap::new();
    let mut frontier = Frontier::new();
    let mut rates = Vec::new();
    while frontier.size() < rows {
        let first = frontier.size();
        let last = rows.min(first + BATCH);
        let start = Instant::now();
        let leaves = (first..last).map(|n| {
            envelope[..8].copy_from_slice(&n.to_be_bytes());
            leaf_hash(&envelope)
        });
        let new = frontier.append(leaves);
        black_box(frontier.root());
        rates.push((last - first) as f64 / start.elapsed().as_secs_f64());
        tiles.extend(new.into_iter().map(|tile| (tile.id(), tile)));
    }
    let rates = Times::new(rates);
    let note = format!(
        "envelopes of {ROW} bytes, median of {} batches of up to {BATCH}, hashing and root",
        rows.div_ceil(BATCH)
    );
    let target = Target::AtLeast(200_000.0);
    report.add("tree: integrate", rates.median(), "leaves/s", target, note);

    let tree = Tree::new(rows, &tiles).unwrap();
    let root = frontier.root();
    assert_eq!(tree.root().unwrap(), root);
    let asked = if options.quick { 200 } else { 20_000 };
    // Places all over the log: the golden ratio's multiples.
    let places = (1..=asked).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % rows);
    let places: Vec<u64> = places.collect();
    proofs(report, &tree, &places, root);
    growth(report, &tree, &places, root);

    let load = |size: u64| {
        let took = (0..200).map(|_| {
            let start = Instant::now();
            let frontier = Frontier::load(size, &tiles).unwrap();
            black_box(frontier.root());
            micros(start)
        });
        Times::new(took.collect()).median()
    };
    // Both have as many hashes in their unfinished tiles.
    let (small, large) = (
        load(255 * 257),
        load(255 * 257 + 65_536 * (rows / 65_536 - 1)),
    );
    report.add(
        "tree: edge and root of a stored tree",
        large,
        "us",
        Target::None,
        format!("median; {small:.0} us where the log is a fraction of that"),
    );
}

type Stored<'t> = Tree<'t, BTreeMap<TileId, Tile>>;

fn proofs(report: &mut Report, tree: &Stored<'_>, places: &[u64], root: Hash) {
    let size = tree.size();
    let (mut made, mut checked, mut reads) = (Vec::new(), Vec::new(), 0);
    for &place in places {
        let start = Instant::now();
        let proof = tree.inclusion(place).unwrap();
        made.push(micros(start));
        let leaf = tree.leaf(place).unwrap();
        let start = Instant::now();
        verify_inclusion(&leaf, place, size, &proof, &root).unwrap();
        checked.push(micros(start));
        reads = reads.max(tree.inclusion_tiles(place).unwrap().len());
    }
    let (made, checked) = (Times::new(made), Times::new(checked));
    let note = format!(
        "p50 {:.0} us, max {:.0} us of {}; at most {reads} tiles; checking takes {:.0} us",
        made.median(),
        made.most(),
        places.len(),
        checked.median()
    );
    let name = format!("tree: inclusion proof over {size} rows, p99");
    report.add(name, made.at(0.99), "us", Target::AtMost(1_000.0), note);
}

fn growth(report: &mut Report, tree: &Stored<'_>, places: &[u64], root: Hash) {
    let size = tree.size();
    let mut made = Vec::new();
    for &old in places.iter().take(2_000) {
        let start = Instant::now();
        let proof = tree.consistency(old).unwrap();
        made.push(micros(start));
        let older = tree.older(old).unwrap().root().unwrap();
        verify_consistency(old, &older, size, &root, &proof).unwrap();
    }
    let made = Times::new(made);
    let note = format!("p50 {:.0} us, max {:.0} us", made.median(), made.most());
    let name = format!("tree: consistency proof over {size} rows, p99");
    report.add(name, made.at(0.99), "us", Target::None, note);
}
