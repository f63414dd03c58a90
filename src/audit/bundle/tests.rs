#![allow(clippy::unwrap_used)]

mod form;
mod tamper;
mod words;

use super::*;
use crate::audit::anchor::Anchor;
use crate::audit::anchor_call::AnchoredRoot;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::envelope::{Envelope, ResultByte};
use crate::audit::note::LogKey;
use crate::audit::tree::{Frontier, Tile, TileId, Tree, leaf_hash};
use crate::digest::sha256;
use crate::secret::Secret;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

const ORIGIN: &str = "log.example/agentkeys";

/// A bundle with all its parts, as `docs/audit.md` shows it and `tests/sdk/verify_bundle.py` reads it.
const GOLDEN: &str = include_str!("../../../fixtures/audit/golden.bundle");

fn key(name: &str, seed: u8) -> LogKey {
    LogKey::from_seed(name, &Secret::new([seed; 32])).unwrap()
}

fn verifier(seed: u8) -> VerifierKey {
    key(ORIGIN, seed).verifier().clone()
}

fn envelope(n: u64) -> Vec<u8> {
    Envelope {
        ts_unix: 1_700_000_000 + n,
        actor_omni: [0xa0; 32],
        operator_omni: [0x07; 32],
        op_kind: 100,
        op_body: json!({"event_id": format!("evt_{n:04}"), "scope": "payment.spend"}),
        result: ResultByte::NotPermitted,
        intent_text: None,
        intent_commitment: None,
    }
    .encode()
    .unwrap()
}

/// A log, and everything about a bundle that a test may want otherwise.
struct Maker {
    origin: &'static str,
    keys: Vec<LogKey>,
    tiles: BTreeMap<TileId, Tile>,
}

impl Maker {
    fn new(size: u64, seeds: &[u8]) -> Self {
        Self::named(ORIGIN, size, seeds)
    }

    fn named(origin: &'static str, size: u64, seeds: &[u8]) -> Self {
        let leaves = (0..size).map(|n| leaf_hash(&envelope(n)));
        let tiles = Frontier::new().append(leaves).into_iter();
        Self {
            origin,
            keys: seeds.iter().map(|&seed| key(origin, seed)).collect(),
            tiles: tiles.map(|tile| (tile.id(), tile)).collect(),
        }
    }

    fn tree(&self, size: u64) -> Tree<'_, BTreeMap<TileId, Tile>> {
        Tree::new(size, &self.tiles).unwrap()
    }

    fn checkpoint(&self, size: u64) -> SignedNote {
        let root = self.tree(size).root().unwrap();
        let checkpoint = Checkpoint::new(self.origin, size, root).unwrap();
        checkpoint.sign_after(None, &[], &self.keys).unwrap()
    }

    fn anchor(&self, size: u64) -> Anchor {
        Anchor {
            origin: self.origin.to_owned(),
            chain_id: 31337,
            contract: [0xc0; 20],
            transaction: [0x7a; 32],
            block: 12,
            anchored: AnchoredRoot {
                operator_omni: [0x07; 32],
                root: self.tree(size).root().unwrap(),
                kinds: [10, 11, 100].into_iter().collect(),
                entry_count: size,
            },
        }
    }

    fn plain(&self, seq: u64, size: u64) -> Bundle {
        Bundle {
            seq,
            envelope: envelope(seq),
            inclusion: self.tree(size).inclusion(seq).unwrap(),
            checkpoint: self.checkpoint(size),
            newer: None,
            anchor: None,
            keys: self.keys.iter().map(|key| key.verifier().clone()).collect(),
        }
    }

    /// With a newer checkpoint and an anchor of the first one.
    fn full(&self, seq: u64, size: u64, later: u64) -> Bundle {
        Bundle {
            newer: Some(Newer {
                checkpoint: self.checkpoint(later),
                consistency: self.tree(later).consistency(size).unwrap(),
            }),
            anchor: Some(self.anchor(size).sign(&self.keys).unwrap()),
            ..self.plain(seq, size)
        }
    }
}

