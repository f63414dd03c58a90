#![allow(clippy::unwrap_used)]

use super::super::anchor_call::Dialect;
use super::*;
use crate::secret::Secret;
use proptest::prelude::*;

const ORIGIN: &str = "log.example/agentkeys";

fn anchor() -> Anchor {
    Anchor {
        origin: ORIGIN.to_owned(),
        chain_id: 31337,
        contract: [0xc0; 20],
        transaction: [0x7a; 32],
        block: 12,
        anchored: AnchoredRoot {
            operator_omni: [0x07; 32],
            root: [0x22; 32],
            kinds: [10, 100].into_iter().collect(),
            entry_count: 57,
        },
    }
}

fn key(name: &str) -> LogKey {
    LogKey::from_seed(name, &Secret::new([1; 32])).unwrap()
}

/// What a node tells about this anchor.
fn told() -> ChainLog {
    let Anchor {
        chain_id,
        contract,
        transaction,
        block,
        anchored,
        ..
    } = anchor();
    let words = anchored.calldata(Dialect::Bytes32).split_off(4);
    let topics = vec![
        Dialect::Bytes32.topic(),
        anchored.operator_omni,
        anchored.root,
    ];
    ChainLog {
        chain_id,
        contract,
        transaction,
        block,
        topics,
        data: words[64..].to_vec(),
    }
}

#[test]
fn what_is_signed_reads_back_and_is_no_checkpoint() {
    let note = anchor().sign(&[key(ORIGIN)]).unwrap();
    let known = [key(ORIGIN).verifier().clone()];
    let (read, signers) = Anchor::open(&note, &known).unwrap();
    assert_eq!((read, signers), (anchor(), vec![&known[0]]));
    assert!(super::super::checkpoint::Checkpoint::open(&note, &known).is_err());
    assert_eq!(
        note.text(),
        format!(
            "agentkeys anchor v1\norigin {ORIGIN}\nchain 31337\ncontract 0x{}\ntransaction 0x{}\nblock 12\noperator 0x{}\nroot 0x{}\nentries 57\nkinds 0x{}0000000010{}0400\n",
            "c0".repeat(20),
            "7a".repeat(32),
            "07".repeat(32),
            "22".repeat(32),
            "0".repeat(30),
            "0".repeat(20),
        )
    );
}

#[test]
fn only_a_key_of_the_log_signs_or_counts() {
    let stranger = SignError::KeyName("other.example".to_owned());
    assert_eq!(anchor().sign(&[key("other.example")]), Err(stranger));
    assert!(anchor().sign(&[]).is_err());
    let note = SignedNote::sign(anchor().text(), &[key("other.example")]).unwrap();
    let known = [key("other.example").verifier().clone()];
    assert_eq!(Anchor::open(&note, &known), Err(AnchorError::KeyName));
    let nobody = AnchorError::Note(NoteError::NotSigned);
    assert_eq!(Anchor::open(&note, &[]), Err(nobody));
}

#[test]
fn only_the_one_form_of_an_anchor_is_read() {
    let good = anchor().text();
    let edited = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        Anchor::from_text(&good.replacen(from, to, 1)).unwrap_err()
    };
    for (from, to, field) in [
        ("anchor v1", "anchor v2", "title"),
        ("origin log", "origin  log", "origin"),
        ("chain 31337", "chain 031337", "chain"),
        ("chain 31337", "chain 0x7a69", "chain"),
        ("chain 31337\n", "", "chain"),
        ("chain 31337\n", "chain 31337\nchain 31337\n", "contract"),
        ("contract 0xc0", "contract 0xC0", "contract"),
        ("contract 0xc0", "contract c0", "contract"),
        ("contract 0xc0", "contract 0x", "contract"),
        ("contract 0xc0", "contract 0xc0c0", "contract"),
        ("transaction 0x7a", "transaction 0x7g", "transaction"),
        ("block 12", "block +12", "block"),
        ("block 12", "block", "block"),
        ("entries 57", "entries 18446744073709551616", "entries"),
        ("kinds 0x0", "kinds 0X0", "kinds"),
        ("0400\n", "0400\nmore 1\n", "end"),
        ("0400\n", "0400", "end"),
        ("0400\n", "0400\n\n", "end"),
    ] {
        assert_eq!(edited(from, to), AnchorError::Field(field), "{from} {to}");
    }
}

#[test]
fn the_chain_confirms_an_anchor_only_in_every_field() {
    assert!(anchor().seen_in(&told()));
    let otherwise = |edit: fn(&mut ChainLog)| {
        let mut log = told();
        edit(&mut log);
        assert!(!anchor().seen_in(&log), "{log:?}");
    };
    otherwise(|log| log.chain_id = 1);
    otherwise(|log| log.block += 1);
    otherwise(|log| log.contract[0] ^= 1);
    otherwise(|log| log.transaction[0] ^= 1);
    otherwise(|log| log.topics[0][0] ^= 1);
    otherwise(|log| log.topics[1][0] ^= 1);
    otherwise(|log| log.topics[2][0] ^= 1);
    otherwise(|log| log.data[31] ^= 1);
    otherwise(|log| log.data[63] ^= 1);
    otherwise(|log| log.topics.truncate(1));
    assert!(anchor().is_of(57, &[0x22; 32]));
    assert!(!anchor().is_of(56, &[0x22; 32]) && !anchor().is_of(57, &[0x23; 32]));
}

proptest! {
    #[test]
    fn any_anchor_comes_back_from_its_text(
        chain_id: u64, contract: [u8; 20], transaction: [u8; 32], block: u64,
        operator_omni: [u8; 32], root: [u8; 32], kinds: [u8; 32], entry_count: u64,
    ) {
        let kinds = KindBitmap::from_bytes(kinds);
        let anchored = AnchoredRoot { operator_omni, root, kinds, entry_count };
        let origin = ORIGIN.to_owned();
        let anchor = Anchor { origin, chain_id, contract, transaction, block, anchored };
        prop_assert_eq!(Anchor::from_text(&anchor.text()), Ok(anchor));
    }

    #[test]
    fn no_altered_text_reads_as_the_same_anchor(at: prop::sample::Index, byte in 0..128_u8) {
        let mut text = anchor().text().into_bytes();
        let at = at.index(text.len());
        let same = std::mem::replace(&mut text[at], byte) == byte;
        let read = Anchor::from_text(std::str::from_utf8(&text).unwrap());
        prop_assert_eq!(read == Ok(anchor()), same);
    }
}
