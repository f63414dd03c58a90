#![allow(clippy::unwrap_used)]
use super::*;
use crate::audit::envelope::{Envelope, ResultByte};
use crate::audit::note::LogKey;
use crate::secret::Secret;
use proptest::prelude::*;
use serde_json::json;

const ORIGIN: &str = "log.example/agentkeys";

fn key(seed: u8) -> LogKey {
    LogKey::from_seed(ORIGIN, &Secret::new([seed; 32])).unwrap()
}

/// A row of a store in memory.
#[derive(Debug, Clone)]
struct Stored {
    seq: i64,
    ts_ms: i64,
    event_id: String,
    envelope: Vec<u8>,
}

/// A store in memory: the columns that every row has alike are not kept.
#[derive(Debug, Clone)]
struct Store {
    rows: Vec<Stored>,
    tiles: BTreeMap<TileId, Vec<u8>>,
    checkpoints: Vec<StoredCheckpoint>,
    head: Head,
}

fn stored(seq: u64, reason: &str) -> Stored {
    let ts_ms = 1_765_000_000_000 + seq.cast_signed();
    let event_id = format!("evt_{seq}");
    let envelope = Envelope {
        ts_unix: (ts_ms / 1000).cast_unsigned(),
        actor_omni: [0; 32],
        operator_omni: [0; 32],
        op_kind: 110,
        op_body: json!({
            "event_id": event_id, "ts_ms": ts_ms, "tool": "t", "verdict": "deny", "reason": reason,
        }),
        result: ResultByte::NotPermitted,
        intent_text: None,
        intent_commitment: None,
    };
    Stored {
        seq: seq.cast_signed(),
        ts_ms,
        event_id,
        envelope: envelope.encode().unwrap(),
    }
}

impl Store {
    fn new(size: u64, signed: &[u64]) -> Self {
        let mut store = Self {
            rows: (0..size).map(|seq| stored(seq, "token_unknown")).collect(),
            tiles: BTreeMap::new(),
            checkpoints: Vec::new(),
            head: Head {
                size,
                integrated: signed.last().copied().unwrap_or(0),
                pruned: 0,
                swept: 0,
                origins: vec![Origin {
                    number: 1,
                    name: ORIGIN.to_owned(),
                }],
                keys: vec![key(1).verifier().clone()],
            },
        };
        store.rebuild();
        for &size in signed {
            store.sign(size, &key(1));
        }
        store
    }

    /// Makes the tiles again from the rows.
    fn rebuild(&mut self) {
        let integrated = usize::try_from(self.head.integrated).unwrap();
        let leaves = self.rows[..integrated].iter();
        let tiles = Frontier::new().append(leaves.map(|row| leaf_hash(&row.envelope)));
        self.tiles = tiles.iter().map(|t| (t.id(), t.to_bytes())).collect();
    }

    /// Signs a size, in the place of what was signed of it.
    fn sign(&mut self, size: u64, key: &LogKey) {
        let mut frontier = Frontier::new();
        for row in &self.rows[..usize::try_from(size).unwrap()] {
            frontier.push(leaf_hash(&row.envelope));
        }
        let checkpoint = Checkpoint::new(ORIGIN, size, frontier.root()).unwrap();
        let note = checkpoint.sign_after(None, &[], std::slice::from_ref(key));
        let size = size.cast_signed();
        self.checkpoints.retain(|c| c.size != size);
        self.checkpoints.push(StoredCheckpoint {
            origin: 1,
            size,
            note: note.unwrap().to_string(),
        });
        self.checkpoints.sort_by_key(|c| c.size);
    }

    fn note(&self, size: u64) -> SignedNote {
        let found = self.checkpoints.iter().find(|c| size_of(c) == size);
        SignedNote::parse(found.unwrap().note.as_bytes()).unwrap()
    }

    fn check(&self, since: Option<&SignedNote>, trusted: &[VerifierKey]) -> Verdict {
        let begun = Recheck::new(self.head.clone(), trusted.to_vec(), since);
        let mut check = match begun {
            Ok(check) => check,
            Err(failure) => return Verdict::failed(failure),
        };
        let mut stretch = Stretch::default();
        for first in (0..).step_by(256) {
            stretch.begin(first);
            let tiles = tiles_ending(first, self.head.integrated).into_iter();
            stretch.tiles = tiles.map(|id| (id, self.tiles.get(&id).cloned())).collect();
            let within = |n: i64| n < (first + 256).cast_signed() && n >= first.cast_signed();
            let rows = self.rows.iter().filter(|row| within(row.seq));
            rows.for_each(|row| stretch.push(&columns(row)));
            let signed = self.checkpoints.iter().filter(|c| within(c.size - 1));
            stretch.checkpoints = signed.cloned().collect();
            if !check.take(&stretch) || first > self.rows.len() as u64 + 256 {
                break;
            }
        }
        check.finish(&End::default())
    }
}

fn columns(row: &Stored) -> Row<'_> {
    Row {
        seq: row.seq,
        ts_ms: row.ts_ms,
        malformed: None,
        event_id: row.event_id.as_bytes(),
        actor_omni: None,
        vendor: None,
        rail: None,
        tool: b"t",
        verdict: b"deny",
        namespace: None,
        envelope: &row.envelope,
    }
}

