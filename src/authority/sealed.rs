//! What the sealed log proves, for whoever may read it: its keys, its newest checkpoint, and proofs
//! computed from the tree as it is stored. Nothing here is believed by who checks it: a proof that
//! was made from damaged tiles does not verify.

use super::calls::InputProblem;
use super::calls::audit::Reading;
use super::ports::{
    EventFilter, KeptAnchor, KeptCheckpoint, LogState, WhichAnchor, WhichCheckpoint,
};
use super::refusal::{Cause, Refusal};
use super::{Authority, unavailable};
use crate::audit::anchor::Anchor;
use crate::audit::anchor::AnchorKind;
use crate::audit::bundle::{Bundle, Newer};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::{SignedNote, VerifierKey};
use crate::audit::tree::{Hash, Tree, TreeError, Wanted, leaf_hash};
use crate::authority::event::rfc3339;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// A checkpoint as it was signed.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The same with its signatures.
    pub note: SignedNote,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

impl Signed {
    /// As `agentkeys audit checkpoint --json` and `/v1/audit/checkpoint` give it, with one of the
    /// keys that sign it.
    pub fn to_json(&self, key: Option<&VerifierKey>) -> Value {
        json!({
            "size": self.checkpoint.size(),
            "root": STANDARD.encode(self.checkpoint.root()),
            "origin": self.checkpoint.origin(),
            "key": key.map(ToString::to_string),
            "signed_at": rfc3339(self.at_ms),
            "note": self.note.to_string(),
        })
    }
}

/// Adds to a checkpoint's answer where checkpoints go besides, and the newest root that is on a chain:
/// none where they do not go to one. A checkpoint is made every so many seconds, when there is
/// anything new.
pub fn tell_anchor(
    answer: &mut Value,
    kind: AnchorKind,
    every_seconds: u32,
    newest: Option<&KeptAnchor>,
) {
    answer["every_seconds"] = every_seconds.into();
    answer["anchor"] = kind.as_str().into();
    let newest = newest.filter(|_| kind == AnchorKind::Evm);
    answer["anchored"] = newest.map_or(Value::Null, |kept| {
        json!({
            "chain_id": kept.anchor.chain_id,
            "transaction": format!("0x{}", hex::encode(kept.anchor.transaction)),
            "block": kept.anchor.block, "size": kept.anchor.anchored.entry_count,
        })
    });
}

/// The event at a place and no other.
fn alone(seq: u64) -> EventFilter {
    EventFilter {
        from_seq: Some(seq),
        until_seq: seq.checked_add(1),
        limit: 1,
        ..Default::default()
    }
}

/// Why something cannot be proved yet, or at all.
#[derive(Debug)]
pub enum NotProved {
    /// The ledger did not answer, or the caller may not ask.
    Refused(Refusal),
    /// No checkpoint covers it yet.
    NotSealed,
    /// The log has no such event, or no checkpoint of this size, within the caller's reach.
    NotThere,
}

impl From<Refusal> for NotProved {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl NotProved {
    /// As the caller is answered.
    pub fn into_problem(self) -> Result<InputProblem, Refusal> {
        match self {
            Self::Refused(refusal) => Err(refusal),
            Self::NotSealed => Ok(InputProblem::new(
                "agentkeys.audit.not_sealed",
                "no checkpoint covers this event yet; wait for the next, or run `agentkeys audit checkpoint`",
            )),
            Self::NotThere => Ok(InputProblem::new(
                "agentkeys.audit.event_not_found",
                "the log has no such event, or no longer its body, or no checkpoint of this size; `agentkeys audit list` and `agentkeys audit checkpoint` show what there is",
            )),
        }
    }
}

impl Authority {
    /// The keys of the log, for anyone to pin.
    pub async fn log_key(&self) -> Result<Value, Refusal> {
        let state = self.log().log_state().await.map_err(unavailable)?;
        let keys = self.published().await?;
        let keys = keys.iter().map(|(key, signs, created_ms)| {
            let signs = *signs && key.name() == state.origin.name;
            json!({
                "key": key.to_string(), "fingerprint": key.fingerprint(),
                "state": if signs { "signs" } else { "retired" },
                "created_at": rfc3339(*created_ms),
            })
        });
        let keys: Vec<Value> = keys.collect();
        Ok(json!({"origin": state.origin.name, "keys": keys}))
    }