fn golden() -> Bundle {
    Maker::new(12, &[1]).full(5, 7, 12)
}

fn check(bundle: &Bundle, trusted: &[VerifierKey]) -> Verdict {
    verify(bundle.encode().as_bytes(), trusted)
}

#[track_caller]
fn fails(bundle: &Bundle, part: Part) {
    let verdict = check(bundle, &[]);
    assert_eq!(verdict.outcome().as_ref().map_err(|f| f.part), Err(part));
    assert!(!verdict.verified() && verdict.proved().is_empty());
}

/// Text with its last line made right again, as a forger would.
fn resealed(before: &str) -> String {
    format!(
        "{before}sha256 {}\n",
        hex::encode(sha256(&[before.as_bytes()]))
    )
}

/// A bundle's text without its last line.
fn unsealed(text: &str) -> &str {
    &text[..text.rfind("sha256 ").unwrap()]
}

#[test]
fn the_golden_bundle_is_what_the_page_shows() {
    assert_eq!(golden().encode(), GOLDEN);
    assert_eq!(Bundle::decode(GOLDEN.as_bytes()), Ok(golden()));
    assert!(verify(GOLDEN.as_bytes(), &[verifier(1)]).verified());
    let page = include_str!("../../../docs/audit.md");
    assert!(page.contains(GOLDEN), "docs/audit.md shows another bundle");
    assert!(page.contains(&verifier(1).to_string()));
}

#[test]
fn every_shape_of_bundle_is_read_back_and_verified() {
    let maker = Maker::new(300, &[1]);
    for bundle in [
        maker.plain(0, 1),
        maker.plain(299, 300),
        maker.full(255, 256, 300),
        Bundle {
            anchor: None,
            ..maker.full(3, 4, 300)
        },
        Bundle {
            newer: None,
            ..maker.full(3, 4, 300)
        },
    ] {
        assert_eq!(
            Bundle::decode(bundle.encode().as_bytes()),
            Ok(bundle.clone())
        );
        assert!(check(&bundle, &[]).verified());
        assert!(check(&bundle, &[verifier(9), verifier(1)]).verified());
    }
    // The anchor may be of the newer root too.
    let anchor = maker.anchor(300).sign(&maker.keys).unwrap();
    let bundle = Bundle {
        anchor: Some(anchor),
        ..maker.full(3, 4, 300)
    };
    assert!(check(&bundle, &[]).verified());
}

#[test]
fn a_pinned_key_must_sign_every_note() {
    let verdict = check(&golden(), &[verifier(1)]);
    assert!(verdict.verified() && verdict.signer_pinned());
    let verdict = check(&golden(), &[]);
    assert!(verdict.verified() && !verdict.signer_pinned());
    // The same key under another log's name is another key.
    let renamed = VerifierKey::new("other.example", *verifier(1).public_key()).unwrap();
    for trusted in [verifier(2), renamed] {
        let verdict = check(&golden(), &[trusted]);
        assert!(!verdict.verified() && !verdict.signer_pinned());
        let failure = verdict.outcome().clone().unwrap_err();
        assert_eq!(failure.part, Part::Key);
        assert!(
            failure.cause.contains(&verifier(1).fingerprint()),
            "{failure}"
        );
    }
    // The log is right, only its later words are another's.
    let (ours, theirs) = (Maker::new(12, &[1]), Maker::new(12, &[2]));
    let both = vec![verifier(1), verifier(2)];
    let good = golden();
    let mut newer = good.newer.clone().unwrap();
    newer.checkpoint = theirs.checkpoint(12);
    let anchor = theirs.anchor(7).sign(&theirs.keys).unwrap();
    for bundle in [
        Bundle {
            newer: Some(newer),
            keys: both.clone(),
            ..good.clone()
        },
        Bundle {
            anchor: Some(anchor),
            keys: both.clone(),
            ..good.clone()
        },
        Bundle {
            checkpoint: theirs.checkpoint(7),
            keys: both.clone(),
            ..good
        },
    ] {
        assert!(check(&bundle, &[]).verified());
        assert!(check(&bundle, &both).verified());
        assert!(!check(&bundle, &[ours.keys[0].verifier().clone()]).verified());
    }
}

