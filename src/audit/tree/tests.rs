//! The tree against the published vectors, against RFC 9162's definitions written down as they stand,
//! and against another implementation (`tlog_tiles`, after Go's `sumdb/tlog`).
#![allow(clippy::unwrap_used)]

mod published;

use super::*;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tlog_tiles as other;

type Store = BTreeMap<TileId, Tile>;

/// `MTH` of RFC 9162 §2.1.1.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(k(leaves.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

/// `PATH` of §2.1.3.1.
fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(k(leaves.len()));
    if m < left.len() {
        [path(m, left), vec![mth(right)]].concat()
    } else {
        [path(m - left.len(), right), vec![mth(left)]].concat()
    }
}

/// `SUBPROOF` of §2.1.4.1.
fn subproof(m: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if known { vec![] } else { vec![mth(leaves)] };
    }
    let (left, right) = leaves.split_at(k(leaves.len()));
    if m <= left.len() {
        [subproof(m, left, known), vec![mth(right)]].concat()
    } else {
        [subproof(m - left.len(), right, false), vec![mth(left)]].concat()
    }
}

/// The largest power of two smaller than `n`.
fn k(n: usize) -> usize {
    n.next_power_of_two() / 2
}

fn leaf(n: u64) -> Hash {
    leaf_hash(&n.to_be_bytes())
}

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(leaf).collect()
}

fn store(store: &mut Store, tiles: Vec<Tile>) {
    for tile in tiles {
        store.insert(tile.id(), tile);
    }
}

/// A stored tree of `n` leaves, in one batch.
fn grown(n: u64) -> Store {
    let mut tiles = Store::new();
    store(&mut tiles, Frontier::new().append((0..n).map(leaf)));
    tiles
}

fn hash_of(hex: &str) -> Hash {
    hex::decode(hex).unwrap().try_into().unwrap()
}

#[test]
fn leaves_nodes_and_the_empty_tree_hash_as_published() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(EMPTY_ROOT, hash_of(empty));
    assert_eq!(EMPTY_ROOT, sha256(&[]));
    let leaf = "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56";
    assert_eq!(leaf_hash(b"L123456"), hash_of(leaf));
    // A node cannot be passed off as a leaf with the same bytes.
    let (left, right) = (leaf_hash(b"Hello"), leaf_hash(b"World"));
    assert_ne!(node_hash(&left, &right), leaf_hash(&[left, right].concat()));
    assert_ne!(node_hash(&left, &right), node_hash(&right, &left));
}

#[test]
fn tiles_are_laid_out_as_the_standard_says() {
    let id = |level, index| TileId { level, index };
    assert_eq!(id(0, 1_234_067).path(256), "tile/0/x001/x234/067");
    assert_eq!(id(0, 0).path(256), "tile/0/000");
    assert_eq!(id(2, 1_000).path(1), "tile/2/x001/000.p/1");
    // Its example: a tree of 70 000.
    let tiles = grown(70_000);
    let full = |level| {
        tiles
            .values()
            .filter(|t| t.id().level == level && t.is_full())
            .count()
    };
    assert_eq!((full(0), full(1), full(2)), (273, 1, 0));
    let paths: Vec<_> = tiles
        .values()
        .filter(|t| !t.is_full())
        .map(Tile::path)
        .collect();
    assert_eq!(
        paths,
        ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    );
    // A tree of 256 has a full tile and one hash above it.
    let paths: Vec<_> = grown(256).values().map(Tile::path).collect();
    assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
    let tile = &tiles[&id(1, 1)];
    assert_eq!(
        Tile::from_bytes(id(1, 1), &tile.to_bytes()).as_ref(),
        Ok(tile)
    );
    assert_eq!(tile.to_bytes().len(), 17 * 32);
    for wrong in [0, 31, 33, 257 * 32] {
        let bytes = vec![7; wrong];
        assert_eq!(
            Tile::from_bytes(id(0, 0), &bytes),
            Err(TileError::Length(wrong))
        );
    }
}

/// Counts what is read.
struct Counted<'s>(&'s Store, RefCell<Vec<Wanted>>);

impl Tiles for Counted<'_> {
    type Error = std::convert::Infallible;

    fn tile(&self, wanted: Wanted) -> Result<Option<Tile>, Self::Error> {
        self.1.borrow_mut().push(wanted);
        self.0.tile(wanted)
    }
}