fn bad(verdict: &Verdict) -> (What, Option<u64>) {
    let failure = verdict.outcome().as_ref().err();
    let failure = failure.map(|f| (f.what, f.first_bad));
    failure.unwrap_or_else(|| panic!("{}", verdict.sentence()))
}

#[test]
fn a_log_that_is_as_it_was_holds_at_every_size() {
    for size in [1, 2, 255, 256, 257, 511, 512, 513, 700] {
        for signed in [1, size / 2 + 1, size] {
            let store = Store::new(size, &[signed.min(size)]);
            let kept = store.note(signed.min(size));
            let verdict = store.check(Some(&kept), &[key(1).verifier().clone()]);
            assert!(
                verdict.verified(),
                "{size} {signed}: {}",
                verdict.sentence()
            );
            assert!(verdict.signer_pinned());
        }
    }
}

#[test]
fn the_sentence_says_what_holds_and_what_does_not() {
    let store = Store::new(10, &[4, 7]);
    let kept = store.note(4);
    let print = key(1).verifier().fingerprint();
    assert_eq!(
        store.check(Some(&kept), &[]).sentence(),
        format!(
            "under key {print}, which you have not pinned, it is proved that the first 7 entries of \
             the log {ORIGIN} are those that were signed, byte for byte and in this order, and the \
             columns the feed is searched by say what the entries say, and the log begins with the \
             4 entries of the kept checkpoint of {ORIGIN}, unchanged, and no later entry claims to be \
             from more than 60 seconds before those; it is not proved whose key this is, nor that the \
             last 3 entries stay as they are, which no checkpoint covers yet, nor that the host wrote \
             the truth, or the right time: times are its own, nor that others were shown the same log, \
             as no chain was asked"
        )
    );
    let verdict = store.check(None, &[]);
    assert!(
        verdict
            .not_proved()
            .concat()
            .contains("no kept checkpoint was given")
    );
    let mut store = store;
    store.rows[2] = stored(2, "another");
    let said = store.check(Some(&kept), &[]).to_json();
    assert_eq!(said["first_bad"], 2);
    assert_eq!(
        said["sentence"],
        "not proved: entry seq 2 is not the one that was signed"
    );
}

#[test]
fn entries_that_are_a_minute_late_are_not_back_dated_and_older_ones_are() {
    let late = |ms: i64| {
        let mut store = Store::new(300, &[290, 300]);
        let kept = store.note(290);
        let mut row = stored(295, "late");
        let ts_ms = 1_765_000_000_000 + 289 - ms;
        let mut envelope = Envelope::decode(&row.envelope).unwrap();
        envelope.op_body["ts_ms"] = json!(ts_ms);
        envelope.ts_unix = (ts_ms / 1000).cast_unsigned();
        (row.ts_ms, row.envelope) = (ts_ms, envelope.encode().unwrap());
        store.rows[295] = row;
        store.rebuild();
        store.sign(300, &key(1));
        store.check(Some(&kept), &[])
    };
    assert!(late(BACK_DATED_MS).verified());
    assert_eq!(bad(&late(BACK_DATED_MS + 1)), (What::BackDated, Some(295)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_change_is_found_at_its_place(
        size in 2_u64..600, sizes in prop::collection::btree_set(1_u64..600, 1..5),
        at in any::<prop::sample::Index>(), how in 0..6_u8,
    ) {
        let mut signed: Vec<u64> = sizes.into_iter().filter(|s| *s <= size).collect();
        if signed.is_empty() {
            signed.push(size);
        }
        let last = *signed.last().unwrap();
        let mut store = Store::new(size, &signed);
        let kept = store.note(last);
        let at = at.index(usize::try_from(last).unwrap());
        let place = at as u64;
        let below = signed.iter().copied().filter(|s| *s <= place).max().unwrap_or(0);
        let expected = match how {
            0 => {
                let bytes = &mut store.rows[at].envelope;
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                (What::Entry, place)
            }
            1 => {
                store.rows.remove(at);
                // Nothing comes after the last one, so the log only ends there.
                let last_one = place + 1 == size;
                (if last_one { What::Truncated } else { What::Missing }, place)
            }
            2 => {
                store.rows[at].ts_ms += 1;
                (What::Column, place)
            }
            3 => {
                let id = TileId { level: 0, index: place / 256 };
                store.tiles.get_mut(&id).unwrap()[at % 256 * 32] ^= 1;
                (What::Tile, place)
            }
            4 => {
                store.rows[at] = stored(place, "another");
                store.rebuild();
                // Everything that covers it, by a key that the reader does not know.
                store.head.keys.push(key(2).verifier().clone());
                for size in signed.iter().filter(|s| **s > place) {
                    store.sign(*size, &key(2));
                }
                (What::Contradiction, below)
            }
            _ => {
                let less = place;
                store.rows.truncate(at);
                (store.head.size, store.head.integrated) = (less, less);
                store.checkpoints.retain(|c| size_of(c) <= less);
                store.rebuild();
                (What::Truncated, less)
            }
        };
        let found = bad(&store.check(Some(&kept), &[]));
        prop_assert_eq!(found, (expected.0, Some(expected.1)));
    }
}