    /// The newest checkpoint of the log.
    pub async fn last_checkpoint(&self) -> Result<Option<Signed>, Refusal> {
        let state = self.log().log_state().await.map_err(unavailable)?;
        self.signed(&state, WhichCheckpoint::Last).await
    }

    /// When the newest checkpoint of a log in this state was signed, Unix milliseconds.
    pub async fn signed_at(&self, state: &LogState) -> Result<Option<i64>, Refusal> {
        let newest = self
            .log()
            .checkpoint(state.origin.number, WhichCheckpoint::Last)
            .await;
        Ok(newest.map_err(unavailable)?.map(|kept| kept.at_ms))
    }

    /// The newest root of the log that is on a chain, under the name it has now.
    pub async fn last_anchor(&self) -> Result<Option<KeptAnchor>, Refusal> {
        let state = self.log().log_state().await.map_err(unavailable)?;
        let newest = self
            .log()
            .anchor(state.origin.number, WhichAnchor::Newest)
            .await;
        Ok(match newest.map_err(unavailable)? {
            Some(newest) if self.is_signed(&newest).await? => Some(newest),
            _ => None,
        })
    }

    /// The newest roots that are on a chain, at most so many.
    pub async fn anchors(&self, most: u32) -> Result<Vec<KeptAnchor>, Refusal> {
        let mut signed = Vec::new();
        for anchor in self.log().anchors(most).await.map_err(unavailable)? {
            if self.is_signed(&anchor).await? {
                signed.push(anchor);
            }
        }
        Ok(signed)
    }

    /// Whether the log's own key says that a root is where a row of the ledger says it is: a row alone
    /// could be anybody's.
    async fn is_signed(&self, kept: &KeptAnchor) -> Result<bool, Refusal> {
        let known = self.known().await?;
        let note = SignedNote::parse(kept.note.as_bytes()).ok();
        let anchor = note
            .as_ref()
            .and_then(|note| Anchor::open(note, &known).ok());
        let signed = anchor.is_some_and(|(anchor, _)| anchor == kept.anchor);
        if !signed {
            let size = kept.anchor.anchored.entry_count;
            tracing::error!(
                size,
                "an anchor in the ledger is not one that this log signed"
            );
        }
        Ok(signed)
    }

    /// The key that signs a checkpoint: the newest of those that do.
    pub async fn signer(&self, note: &SignedNote) -> Result<Option<VerifierKey>, Refusal> {
        Ok(self.signers(note).await?.pop())
    }

    /// The inclusion proof of an entry in the tree of a checkpoint: the newest, or that of `size`.
    pub async fn inclusion(&self, seq: u64, size: Option<u64>) -> Result<Value, NotProved> {
        let state = self.log().log_state().await.map_err(unavailable)?;
        let signed = self.signed_of(&state, size).await?;
        let size = signed.checkpoint.size();
        if seq >= size {
            return Err(NotProved::NotSealed);
        }
        let (leaf, proof) = self.path(seq, size).await?;
        Ok(json!({
            "seq": seq, "size": size, "leaf_hash": STANDARD.encode(leaf),
            "root": STANDARD.encode(signed.checkpoint.root()),
            "proof": base64(&proof), "note": signed.note.to_string(),
        }))
    }

    /// The consistency proof between two trees; to that of the newest checkpoint when `to` is none.
    pub async fn consistency(&self, from: u64, to: Option<u64>) -> Result<Value, NotProved> {
        let state = self.log().log_state().await.map_err(unavailable)?;
        let to = self.signed_of(&state, to).await?;
        let size = to.checkpoint.size();
        if from > size {
            return Err(NotProved::NotThere);
        }
        let proof = self.growth(from, size).await?;
        Ok(json!({
            "from": from, "to": size, "root": STANDARD.encode(to.checkpoint.root()),
            "proof": base64(&proof), "note": to.note.to_string(),
        }))
    }

    /// The place of an event in the log, if a reader may see it.
    pub async fn place_of(&self, reading: &Reading, event_id: &str) -> Result<u64, NotProved> {
        let event = self.ledger().event(reading.reach(), event_id).await;
        let event = event.map_err(unavailable)?;
        event.map(|e| e.seq).ok_or(NotProved::NotThere)
    }

    /// The bytes of an event, if a reader may see it and it was not pruned.
    pub async fn envelope(
        &self,
        reading: &Reading,
        event_id: &str,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let event = self.ledger().event(reading.reach(), event_id).await;
        Ok(event.map_err(unavailable)?.map(|event| event.envelope))
    }