#[test]
fn a_proof_reads_a_handful_of_tiles_each_once_and_says_which_before() {
    // 70 000 has three levels, as ten million and up to 16.7 million have.
    let tiles = grown(70_000);
    for index in [
        0, 1, 255, 256, 35_000, 65_535, 65_536, 69_887, 69_888, 69_999,
    ] {
        let counted = Counted(&tiles, RefCell::default());
        let tree = Tree::new(70_000, &counted).unwrap();
        tree.inclusion(index).unwrap();
        let mut read = counted.1.take();
        assert!(read.len() <= 6, "{index}: {read:?}");
        read.sort_unstable();
        let wanted: Vec<_> = tree.inclusion_tiles(index).unwrap().into_iter().collect();
        assert_eq!(read, wanted);

        tree.consistency(index).unwrap();
        let mut read = counted.1.take();
        assert!(read.len() <= 6, "{index}: {read:?}");
        read.sort_unstable();
        let wanted: Vec<_> = tree.consistency_tiles(index).unwrap().into_iter().collect();
        assert_eq!(read, wanted);
    }
    for size in [0, 1, 256, 65_536, 69_888, 70_000] {
        let counted = Counted(&tiles, RefCell::default());
        Frontier::load(size, &counted).unwrap();
        let read = counted.1.take();
        assert!(read.len() <= 3, "{size}: {read:?}");
        assert!(read.iter().eq(&Frontier::tiles(size)));
    }
    // Ten million have no more; nothing is read to say so.
    let tree = Tree::new(10_000_000, &tiles).unwrap();
    for index in [0, 5_000_000, 9_999_999] {
        assert!(tree.inclusion_tiles(index).unwrap().len() <= 6);
        assert!(tree.consistency_tiles(index).unwrap().len() <= 6);
    }
}

#[test]
fn what_is_not_there_is_an_error_and_never_a_wrong_hash() {
    let mut tiles = grown(600);
    let tree = |size| Tree::new(size, &tiles).unwrap();
    let out = |asked, size| TreeError::OutOfRange { asked, size };
    assert_eq!(tree(600).inclusion(600), Err(out(600, 600)));
    assert_eq!(tree(600).leaf(u64::MAX), Err(out(u64::MAX, 600)));
    assert_eq!(tree(600).consistency(601), Err(out(601, 600)));
    assert_eq!(tree(0).inclusion(0), Err(out(0, 0)));
    assert_eq!(tree(0).consistency(0), Ok(vec![]));
    // A tree larger than what is stored.
    assert!(matches!(tree(601).root(), Err(TreeError::Missing(_))));
    assert!(matches!(
        Frontier::load(601, &tiles),
        Err(TreeError::Missing(_))
    ));
    for large in [MAX_SIZE + 1, u64::MAX] {
        assert_eq!(
            Tree::new(large, &tiles).unwrap_err(),
            TreeError::TooLarge(large)
        );
        assert_eq!(
            Frontier::load(large, &tiles),
            Err(TreeError::TooLarge(large))
        );
    }
    assert!(matches!(tree(MAX_SIZE).root(), Err(TreeError::Missing(_))));
    assert!(matches!(
        tree(MAX_SIZE).inclusion(MAX_SIZE - 1),
        Err(TreeError::Missing(_))
    ));
    // A tile in another's place.
    let (from, to) = (TileId { level: 0, index: 1 }, TileId { level: 0, index: 0 });
    let moved = tiles[&from].clone();
    tiles.insert(to, moved);
    let missing = Tree::new(600, &tiles).unwrap().leaf(0);
    assert!(matches!(missing, Err(TreeError::Missing(_))), "{missing:?}");
}

#[test]
fn a_wrong_tile_makes_a_proof_that_does_not_verify() {
    let mut tiles = grown(700);
    let root = Tree::new(700, &tiles).unwrap().root().unwrap();
    let id = TileId { level: 1, index: 0 };
    let mut hashes = tiles[&id].hashes().to_vec();
    hashes[1][0] ^= 1;
    tiles.insert(id, Tile::new(id, hashes).unwrap());
    let tree = Tree::new(700, &tiles).unwrap();
    let proof = tree.inclusion(3).unwrap();
    assert_eq!(
        verify_inclusion(&leaf(3), 3, 700, &proof, &root),
        Err(ProofError::Root)
    );
    assert_ne!(tree.root(), Ok(root));
    assert_ne!(Frontier::load(700, &tiles).unwrap().root(), root);
}

