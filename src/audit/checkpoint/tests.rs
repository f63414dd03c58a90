#![allow(clippy::unwrap_used)]

use super::super::tree::{Frontier, Tile, TileId, Tree, leaf_hash};
use super::*;
use crate::secret::Secret;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tlog_tiles as other;

const ORIGIN: &str = "log.example/agentkeys";

/// The example of C2SP tlog-checkpoint.
const C2SP: &str = "example.com/behind-the-sofa\n\
    20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
    \n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

fn key(name: &str, seed: u8) -> LogKey {
    LogKey::from_seed(name, &Secret::new([seed; 32])).unwrap()
}

fn keys() -> [LogKey; 1] {
    [key(ORIGIN, 1)]
}

/// A log that only tests have: `fork` changes what is written from there on.
struct Log(BTreeMap<TileId, Tile>);

impl Log {
    fn new(size: u64, fork: u64) -> Self {
        let leaf =
            |n: u64| leaf_hash(&[n.to_be_bytes(), u64::from(n >= fork).to_be_bytes()].concat());
        let tiles = Frontier::new().append((0..size).map(leaf));
        Self(tiles.into_iter().map(|tile| (tile.id(), tile)).collect())
    }

    fn at(&self, size: u64) -> Checkpoint {
        let root = Tree::new(size, &self.0).unwrap().root().unwrap();
        Checkpoint::new(ORIGIN, size, root).unwrap()
    }

    fn proof(&self, old: u64, size: u64) -> Vec<Hash> {
        Tree::new(size, &self.0).unwrap().consistency(old).unwrap()
    }
}

#[test]
fn the_text_is_the_standards() {
    let note = SignedNote::parse(C2SP.as_bytes()).unwrap();
    let checkpoint = Checkpoint::from_text(note.text()).unwrap();
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size(), 20_852_163);
    let root = "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62";
    assert_eq!(hex::encode(checkpoint.root()), root);
    assert_eq!(checkpoint.text(), note.text());
    assert_eq!(note.to_string(), C2SP);
    // Whose key it is nobody here knows.
    let nobody = CheckpointError::Note(NoteError::NotSigned);
    assert_eq!(Checkpoint::open(&note, &[]), Err(nobody));
}

#[test]
fn only_the_one_form_of_a_checkpoint_is_read() {
    let root = STANDARD.encode([7; 32]);
    let read = |text: String| Checkpoint::from_text(&text).unwrap_err();
    for (text, why) in [
        (format!("{ORIGIN}\n5\n{root}"), CheckpointError::Lines),
        (format!("{ORIGIN}\n5\n"), CheckpointError::Lines),
        (
            format!("{ORIGIN}\n5\n{root}\nextension\n"),
            CheckpointError::Lines,
        ),
        (format!("{ORIGIN}\n5\n{root}\n\n"), CheckpointError::Lines),
        (format!("\n5\n{root}\n"), CheckpointError::Origin),
        (format!("a b\n5\n{root}\n"), CheckpointError::Origin),
        (format!("a+b\n5\n{root}\n"), CheckpointError::Origin),
        (format!("lög\n5\n{root}\n"), CheckpointError::Origin),
        (
            format!("{}\n5\n{root}\n", "a".repeat(256)),
            CheckpointError::Origin,
        ),
        (format!("{ORIGIN}\n05\n{root}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n+5\n{root}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n-5\n{root}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n 5\n{root}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n\n{root}\n"), CheckpointError::Size),
        (format!("{ORIGIN}\n٥\n{root}\n"), CheckpointError::Size),
        (
            format!("{ORIGIN}\n9223372036854775808\n{root}\n"),
            CheckpointError::Size,
        ),
        (
            format!("{ORIGIN}\n99999999999999999999\n{root}\n"),
            CheckpointError::Size,
        ),
        (format!("{ORIGIN}\n0\n{root}\n"), CheckpointError::Root),
        (
            format!("{ORIGIN}\n5\n{}\n", STANDARD.encode(EMPTY_ROOT)),
            CheckpointError::Root,
        ),
        (
            format!("{ORIGIN}\n5\n{}\n", STANDARD.encode([7; 31])),
            CheckpointError::Root,
        ),
        (
            format!("{ORIGIN}\n5\n{}\n", root.trim_end_matches('=')),
            CheckpointError::Root,
        ),
        (
            format!("{ORIGIN}\n5\n{}\n", root.replace("c=", "d=")),
            CheckpointError::Root,
        ),
    ] {
        assert_eq!(read(text.clone()), why, "{text:.60}");
    }
    for (size, root) in [(0, EMPTY_ROOT), (1, [7; 32]), (MAX_SIZE, [7; 32])] {
        let checkpoint = Checkpoint::new(ORIGIN, size, root).unwrap();
        assert_eq!(Checkpoint::from_text(&checkpoint.text()), Ok(checkpoint));
    }
}

