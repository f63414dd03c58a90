//! Whether a proof proves: the way from an event's leaf to the root, and the signature under it.

use super::news::{Proof, Shown};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::{SignedNote, VerifierKey};
use crate::audit::tree::{Hash, leaf_hash, verify_inclusion};
use crate::authority::event::to_json;
use crate::operate::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Checks the answer of `/v1/audit/proof/inclusion` for an event, under the keys that
/// `/.well-known/agentkeys/log-key` published when they were first asked for. With the event's own
/// bytes it is proved that the log has just what is shown; without, that there is a row at its place.
pub fn check(shown: &Shown, answer: &Value, keys: &Value, envelope: Option<&[u8]>) -> Proof {
    proved(shown, answer, keys, envelope).unwrap_or_else(|why| Proof::Fails(why.to_owned()))
}

fn proved(
    shown: &Shown,
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
    let says = |bytes| to_json(shown.seq, bytes).is_ok_and(|event| event == shown.event);
    if !envelope.is_none_or(says) {
        return Err("the log says something else than is shown here");
    }
    let way = answer["proof"]
        .as_array()
        .ok_or("it has no way to the root")?;
    let way: Option<Vec<Hash>> = way.iter().map(|step| hash(step.as_str()?)).collect();
    let way = way.ok_or("a hash on its way cannot be read")?;
    verify_inclusion(&leaf, shown.seq, checkpoint.size(), &way, checkpoint.root())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::audit::envelope::{Envelope, ResultByte};
    use crate::audit::note::LogKey;
    use crate::audit::tree::node_hash;
    use crate::secret::Secret;
    use serde_json::json;

    const ORIGIN: &str = "agentkeys.example/log:1";

    fn bytes(tool: &str) -> Vec<u8> {
        let envelope = Envelope {
            ts_unix: 1_700_000_000,
            actor_omni: [1; 32],
            operator_omni: [2; 32],
            op_kind: 13,
            op_body: json!({"tool": tool}),
            result: ResultByte::Success,
            intent_text: None,
            intent_commitment: None,
        };
        envelope.encode().unwrap()
    }

    /// The second of two events.
    fn shown() -> Shown {
        Shown {
            seq: 1,
            event_id: "evt_1".to_owned(),
            event: to_json(1, &bytes("second")).unwrap(),
        }
    }

    /// The answer for it, and the keys.
    fn answer(seed: u8) -> (Value, Value) {
        let key = LogKey::from_seed(ORIGIN, &Secret::new([seed; 32])).unwrap();
        let [first, second] = ["first", "second"].map(|tool| leaf_hash(&bytes(tool)));
        let root = node_hash(&first, &second);
        let signer = [key];
        let note = Checkpoint::new(ORIGIN, 2, root).unwrap();
        let note = note.sign_after(None, &[], &signer).unwrap();
        let answer = json!({
            "leaf_hash": STANDARD.encode(second), "proof": [STANDARD.encode(first)],
            "note": note.to_string(),
        });
        let keys = json!({"keys": [{"key": signer[0].verifier().to_string()}]});
        (answer, keys)
    }

    fn why(proof: Proof) -> String {
        match proof {
            Proof::Fails(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn with_its_bytes_it_is_the_event_and_without_a_row_at_its_place() {
        let (answer, keys) = answer(1);
        for (envelope, is_whole) in [(Some(bytes("second")), true), (None, false)] {
            let proof = check(&shown(), &answer, &keys, envelope.as_deref());
            let Proof::Holds {
                whole,
                size,
                hashes,
                ..
            } = proof
            else {
                panic!("{proof:?}")
            };
            assert_eq!((whole, size, hashes), (is_whole, 2, 1));
        }
    }

    #[test]
    fn what_is_shown_is_what_the_log_has_to_the_last_word() {
        let (answer, keys) = answer(1);
        let whole = bytes("second");
        let mut told = shown();
        told.event["tool"] = json!("payment");
        assert_eq!(
            why(check(&told, &answer, &keys, Some(&whole))),
            "the log says something else than is shown here"
        );
    }

    #[test]
    fn what_does_not_fit_proves_nothing() {
        let (good, keys) = answer(1);
        let shown = shown();
        let other_event = check(&shown, &good, &keys, Some(&bytes("first")));
        assert_eq!(why(other_event), "it is of another event");
        let first = Shown {
            seq: 0,
            ..shown.clone()
        };
        let elsewhere = check(&first, &good, &keys, None);
        assert_eq!(why(elsewhere), "it does not lead to the signed root");
        let (_, others) = answer(2);
        let signed = "its checkpoint is not signed by the log's key";
        assert_eq!(why(check(&shown, &good, &others, None)), signed);
        assert_eq!(why(check(&shown, &good, &json!({}), None)), signed);
        for (field, bad) in [
            ("leaf_hash", json!("AA==")),
            ("proof", json!("x")),
            ("note", json!("x")),
        ] {
            let mut answer = good.clone();
            answer[field] = bad;
            why(check(&shown, &answer, &keys, None));
        }
        let mut longer = good;
        longer["proof"] = json!([STANDARD.encode([0; 32]), STANDARD.encode([1; 32])]);
        why(check(&shown, &longer, &keys, None));
    }
}