#[test]
fn a_bundle_forged_as_a_whole_with_a_new_key_is_not_trusted() {
    let real = golden();
    let mut forged = Maker::new(12, &[66]).full(5, 7, 12);
    forged.envelope = envelope(4242);
    let mut log = Maker::new(12, &[66]);
    let leaves = (0..12).map(|n| leaf_hash(&envelope(if n == 5 { 4242 } else { n })));
    log.tiles = Frontier::new()
        .append(leaves)
        .into_iter()
        .map(|t| (t.id(), t))
        .collect();
    let forged = Bundle {
        envelope: forged.envelope,
        ..log.full(5, 7, 12)
    };
    let verdict = check(&forged, &[]);
    assert!(
        verdict.verified(),
        "a whole forgery is consistent in itself"
    );
    let wanted = format!(
        "under key {}, which you have not pinned",
        verifier(66).fingerprint()
    );
    assert!(
        verdict.sentence().starts_with(&wanted),
        "{}",
        verdict.sentence()
    );
    let verdict = check(&forged, &[verifier(1)]);
    assert!(!verdict.verified() && !verdict.signer_pinned());
    // Naming the trusted key beside does not help, with or without its signature from elsewhere.
    let named = Bundle {
        keys: vec![verifier(1), verifier(66)],
        ..forged.clone()
    };
    assert!(!check(&named, &[verifier(1)]).verified());
    let borrowed = format!(
        "{}{}",
        forged.checkpoint,
        real.checkpoint.to_string().rsplit_once("\n\n").unwrap().1
    );
    let checkpoint = SignedNote::parse(borrowed.as_bytes()).unwrap();
    assert!(
        !check(
            &Bundle {
                checkpoint,
                ..named
            },
            &[verifier(1)]
        )
        .verified()
    );
}

#[test]
fn during_rotation_either_key_will_do() {
    let bundle = Maker::new(12, &[1, 2]).full(5, 7, 12);
    for seed in [1, 2] {
        let verdict = check(&bundle, &[verifier(seed)]);
        assert!(verdict.verified() && verdict.signer_pinned());
        assert!(verdict.sentence().contains(&verifier(seed).fingerprint()));
    }
    assert!(!check(&bundle, &[verifier(3)]).verified());
}