    /// Whether a reader may see the event at a place: one who sees all may see each.
    pub async fn may_see(&self, reading: &Reading, seq: u64) -> Result<bool, Refusal> {
        if reading.sees_all() {
            return Ok(true);
        }
        let found = self.ledger().events(reading.reach(), &alone(seq)).await;
        Ok(!found.map_err(unavailable)?.is_empty())
    }

    /// The bytes of the event at a place, for a reader who sees all of the log; none of one that was
    /// pruned.
    pub async fn bytes_at(&self, reading: &Reading, seq: u64) -> Result<Option<Vec<u8>>, Refusal> {
        if !reading.sees_all() {
            return Ok(None);
        }
        let found = self.ledger().events(reading.reach(), &alone(seq)).await;
        Ok(found
            .map_err(unavailable)?
            .pop()
            .map(|event| event.envelope))
    }

    /// Everything about an event that can be carried away: its bytes, the way to the first
    /// checkpoint that covers it under a key that still signs, and from there to the newest; or, where
    /// one is on a chain, to the first of those.
    pub async fn bundle(&self, reading: &Reading, event_id: &str) -> Result<Bundle, NotProved> {
        let event = self.ledger().event(reading.reach(), event_id).await;
        let event = event.map_err(unavailable)?.ok_or(NotProved::NotThere)?;
        let state = self.log().log_state().await.map_err(unavailable)?;
        let last = self.signed(&state, WhichCheckpoint::Last).await?;
        let last = last.ok_or(NotProved::NotSealed)?;
        let keys = self.signers(&last.note).await?;
        let covering = WhichCheckpoint::Covering(event.seq);
        let first = self.signed(&state, covering).await?;
        let first = first.ok_or(NotProved::NotSealed)?;
        // Without today's signatures, a reader who pinned one of today's keys could not check it.
        let signers = self.signers(&first.note).await?;
        let same = keys.iter().all(|key| signers.contains(key));
        let first = if same { first } else { last.clone() };
        let anchored = self.anchored(&state, event.seq, &keys).await?;
        let (first, last, anchor) = match anchored {
            None => (first, last, None),
            Some((at, note)) if at.checkpoint.size() <= first.checkpoint.size() => {
                (at, last, Some(note))
            }
            Some((at, note)) => (first, at, Some(note)),
        };
        let size = first.checkpoint.size();
        let (leaf, inclusion) = self.path(event.seq, size).await?;
        if leaf != leaf_hash(&event.envelope) {
            tracing::error!(seq = event.seq, "an event is not the one the tree has");
            return Err(Refusal::from(Cause::AuditUnavailable).into());
        }
        let newer = if last.checkpoint.size() > size {
            let consistency = self.growth(size, last.checkpoint.size()).await?;
            let checkpoint = last.note.clone();
            Some(Newer {
                checkpoint,
                consistency,
            })
        } else {
            None
        };
        let mut keys: BTreeSet<VerifierKey> =
            self.signers(&first.note).await?.into_iter().collect();
        keys.extend(self.signers(&last.note).await?);
        if let Some(note) = &anchor {
            keys.extend(self.signers(note).await?);
        }
        Ok(Bundle {
            seq: event.seq,
            envelope: event.envelope,
            inclusion,
            checkpoint: first.note,
            newer,
            anchor,
            keys: keys.into_iter().collect(),
        })
    }

    /// The first root with an event that is on a chain, as its checkpoint and its signed anchor; the
    /// newest one where the first is not signed by all of these keys. None where that one is not
    /// either: after a rotation, until the next root is on the chain.
    async fn anchored(
        &self,
        state: &LogState,
        seq: u64,
        keys: &[VerifierKey],
    ) -> Result<Option<(Signed, SignedNote)>, Refusal> {
        let origin = state.origin.number;
        for which in [WhichAnchor::Covering(seq), WhichAnchor::Newest] {
            let kept = self.log().anchor(origin, which).await;
            let Some(kept) = kept.map_err(unavailable)? else {
                return Ok(None);
            };
            if !self.is_signed(&kept).await? {
                continue;
            }
            let size = kept.anchor.anchored.entry_count;
            let Some(signed) = self.signed(state, WhichCheckpoint::Of(size)).await? else {
                continue;
            };
            let note = SignedNote::parse(kept.note.as_bytes()).map_err(|e| broken(&e))?;
            let checkpoint = &signed.checkpoint;
            let mut fits = size > seq && kept.anchor.is_of(checkpoint.size(), checkpoint.root());
            for note in [&signed.note, &note] {
                let signers = self.signers(note).await?;
                fits &= keys.iter().all(|key| signers.contains(key));
            }
            if fits {
                return Ok(Some((signed, note)));
            }
        }
        Ok(None)
    }

