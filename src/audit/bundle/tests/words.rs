//! What people are told.

use super::*;
use crate::audit::anchor::ChainLog;
use crate::audit::anchor_call::Dialect;

#[test]
fn one_sentence_says_what_is_proved_and_what_is_not() {
    let print = verifier(1).fingerprint();
    let verdict = check(&Maker::new(12, &[1]).plain(5, 7), &[]);
    assert_eq!(
        verdict.sentence(),
        format!(
            "under key {print}, which you have not pinned, it is proved that an event \
             permission.check that was refused is entry seq 5 among the first 7 entries of the log \
             {ORIGIN}, byte for byte; it is not proved whose key this is, nor that the host wrote the truth or the \
             right time when it wrote the event, nor that others were shown the same log, as by this \
             proof its root is not on a chain"
        )
    );
    let verdict = check(&golden(), &[verifier(1)]);
    assert_eq!(
        verdict.sentence(),
        format!(
            "under the trusted key {print}, it is proved that an event permission.check that was \
             refused is entry seq 5 among the first 7 entries of the log {ORIGIN}, byte for byte, and these 7 \
             entries are the unchanged beginning of the 12 that the log had later; it is not proved \
             that the host wrote the truth or the right time when it wrote the event, nor that the \
             root is on a chain: transaction 0x{} of chain 31337 was not looked up",
            "7a".repeat(32)
        )
    );
    let verdict = verify(b"", &[]);
    assert_eq!(
        verdict.sentence(),
        "not proved, because of the bundle's digest: the last line is not the SHA-256 of everything \
         before it: the file was altered or cut off"
    );
}

#[test]
fn only_the_chain_itself_proves_an_anchor() {
    let anchor = Maker::new(12, &[1]).anchor(7);
    let words = anchor.anchored.calldata(Dialect::Bytes32).split_off(4);
    let log = ChainLog {
        chain_id: 31337,
        contract: anchor.contract,
        transaction: anchor.transaction,
        block: 12,
        topics: vec![Dialect::Bytes32.topic()],
        data: words,
    };
    let verdict = check(&golden(), &[verifier(1)]);
    assert!(!verdict.proved().concat().contains("chain 31337"));
    let seen = verdict.clone().with_chain(std::slice::from_ref(&log), 30);
    let on_chain = format!(
        "the root of 7 entries is on chain 31337 in transaction 0x{}, under 30 blocks",
        "7a".repeat(32)
    );
    assert!(seen.verified() && seen.signer_pinned() && seen.proved().contains(&on_chain));
    assert!(!seen.sentence().contains("not looked up"));

    let other = ChainLog {
        block: 13,
        ..log.clone()
    };
    for logs in [&[][..], &[other]] {
        let absent = verdict.clone().with_chain(logs, 30);
        assert!(!absent.verified() && !absent.signer_pinned() && absent.proved().is_empty());
        assert_eq!(absent.outcome().clone().unwrap_err().part, Part::Anchor);
    }
    // Where the bundle names no anchor, the chain changes nothing; nor where nothing holds.
    let plain = check(&Maker::new(12, &[1]).plain(5, 7), &[]);
    assert_eq!(
        plain.clone().with_chain(std::slice::from_ref(&log), 30),
        plain
    );
    let bad = verify(b"", &[]);
    assert_eq!(bad.clone().with_chain(&[log], 30), bad);
}

#[test]
fn json_has_the_contracts_fields() {
    let verdict = check(&golden(), &[]).to_json();
    assert_eq!(verdict["verified"], true);
    assert_eq!(verdict["signer_pinned"], false);
    assert_eq!(verdict["proved"].as_array().unwrap().len(), 2);
    assert_eq!(verdict["not_proved"].as_array().unwrap().len(), 3);
    assert_eq!(verdict["key"], verifier(1).to_string());
    assert_eq!(verdict["fingerprint"], verifier(1).fingerprint());
    assert!(verdict.get("first_bad").is_none());
    let mut bundle = golden();
    bundle.seq = 6;
    let verdict = check(&bundle, &[verifier(1)]).to_json();
    assert_eq!(verdict["verified"], false);
    assert_eq!(verdict["signer_pinned"], false);
    assert_eq!(verdict["proved"], json!([]));
    assert_eq!(verdict["first_bad"], "inclusion");
    assert_eq!(verdict["code"], "agentkeys.audit.bundle_inclusion");
    assert!(verdict.get("key").is_none());
}

#[test]
fn bytes_that_are_no_event_are_not_called_one() {
    let mut maker = Maker::new(1, &[1]);
    let envelope = b"\x1b[31mnot an event".to_vec();
    let tiles = Frontier::new().append([leaf_hash(&envelope)]);
    maker.tiles = tiles.into_iter().map(|tile| (tile.id(), tile)).collect();
    let bundle = Bundle {
        envelope,
        ..maker.plain(0, 1)
    };
    let verdict = check(&bundle, &[verifier(1)]);
    assert!(verdict.verified());
    assert!(
        verdict.proved()[0].starts_with("17 bytes are entry seq 0"),
        "{:?}",
        verdict.proved()
    );
    assert!(
        verdict
            .not_proved()
            .contains(&"that these bytes are an audit event".to_owned())
    );
    assert!(!verdict.sentence().contains('\u{1b}'));
}