#[test]
fn each_part_is_tied_to_the_rest() {
    let maker = Maker::new(300, &[1]);
    let good = maker.full(5, 7, 12);
    let with = |edit: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        edit(&mut bundle);
        bundle
    };
    fails(&with(&|b| b.seq = 4), Part::Inclusion);
    fails(&with(&|b| b.seq = 7), Part::Inclusion);
    fails(&with(&|b| b.envelope = envelope(6)), Part::Inclusion);
    fails(&with(&|b| b.inclusion.swap(0, 1)), Part::Inclusion);
    fails(&with(&|b| b.inclusion.clear()), Part::Inclusion);
    fails(
        &with(&|b| b.checkpoint = maker.checkpoint(8)),
        Part::Inclusion,
    );
    let newer = |edit: &dyn Fn(&mut Newer)| with(&|b| edit(b.newer.as_mut().unwrap()));
    fails(&newer(&|n| n.consistency.clear()), Part::Newer);
    fails(&newer(&|n| n.consistency.reverse()), Part::Newer);
    fails(
        &newer(&|n| n.checkpoint = maker.checkpoint(13)),
        Part::Newer,
    );
    for not_newer in [7, 5] {
        let checkpoint = maker.checkpoint(not_newer);
        let consistency = Vec::new();
        let newer = Newer {
            checkpoint,
            consistency,
        };
        fails(&with(&|b| b.newer = Some(newer.clone())), Part::Newer);
    }
    // Other logs with keys of their own.
    let other = Maker::named("other.example", 300, &[1]);
    let keys = vec![good.keys[0].clone(), other.keys[0].verifier().clone()];
    let theirs = Newer {
        checkpoint: other.checkpoint(12),
        ..good.newer.clone().unwrap()
    };
    let mixed = Bundle {
        newer: Some(theirs),
        keys: keys.clone(),
        ..good.clone()
    };
    fails(&mixed, Part::Newer);
    let anchor = Some(other.anchor(7).sign(&other.keys).unwrap());
    fails(
        &Bundle {
            anchor,
            keys,
            ..good.clone()
        },
        Part::Anchor,
    );
    let anchored = |size| Some(maker.anchor(size).sign(&maker.keys).unwrap());
    fails(&with(&|b| b.anchor = anchored(8)), Part::Anchor);
    let mut wrong = maker.anchor(7);
    wrong.anchored.entry_count = 12;
    let wrong = wrong.sign(&maker.keys).unwrap();
    fails(&with(&|b| b.anchor = Some(wrong.clone())), Part::Anchor);
    // A checkpoint where the anchor should be, and the other way round.
    fails(
        &with(&|b| b.anchor = Some(b.checkpoint.clone())),
        Part::Anchor,
    );
    fails(
        &with(&|b| b.checkpoint = b.anchor.clone().unwrap()),
        Part::Checkpoint,
    );
    fails(
        &newer(&|n| n.checkpoint = maker.anchor(12).sign(&maker.keys).unwrap()),
        Part::Newer,
    );
}

#[test]
fn nothing_in_a_bundle_goes_unchecked() {
    let good = golden();
    // A key that signs nothing, no key, the same key twice.
    fails(
        &Bundle {
            keys: vec![verifier(1), verifier(2)],
            ..good.clone()
        },
        Part::Key,
    );
    fails(
        &Bundle {
            keys: vec![],
            ..good.clone()
        },
        Part::Key,
    );
    fails(
        &Bundle {
            keys: vec![verifier(2)],
            ..good.clone()
        },
        Part::Key,
    );
    fails(
        &Bundle {
            keys: vec![verifier(1), verifier(1)],
            ..good.clone()
        },
        Part::Key,
    );
    // A signature of a stranger.
    let stranger = Maker::new(12, &[1, 2]);
    fails(
        &Bundle {
            checkpoint: stranger.checkpoint(7),
            ..good.clone()
        },
        Part::Key,
    );
    let anchor = Some(stranger.anchor(7).sign(&stranger.keys).unwrap());
    fails(&Bundle { anchor, ..good }, Part::Key);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_event_of_any_log_is_proved_and_no_other(
        size in 1..400_u64, seq: prop::sample::Index, more in 1..300_u64, other in 0..400_u64,
    ) {
        let maker = Maker::new(size + more, &[1]);
        let seq = seq.index(usize::try_from(size).unwrap()) as u64;
        let bundle = maker.full(seq, size, size + more);
        prop_assert_eq!(Bundle::decode(bundle.encode().as_bytes()), Ok(bundle.clone()));
        prop_assert!(check(&bundle, &[verifier(1)]).verified());
        if other != seq {
            let swapped = Bundle { envelope: envelope(other), ..bundle.clone() };
            prop_assert!(!check(&swapped, &[verifier(1)]).verified());
            let moved = Bundle { seq: other, ..bundle };
            prop_assert!(!check(&moved, &[verifier(1)]).verified());
        }
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}", line in "(seq|envelope|checkpoint|key) \\PC{0,20}\n") {
        let _ = verify(text.as_bytes(), &[]);
        let _ = verify(resealed(&format!("agentkeys audit bundle v1\n{line}{text}\n")).as_bytes(), &[]);
    }
}