#[test]
fn a_log_that_grows_is_signed_again_and_again() {
    let log = Log::new(700, u64::MAX);
    let known = [key(ORIGIN, 1).verifier().clone()];
    let mut last: Option<Checkpoint> = None;
    for size in [0, 0, 1, 1, 2, 255, 256, 257, 600, 700] {
        let next = log.at(size);
        let proof = last
            .as_ref()
            .map_or(vec![], |last| log.proof(last.size(), size));
        let note = next.sign_after(last.as_ref(), &proof, &keys()).unwrap();
        let (read, signers) = Checkpoint::open(&note, &known).unwrap();
        assert_eq!((&read, signers), (&next, vec![&known[0]]));
        last = Some(read);
    }
}

#[test]
fn what_does_not_continue_the_last_one_is_never_signed() {
    let (log, forked) = (Log::new(600, u64::MAX), Log::new(600, 200));
    let refused = |last: &Checkpoint, next: &Checkpoint, proof: &[Hash]| {
        next.sign_after(Some(last), proof, &keys()).unwrap_err()
    };
    // A fork: another entry 200, with the best proof each tree can give.
    for proof in [log.proof(300, 600), forked.proof(300, 600)] {
        let said = refused(&log.at(300), &forked.at(600), &proof);
        assert!(matches!(said, SignError::Inconsistent(_)), "{said:?}");
    }
    // The same size, another tree.
    let said = refused(&log.at(600), &forked.at(600), &[]);
    assert_eq!(said, SignError::Inconsistent(ProofError::OldRoot));
    // A tail was removed.
    let smaller = SignError::Smaller {
        last: 600,
        size: 300,
    };
    assert_eq!(refused(&log.at(600), &log.at(300), &[]), smaller);
    assert_eq!(
        refused(&log.at(600), &log.at(300), &log.proof(300, 600)),
        smaller
    );
    // No proof, another size's proof, one with more in it.
    let (last, next) = (log.at(300), log.at(600));
    let good = log.proof(300, 600);
    for proof in [
        vec![],
        log.proof(299, 600),
        log.proof(300, 599),
        [&good[..], &good[..1]].concat(),
    ] {
        let said = refused(&last, &next, &proof);
        assert!(matches!(said, SignError::Inconsistent(_)), "{said:?}");
    }
    // Before the fork both are the same log.
    let proof = forked.proof(200, 600);
    assert!(
        forked
            .at(600)
            .sign_after(Some(&log.at(200)), &proof, &keys())
            .is_ok()
    );
    // Another log's last word, and nobody's key.
    let stranger = Checkpoint::new("other.example", 300, *last.root()).unwrap();
    assert_eq!(
        refused(&stranger, &next, &good),
        SignError::OtherLog("other.example".to_owned())
    );
    let said = next.sign_after(Some(&last), &good, &[key("other.example", 1)]);
    assert_eq!(said, Err(SignError::KeyName("other.example".to_owned())));
    let said = next.sign_after(Some(&last), &good, &[]);
    assert_eq!(said, Err(SignError::Key(KeyError::Count)));
}

#[test]
fn a_new_key_signs_the_same_tree_beside_the_old_one() {
    let log = Log::new(10, u64::MAX);
    let (old, new) = (key(ORIGIN, 1), key(ORIGIN, 2));
    let known = [old.verifier().clone(), new.verifier().clone()];
    let note = log
        .at(10)
        .sign_after(Some(&log.at(10)), &[], &[old, new])
        .unwrap();
    for known in [&known[..1], &known[1..]] {
        let (checkpoint, signers) = Checkpoint::open(&note, known).unwrap();
        assert_eq!((checkpoint, signers.len()), (log.at(10), 1));
    }
}

#[test]
fn one_logs_key_cannot_speak_for_another() {
    let checkpoint = Log::new(10, u64::MAX).at(10);
    let stranger = key("other.example", 9);
    let known = [stranger.verifier().clone()];
    let note = SignedNote::sign(checkpoint.text(), &[stranger]).unwrap();
    assert_eq!(
        Checkpoint::open(&note, &known),
        Err(CheckpointError::KeyName)
    );
}

proptest! {
    #[test]
    fn another_implementation_reads_and_writes_the_same(
        origin in "[!-*,-~]{1,40}", size in 1..MAX_SIZE, root: [u8; 32],
    ) {
        let checkpoint = Checkpoint::new(&origin, size, root).unwrap();
        let text = checkpoint.text();
        let theirs = other::Checkpoint::from_bytes(text.as_bytes()).unwrap();
        prop_assert_eq!((theirs.origin(), theirs.size()), (origin.as_str(), size));
        prop_assert_eq!(theirs.hash(), &other::Hash(root));
        prop_assert_eq!(theirs.to_bytes(), text.as_bytes());
        prop_assert_eq!(Checkpoint::from_text(&text), Ok(checkpoint));
    }

    #[test]
    fn only_a_continuation_is_signed(old in 1..300_u64, more in 0..300_u64, fork in 0..600_u64) {
        let size = old + more;
        let (log, other) = (Log::new(old, u64::MAX), Log::new(size, fork));
        let proof = other.proof(old, size);
        let said = other.at(size).sign_after(Some(&log.at(old)), &proof, &keys());
        prop_assert_eq!(said.is_ok(), fork >= old);
    }
}