/// The cases of the reference implementation's own tests that must not verify.
#[test]
fn degenerate_and_padded_proofs_are_refused() {
    let some = [0xab; 32];
    for (index, size) in [(0, 0), (1, 0), (2, 1), (1, 1)] {
        assert!(verify_inclusion(&some, index, size, &[], &EMPTY_ROOT).is_err());
        assert!(verify_inclusion(&some, index, size, &[], &some).is_err());
    }
    let (a, b) = ([1; 32], [2; 32]);
    let refused = [
        (0, a, 0, a, vec![]),
        (0, a, 1, b, vec![]),
        (1, a, 1, b, vec![]),
        (1, a, 0, a, vec![]),
        (2, a, 1, a, vec![]),
        (1, a, 2, b, vec![]),
        (0, EMPTY_ROOT, 0, EMPTY_ROOT, vec![EMPTY_ROOT]),
        (0, EMPTY_ROOT, 1, a, vec![EMPTY_ROOT]),
        (1, a, 1, a, vec![a]),
        (u64::MAX, a, u64::MAX, b, vec![]),
        (3, a, u64::MAX, b, vec![a; 70]),
    ];
    for (old, old_root, size, root, proof) in refused {
        let said = verify_consistency(old, &old_root, size, &root, &proof);
        assert!(said.is_err(), "{old} {size} {said:?}");
    }
    assert_eq!(verify_consistency(0, &EMPTY_ROOT, 1, &a, &[]), Ok(()));
    assert_eq!(verify_consistency(1, &a, 1, &a, &[]), Ok(()));
}

#[test]
fn every_small_tree_is_the_definitions() {
    let all = leaves(70);
    let tiles = grown(70);
    for size in 1..=70_u64 {
        let these = &all[..usize::try_from(size).unwrap()];
        let tree = Tree::new(size, &tiles).unwrap();
        assert_eq!(tree.root(), Ok(mth(these)));
        for index in 0..size {
            let m = usize::try_from(index).unwrap();
            assert_eq!(tree.inclusion(index), Ok(path(m, these)));
            assert_eq!(
                tree.consistency(index + 1),
                Ok(subproof(m + 1, these, true))
            );
        }
    }
}

/// The hashes another implementation asks for, from this tree's tiles.
struct ForOther<'s>(&'s Store, u64);

impl other::HashReader for ForOther<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<other::Hash>, other::Error> {
        let hash = |&index: &u64| {
            let (height, n) = other::split_stored_hash_index(index);
            let mut reader = tile::Reader::new(self.0, self.1);
            let height = u32::from(height);
            other::Hash(reader.node(tile::Node { height, index: n }).unwrap())
        };
        Ok(indexes.iter().map(hash).collect())
    }
}

fn to_other(hashes: &[Hash]) -> Vec<other::Hash> {
    hashes.iter().copied().map(other::Hash).collect()
}

