//! Leaves, roots and proofs of the reference implementation of RFC 6962, whose tree RFC 9162 kept: from
//! the tests of certificate-transparency and of transparency-dev/merkle.

use super::*;

const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
/// The root of the first 1 to 8 leaves.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
/// Leaf from 0, size, proof.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        3,
        &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    ),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];
/// Older size, size, proof.
const CONSISTENCY: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn published_leaves() -> Vec<Hash> {
    let bytes = LEAVES.map(|leaf| leaf_hash(&hex::decode(leaf).unwrap()));
    bytes.to_vec()
}

#[test]
fn roots_are_the_published_ones_at_every_size() {
    let leaves = published_leaves();
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), EMPTY_ROOT);
    for (leaf, root) in leaves.iter().zip(ROOTS) {
        frontier.push(*leaf);
        assert_eq!(frontier.root(), hash_of(root));
    }
    let mut tiles = Store::new();
    store(&mut tiles, Frontier::new().append(leaves));
    let all = Tree::new(8, &tiles).unwrap();
    for (size, root) in (1..).zip(ROOTS) {
        assert_eq!(Tree::new(size, &tiles).unwrap().root(), Ok(hash_of(root)));
        assert_eq!(all.older(size).unwrap().root(), Ok(hash_of(root)));
    }
    let out = TreeError::OutOfRange { asked: 9, size: 8 };
    assert_eq!(all.older(9).unwrap_err(), out);
}

#[test]
fn proofs_are_the_published_ones_and_verify() {
    let mut tiles = Store::new();
    store(&mut tiles, Frontier::new().append(published_leaves()));
    let root = |size: u64| hash_of(ROOTS[usize::try_from(size).unwrap() - 1]);
    for (index, size, proof) in INCLUSION {
        let proof: Vec<_> = proof.iter().map(|hash| hash_of(hash)).collect();
        let tree = Tree::new(size, &tiles).unwrap();
        assert_eq!(tree.inclusion(index), Ok(proof.clone()));
        let leaf = tree.leaf(index).unwrap();
        assert_eq!(
            verify_inclusion(&leaf, index, size, &proof, &root(size)),
            Ok(())
        );
    }
    for (old, size, proof) in CONSISTENCY {
        let proof: Vec<_> = proof.iter().map(|hash| hash_of(hash)).collect();
        let tree = Tree::new(size, &tiles).unwrap();
        assert_eq!(tree.consistency(old), Ok(proof.clone()));
        assert_eq!(
            verify_consistency(old, &root(old), size, &root(size), &proof),
            Ok(())
        );
    }
}

#[test]
fn no_altered_published_proof_verifies() {
    for (index, size, proof) in INCLUSION {
        let proof: Vec<_> = proof.iter().map(|hash| hash_of(hash)).collect();
        let leaf = published_leaves()[usize::try_from(index).unwrap()];
        let root = hash_of(ROOTS[usize::try_from(size).unwrap() - 1]);
        let refused = |index, size, leaf: Hash, proof: &[Hash], root: Hash| {
            assert!(verify_inclusion(&leaf, index, size, proof, &root).is_err());
        };
        refused(index.wrapping_sub(1), size, leaf, &proof, root);
        refused(index + 1, size, leaf, &proof, root);
        refused(index ^ 2, size, leaf, &proof, root);
        refused(index, size * 2, leaf, &proof, root);
        refused(index, size / 2, leaf, &proof, root);
        refused(index, size, [0xab; 32], &proof, root);
        refused(index, size, leaf, &proof, EMPTY_ROOT);
        refused(index, size, leaf, &[&proof[..], &[root]].concat(), root);
        refused(index, size, leaf, &[&[root], &proof[..]].concat(), root);
        for place in 0..proof.len() {
            let mut altered = proof.clone();
            altered[place][31] ^= 1;
            refused(index, size, leaf, &altered, root);
            altered.truncate(place);
            refused(index, size, leaf, &altered, root);
        }
    }
    for (old, size, proof) in CONSISTENCY.into_iter().skip(1) {
        let proof: Vec<_> = proof.iter().map(|hash| hash_of(hash)).collect();
        let root = |size: u64| hash_of(ROOTS[usize::try_from(size).unwrap() - 1]);
        let (old_root, root) = (root(old), root(size));
        let refused = |old, size, old_root: Hash, root: Hash, proof: &[Hash]| {
            assert!(verify_consistency(old, &old_root, size, &root, proof).is_err());
        };
        refused(old - 1, size, old_root, root, &proof);
        refused(old + 1, size, old_root, root, &proof);
        refused(old ^ 2, size, old_root, root, &proof);
        refused(old, size * 2, old_root, root, &proof);
        refused(old, size / 2, old_root, root, &proof);
        refused(old, size, [0xab; 32], root, &proof);
        refused(old, size, old_root, [0xab; 32], &proof);
        refused(old, size, root, old_root, &proof);
        refused(old, size, old_root, root, &[]);
        for extra in [old_root, root, proof[0]] {
            refused(old, size, old_root, root, &[&proof[..], &[extra]].concat());
            refused(old, size, old_root, root, &[&[extra], &proof[..]].concat());
        }
        for place in 0..proof.len() {
            let mut altered = proof.clone();
            altered[place][0] ^= 16;
            refused(old, size, old_root, root, &altered);
            altered.truncate(place);
            refused(old, size, old_root, root, &altered);
        }
    }
}
