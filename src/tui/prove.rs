//! Whether a proof proves: the way from an event's leaf to the root, and the signature under it.

use super::news::Proof;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::{SignedNote, VerifierKey};
use crate::audit::tree::{Hash, leaf_hash, verify_inclusion};
use crate::operate::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Checks the answer of `/v1/audit/proof/inclusion` for the event at a place, under the keys that
/// `/.well-known/agentkeys/log-key` published when they were first asked for. With the event's own
/// bytes it is that event which is proved; without, that there is a row at its place.
pub fn check(seq: u64, answer: &Value, keys: &Value, envelope: Option<&[u8]>) -> Proof {
    proved(seq, answer, keys, envelope).unwrap_or_else(|why| Proof::Fails(why.to_owned()))
}

fn proved(
    seq: u64,
    answer: &Value,
    keys: &Value,
    envelope: Option<&[u8]>,
) -> Result<Proof, &'static str> {
    let known: Vec<VerifierKey> = keys["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|key| text(key, "key").parse().ok())
        .collect();
    let note = SignedNote::parse(text(answer, "note").as_bytes());
    let note = note.map_err(|_| "its checkpoint cannot be read")?;
    let (checkpoint, signers) = Checkpoint::open(&note, &known)
        .map_err(|_| "its checkpoint is not signed by the log's key")?;
    if signers.is_empty() {
        return Err("its checkpoint is not signed by the log's key");
    }
    let leaf = hash(text(answer, "leaf_hash")).ok_or("it has no leaf")?;
    if envelope.is_some_and(|bytes| leaf_hash(bytes) != leaf) {
        return Err("it is of another event");
    }
    let way = answer["proof"]
        .as_array()
        .ok_or("it has no way to the root")?;
    let way: Option<Vec<Hash>> = way.iter().map(|step| hash(step.as_str()?)).collect();
    let way = way.ok_or("a hash on its way cannot be read")?;
    verify_inclusion(&leaf, seq, checkpoint.size(), &way, checkpoint.root())
        .map_err(|_| "it does not lead to the signed root")?;
    Ok(Proof::Holds {
        whole: envelope.is_some(),
        size: checkpoint.size(),
        root: hex::encode(checkpoint.root()),
        hashes: way.len(),
    })
}

fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
