//! The check of a bundle: no server, no database, no clock.

use super::Bundle;
use super::verdict::{Failure, Part, Proof, Signer, Verdict};
use crate::audit::anchor::Anchor;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::{SignedNote, VerifierKey};
use crate::audit::tree::{leaf_hash, verify_consistency, verify_inclusion};

/// Checks a bundle. With `trusted` keys, each of its signed notes must be signed by one of them;
/// without, it is checked under its own keys and the verdict says so first.
pub fn verify(bytes: &[u8], trusted: &[VerifierKey]) -> Verdict {
    let bundle = match Bundle::decode(bytes) {
        Ok(bundle) => bundle,
        Err(failure) => return Verdict::failed(failure),
    };
    match check(&bundle, trusted) {
        Ok(proof) => Verdict::of(proof, !trusted.is_empty()),
        Err(failure) => Verdict::failed(failure),
    }
}

fn check(bundle: &Bundle, trusted: &[VerifierKey]) -> Result<Proof, Failure> {
    let mut notes = vec![&bundle.checkpoint];
    notes.extend(bundle.newer.as_ref().map(|newer| &newer.checkpoint));
    notes.extend(&bundle.anchor);
    let keys = only_these_sign(&bundle.keys, &notes)?;

    let (checkpoint, signers) = Checkpoint::open(&bundle.checkpoint, keys)
        .map_err(|error| Failure::new(Part::Checkpoint, error.to_string()))?;
    let signer = pinned(&signers, trusted)?;
    let (size, root) = (checkpoint.size(), checkpoint.root());
    let leaf = leaf_hash(&bundle.envelope);
    verify_inclusion(&leaf, bundle.seq, size, &bundle.inclusion, root)
        .map_err(|error| Failure::new(Part::Inclusion, error.to_string()))?;

    let newer = newer(bundle, &checkpoint, trusted)?;
    let anchor = match &bundle.anchor {
        None => None,
        Some(note) => Some(anchor(note, keys, trusted, &checkpoint, newer.as_ref())?),
    };
    Ok(Proof {
        seq: bundle.seq,
        envelope: bundle.envelope.clone(),
        checkpoint,
        newer,
        anchor,
        on_chain: None,
        signer,
    })
}

/// Every key signs at least one note and every signature is of one of the keys, so that nothing in a
/// bundle is there without being checked.
fn only_these_sign<'k>(
    keys: &'k [VerifierKey],
    notes: &[&SignedNote],
) -> Result<&'k [VerifierKey], Failure> {
    let mut used = Vec::new();
    for note in notes {
        let signers = note
            .signers(keys)
            .map_err(|error| Failure::new(Part::Key, error.to_string()))?;
        if signers.len() != note.signatures().len() {
            let cause = "a note is signed by a key that is not in the bundle";
            return Err(Failure::new(Part::Key, cause));
        }
        used.extend(signers);
    }
    let repeated = |(place, key)| keys[..place].contains(key);
    if keys.iter().enumerate().any(repeated) {
        let cause = "the bundle names a key twice";
        return Err(Failure::new(Part::Key, cause));
    }
    if keys.iter().any(|key| !used.contains(&key)) {
        let cause = "the bundle names a key that signs nothing in it";
        return Err(Failure::new(Part::Key, cause));
    }
    Ok(keys)
}

/// Who vouches for a note: a trusted key that signs it, or its first signer when none is trusted.
fn pinned(signers: &[&VerifierKey], trusted: &[VerifierKey]) -> Result<Signer, Failure> {
    let found = if trusted.is_empty() {
        signers.first()
    } else {
        signers.iter().find(|key| trusted.contains(key))
    };
    match (found, signers) {
        (Some(key), _) => Ok(Signer::of(key)),
        (None, [first, ..]) => {
            let cause = format!(
                "signed by key {}, which is not a trusted one",
                first.fingerprint()
            );
            Err(Failure::new(Part::Key, cause))
        }
        (None, []) => Err(Failure::new(Part::Key, "nobody signs it")),
    }
}

fn newer(
    bundle: &Bundle,
    older: &Checkpoint,
    trusted: &[VerifierKey],
) -> Result<Option<Checkpoint>, Failure> {
    let Some(newer) = &bundle.newer else {
        return Ok(None);
    };
    let wrong = |cause: String| Failure::new(Part::Newer, cause);
    let (checkpoint, signers) = Checkpoint::open(&newer.checkpoint, &bundle.keys)
        .map_err(|error| wrong(error.to_string()))?;
    pinned(&signers, trusted)?;
    if checkpoint.origin() != older.origin() {
        return Err(wrong("the newer checkpoint is another log's".to_owned()));
    }
    if checkpoint.size() <= older.size() {
        return Err(wrong("the newer checkpoint is not newer".to_owned()));
    }
    verify_consistency(
        older.size(),
        older.root(),
        checkpoint.size(),
        checkpoint.root(),
        &newer.consistency,
    )
    .map_err(|error| wrong(error.to_string()))?;
    Ok(Some(checkpoint))
}

fn anchor(
    note: &SignedNote,
    keys: &[VerifierKey],
    trusted: &[VerifierKey],
    checkpoint: &Checkpoint,
    newer: Option<&Checkpoint>,
) -> Result<Anchor, Failure> {
    let wrong = |cause: String| Failure::new(Part::Anchor, cause);
    let (anchor, signers) = Anchor::open(note, keys).map_err(|error| wrong(error.to_string()))?;
    pinned(&signers, trusted)?;
    if anchor.origin != checkpoint.origin() {
        return Err(wrong("the anchor is another log's".to_owned()));
    }
    let mut roots = [Some(checkpoint), newer].into_iter().flatten();
    if !roots.any(|c| anchor.is_of(c.size(), c.root())) {
        return Err(wrong(
            "the anchored root is of neither checkpoint in the bundle".to_owned(),
        ));
    }
    Ok(anchor)
}
