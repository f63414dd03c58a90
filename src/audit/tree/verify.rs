//! Verification of proofs, step by step as RFC 9162 writes it.

use super::{EMPTY_ROOT, Hash, node_hash};

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry is not within the tree, or the older tree is the larger one.
    #[error("{asked} is not within a tree of {size} entries")]
    OutOfRange {
        /// The entry, or the older tree's size.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// Too few or too many hashes for these sizes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The proof leads to another root than the tree's.
    #[error("the proof does not lead to the root")]
    Root,
    /// The proof does not start from the older tree's root.
    #[error("the proof does not start from the older root")]
    OldRoot,
}

/// Checks that `leaf` is entry `index` of the tree with this size and root (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { asked: index, size });
    }
    let (mut from, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for step in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if from & 1 == 1 || from == last {
            hash = node_hash(step, &hash);
            while from & 1 == 0 && from != 0 {
                from >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        from >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash != *root {
        return Err(ProofError::Root);
    }
    Ok(())
}

/// Checks that the tree of `old_size` entries is the beginning of the tree of `size` entries (RFC 9162
/// §2.1.4.2). An empty log is the beginning of every log, and a log of itself; both need no hashes.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > size {
        let asked = old_size;
        return Err(ProofError::OutOfRange { asked, size });
    }
    if old_size == 0 || old_size == size {
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        let expected = if old_size == 0 { &EMPTY_ROOT } else { root };
        return if old_root == expected {
            Ok(())
        } else {
            Err(ProofError::OldRoot)
        };
    }
    // A complete older tree is a node of the newer one, so the proof leaves it out.
    let (first, steps) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Length)?
    };
    if proof.is_empty() {
        return Err(ProofError::Length);
    }
    let (mut from, mut last) = (old_size - 1, size - 1);
    let complete = from.trailing_ones();
    from >>= complete;
    last >>= complete;
    let (mut old, mut new) = (*first, *first);
    for step in steps {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if from & 1 == 1 || from == last {
            old = node_hash(step, &old);
            new = node_hash(step, &new);
            while from & 1 == 0 && from != 0 {
                from >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, step);
        }
        from >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old != *old_root {
        return Err(ProofError::OldRoot);
    }
    if new != *root {
        return Err(ProofError::Root);
    }
    Ok(())
}