/// Sizes around the places where tiles fill up, and any.
fn sizes() -> impl Strategy<Value = u64> {
    let near = |at: u64| at - 3..at + 4;
    prop_oneof![
        1..20_u64,
        near(256),
        near(512),
        near(1024),
        near(65_536),
        1..3_000_u64
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn batches_of_any_sizes_grow_the_same_tree(
        batches in prop::collection::vec(prop_oneof![0..5_u64, 200..300_u64, 500..800_u64], 1..8),
    ) {
        let mut tiles = Store::new();
        let mut size = 0;
        for batch in batches {
            // As after a restart: the edge comes from the store.
            let mut frontier = Frontier::load(size, &tiles).unwrap();
            let before = tiles.clone();
            let new = frontier.append((size..size + batch).map(leaf));
            size += batch;
            for tile in &new {
                // Each tile once, only wider than before, never otherwise.
                let old = before.get(&tile.id()).map_or(&[][..], Tile::hashes);
                prop_assert!(tile.hashes().len() > old.len());
                prop_assert_eq!(&tile.hashes()[..old.len()], old);
                prop_assert_eq!(tile.hashes().len(), tile.id().width_at(size));
            }
            let count = new.len();
            store(&mut tiles, new);
            prop_assert_eq!(&tiles, &grown(size));
            let changed = tiles.iter().filter(|(id, tile)| before.get(id) != Some(tile)).count();
            prop_assert_eq!(count, changed);
            prop_assert_eq!(&frontier, &Frontier::load(size, &tiles).unwrap());
            prop_assert_eq!(frontier.root(), mth(&leaves(size)));
        }
    }

    #[test]
    fn proofs_of_any_tree_are_the_definitions_and_verify(
        size in sizes(), index: prop::sample::Index, later in 0..400_u64,
    ) {
        // The store is ahead of the tree that is asked about.
        let tiles = grown(size + later);
        let all = leaves(size);
        let n = index.index(all.len());
        let at = n as u64;
        let tree = Tree::new(size, &tiles).unwrap();
        let root = mth(&all);
        prop_assert_eq!(tree.root(), Ok(root));
        prop_assert_eq!(tree.leaf(at), Ok(all[n]));
        let proof = tree.inclusion(at).unwrap();
        prop_assert_eq!(&proof, &path(n, &all));
        prop_assert_eq!(verify_inclusion(&all[n], at, size, &proof, &root), Ok(()));

        let old = at + 1;
        let growth = tree.consistency(old).unwrap();
        prop_assert_eq!(&growth, &subproof(n + 1, &all, true));
        let old_root = mth(&all[..=n]);
        prop_assert_eq!(verify_consistency(old, &old_root, size, &root, &growth), Ok(()));

        // The other implementation finds the same and accepts it.
        let reader = ForOther(&tiles, size);
        let theirs = other::Hash(root);
        prop_assert_eq!(other::tree_hash(size, &reader).unwrap(), theirs);
        prop_assert_eq!(other::prove_record(size, at, &reader).unwrap(), to_other(&proof));
        other::check_record(&to_other(&proof), size, theirs, at, other::Hash(all[n])).unwrap();
        prop_assert_eq!(other::prove_tree(size, old, &reader).unwrap(), to_other(&growth));
        other::check_tree(&to_other(&growth), size, theirs, old, other::Hash(old_root)).unwrap();
    }

    #[test]
    fn no_altered_proof_verifies(
        size in sizes(), index: prop::sample::Index, bit in 0..256_usize, which: prop::sample::Index,
        other_size in 1..3_000_u64,
    ) {
        let all = leaves(size);
        let n = index.index(all.len());
        let at = n as u64;
        let root = mth(&all);
        let flip = |hash: Hash| {
            let mut hash = hash;
            hash[bit / 8] ^= 1 << (bit % 8);
            hash
        };
        let proof = path(n, &all);
        let ok = |leaf: Hash, proof: &[Hash], size, root: Hash| {
            verify_inclusion(&leaf, at, size, proof, &root).is_ok()
        };
        prop_assert!(ok(all[n], &proof, size, root));
        prop_assert!(!ok(flip(all[n]), &proof, size, root));
        prop_assert!(!ok(all[n], &proof, size, flip(root)));
        let growth = subproof(n + 1, &all, true);
        let old_root = mth(&all[..=n]);
        let grew = |old: u64, old_root: Hash, proof: &[Hash], root: Hash| {
            verify_consistency(old, &old_root, size, &root, proof).is_ok()
        };
        prop_assert!(grew(at + 1, old_root, &growth, root));
        prop_assert!(!grew(at + 1, flip(old_root), &growth, root));
        prop_assert!(!grew(at + 1, old_root, &growth, flip(root)));
        for (proof, holds) in [
            (&proof, &(|p: &[Hash]| ok(all[n], p, size, root)) as &dyn Fn(&[Hash]) -> bool),
            (&growth, &|p: &[Hash]| grew(at + 1, old_root, p, root)),
        ] {
            let longer = [&proof[..], &[root]].concat();
            prop_assert!(!holds(&longer));
            if !proof.is_empty() {
                let place = which.index(proof.len());
                let mut altered = proof.clone();
                altered[place] = flip(altered[place]);
                prop_assert!(!holds(&altered));
                altered.remove(place);
                prop_assert!(!holds(&altered));
            }
        }
        // A right proof says nothing about another size, unless the shape and root are the same.
        if other_size != size && other_size > at {
            let theirs = mth(&leaves(other_size));
            prop_assert!(!ok(all[n], &proof, other_size, theirs));
        }
    }

    #[test]
    fn paths_are_the_other_implementations(level in 0..8_u8, index: u64, width in 1..=256_usize) {
        let index = index >> 16;
        let theirs = other::Tile::new(8, level, index, u32::try_from(width).unwrap(), false);
        let path = TileId { level, index }.path(width);
        // Go's layout has the tile height in the path, C2SP's does not.
        prop_assert_eq!(theirs.path(), path.replacen("tile/", "tile/8/", 1));
    }

    #[test]
    fn no_proof_makes_verification_panic(
        a: u64, b: u64, proof in prop::collection::vec(any::<[u8; 32]>(), 0..70), root: [u8; 32],
    ) {
        let _ = verify_inclusion(&root, a, b, &proof, &root);
        let _ = verify_consistency(a, &root, b, &root, &proof);
    }
}