    async fn published(&self) -> Result<Vec<(VerifierKey, bool, i64)>, Refusal> {
        let keys = self.log_keys().published(self.now_ms()).await;
        let keys = keys.map_err(unavailable)?.into_iter();
        Ok(keys.map(|k| (k.key, k.signs, k.created_ms)).collect())
    }

    /// Every key of the log, oldest first.
    async fn known(&self) -> Result<Vec<VerifierKey>, Refusal> {
        let keys = self.published().await?.into_iter();
        Ok(keys.map(|(key, ..)| key).collect())
    }

    /// Which of the log's keys sign a note, oldest first.
    async fn signers(&self, note: &SignedNote) -> Result<Vec<VerifierKey>, Refusal> {
        let known = self.known().await?;
        let signers = note.signers(&known).map_err(|e| broken(&e))?;
        let signs = |key: &VerifierKey| signers.contains(&key);
        Ok(known.iter().filter(|key| signs(key)).cloned().collect())
    }

    async fn signed_of(&self, state: &LogState, size: Option<u64>) -> Result<Signed, NotProved> {
        let which = size.map_or(WhichCheckpoint::Last, WhichCheckpoint::Of);
        let signed = self.signed(state, which).await?;
        signed.ok_or(if size.is_some() {
            NotProved::NotThere
        } else {
            NotProved::NotSealed
        })
    }

    async fn signed(
        &self,
        state: &LogState,
        which: WhichCheckpoint,
    ) -> Result<Option<Signed>, Refusal> {
        let found = self.log().checkpoint(state.origin.number, which).await;
        found
            .map_err(unavailable)?
            .map(|kept| read(&kept))
            .transpose()
    }

    async fn path(&self, seq: u64, size: u64) -> Result<(Hash, Vec<Hash>), Refusal> {
        let proof = |tree: &Tree<'_, _>| {
            let mut wanted = tree.inclusion_tiles(seq)?;
            let id = crate::audit::tree::TileId {
                level: 0,
                index: seq / crate::audit::tree::TILE_WIDTH as u64,
            };
            let width = id.width_at(size);
            wanted.insert(Wanted { id, width });
            Ok(wanted)
        };
        let tiles = self.fetch(size, proof).await?;
        let tree = Tree::new(size, &tiles).map_err(|e| broken(&e))?;
        let leaf = tree.leaf(seq).map_err(|e| broken(&e))?;
        Ok((leaf, tree.inclusion(seq).map_err(|e| broken(&e))?))
    }

    async fn growth(&self, from: u64, size: u64) -> Result<Vec<Hash>, Refusal> {
        let tiles = self
            .fetch(size, |tree| tree.consistency_tiles(from))
            .await?;
        let tree = Tree::new(size, &tiles).map_err(|e| broken(&e))?;
        tree.consistency(from).map_err(|e| broken(&e))
    }

    /// The tiles a question about a tree needs.
    async fn fetch(
        &self,
        size: u64,
        wanted: impl FnOnce(&Tree<'_, Tiles>) -> Result<BTreeSet<Wanted>, TreeError<Infallible>>,
    ) -> Result<Tiles, Refusal> {
        let none = Tiles::new();
        let tree = Tree::new(size, &none).map_err(|e| broken(&e))?;
        let wanted = wanted(&tree).map_err(|e| broken(&e))?;
        self.log().tiles(wanted).await.map_err(unavailable)
    }
}

type Tiles = BTreeMap<crate::audit::tree::TileId, crate::audit::tree::Tile>;

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|h| STANDARD.encode(h)).collect()
}

fn read(kept: &KeptCheckpoint) -> Result<Signed, Refusal> {
    let note = SignedNote::parse(kept.note.as_bytes()).map_err(|e| broken(&e))?;
    let checkpoint = Checkpoint::from_text(note.text()).map_err(|e| broken(&e))?;
    Ok(Signed {
        checkpoint,
        note,
        at_ms: kept.at_ms,
    })
}

fn broken(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "the sealed log does not fit together; `agentkeys audit fsck` looks");
    Cause::AuditUnavailable.into()
}
