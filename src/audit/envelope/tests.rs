#![allow(clippy::unwrap_used)]

use super::kind::{OpKind, name_of};
use super::*;
use proptest::prelude::*;
use serde_json::json;

/// Vectors computed independently of this program (`formats/agentkeys.md` §2).
const A: &str = "a966726573756c7400676f705f626f6479a267736572766963656a6f70656e726f757465726c7061796c6f61645f686173687842307861626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162676f705f6b696e64006774735f756e69781a6553f1006776657273696f6e016a6163746f725f6f6d6e695820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa6b696e74656e745f74657874781f53746f72652063726564656e7469616c20666f72206f70656e726f757465726d6f70657261746f725f6f6d6e695820bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb71696e74656e745f636f6d6d69746d656e745820cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
const A_HASH: &str = "2892598ae11b105299e9230bb5861ea889d85b2abf1240964e34cbb434edc34e";
const B: &str = "a966726573756c7402676f705f626f6479a2626f7063676574696e616d6573706163656666616d696c79676f705f6b696e640d6774735f756e69781a6553f1006776657273696f6e016a6163746f725f6f6d6e695820a0c701a0c701a0c701a0c701a0c701a0c701a0c701a0c701a0c701a0c701a0c76b696e74656e745f74657874f66d6f70657261746f725f6f6d6e69582007e8a107e8a107e8a107e8a107e8a107e8a107e8a107e8a107e8a107e8a107e871696e74656e745f636f6d6d69746d656e74f6";
const B_HASH: &str = "7fc92fca4c5b9a840517f99c6f5d99ca276e22e3fbbd99977d085a149cb5b31f";

fn repeated(pattern: [u8; 3]) -> [u8; 32] {
    std::array::from_fn(|i| pattern[i % 3])
}

fn a() -> Envelope {
    Envelope {
        ts_unix: 1_700_000_000,
        actor_omni: [0xaa; 32],
        operator_omni: [0xbb; 32],
        op_kind: 0,
        op_body: json!({"service": "openrouter", "payload_hash": format!("0x{}", "ab".repeat(32))}),
        result: ResultByte::Success,
        intent_text: Some("Store credential for openrouter".to_owned()),
        intent_commitment: Some([0xcc; 32]),
    }
}

fn b() -> Envelope {
    Envelope {
        ts_unix: 1_700_000_000,
        actor_omni: repeated([0xa0, 0xc7, 0x01]),
        operator_omni: repeated([0x07, 0xe8, 0xa1]),
        op_kind: 13,
        op_body: json!({"namespace": "family", "op": "get"}),
        result: ResultByte::NotPermitted,
        intent_text: None,
        intent_commitment: None,
    }
}

fn with_body(op_body: Value) -> Envelope {
    Envelope { op_body, ..b() }
}

#[test]
fn both_vectors_match_byte_for_byte() {
    for (envelope, bytes, digest) in [(a(), A, A_HASH), (b(), B, B_HASH)] {
        let encoded = envelope.encode().unwrap();
        assert_eq!(hex::encode(&encoded), bytes);
        assert_eq!(hex::encode(hash(&encoded)), digest);
        assert_eq!(Envelope::decode(&encoded), Ok(envelope));
    }
}

#[test]
fn integers_take_the_shortest_head() {
    // RFC 8949 appendix A.
    for (value, encoded) in [
        (json!(0), "00"),
        (json!(23), "17"),
        (json!(24), "1818"),
        (json!(255), "18ff"),
        (json!(256), "190100"),
        (json!(65_535), "19ffff"),
        (json!(65_536), "1a00010000"),
        (json!(u32::MAX), "1affffffff"),
        (json!(4_294_967_296_u64), "1b0000000100000000"),
        (json!(u64::MAX), "1bffffffffffffffff"),
        (json!(-1), "20"),
        (json!(-24), "37"),
        (json!(-25), "3818"),
        (json!(i64::MIN), "3b7fffffffffffffff"),
    ] {
        let bytes = with_body(json!({ "k": value })).encode().unwrap();
        let expected = format!("a1616b{encoded}");
        assert!(hex::encode(bytes).contains(&expected), "{value}");
    }
}

#[test]
fn keys_are_sorted_by_their_encoded_bytes_at_every_level() {
    let unsorted = json!({"bb": 1, "z": {"yy": [], "y": {}}, "a": null, "aa": [true, false]});
    let bytes = hex::encode(with_body(unsorted).encode().unwrap());
    let body = "a46161f6617aa26179a062797980626161 82f5f4 62626201".replace(' ', "");
    assert!(bytes.contains(&body), "{bytes}");
}

#[test]
fn a_body_that_two_encoders_could_write_differently_is_refused() {
    let encode = |body| with_body(body).encode();
    assert_eq!(encode(json!({"a": [{"b": 1.5}]})), Err(EncodeError::Float));
    assert_eq!(encode(json!({"a": 1.0})), Err(EncodeError::Float));
    assert_eq!(encode(json!([])), Err(EncodeError::BodyNotObject));
    assert_eq!(encode(json!(null)), Err(EncodeError::BodyNotObject));
}

#[test]
fn what_can_be_encoded_can_be_decoded_to_the_last_level() {
    let nest = |levels: usize, array: bool| {
        (1..levels).fold(json!({}), |inner, level| {
            if array && level + 1 < levels {
                json!([inner])
            } else {
                json!({ "k": inner })
            }
        })
    };
    for array in [false, true] {
        let deepest = with_body(nest(64, array));
        let bytes = deepest.encode().unwrap();
        assert_eq!(Envelope::decode(&bytes), Ok(deepest));
        let deeper = with_body(nest(65, array)).encode();
        assert_eq!(deeper, Err(EncodeError::TooDeep));
    }
}

/// Vector B with one of its fields replaced, removed or added.
fn edited(edit: impl Fn(&mut Vec<(Cbor, Cbor)>)) -> Result<Envelope, DecodeError> {
    let mut entries: Vec<(Cbor, Cbor)> =
        ciborium::from_reader::<Cbor, _>(&hex::decode(B).unwrap()[..])
            .unwrap()
            .into_map()
            .unwrap();
    edit(&mut entries);
    let mut bytes = Vec::new();
    ciborium::into_writer(&Cbor::Map(entries), &mut bytes).unwrap();
    Envelope::decode(&bytes)
}

fn replaced(key: &str, value: &Cbor) -> Result<Envelope, DecodeError> {
    edited(|entries| {
        for (k, v) in entries.iter_mut() {
            if k.as_text() == Some(key) {
                *v = value.clone();
            }
        }
    })
}

#[test]
fn decoding_is_open_to_other_tools_and_closed_to_ambiguity() {
    assert_eq!(edited(|_| ()), Ok(b()));
    let extra = edited(|e| e.push(("later".into(), Cbor::Float(1.5))));
    assert_eq!(extra, Ok(b()), "unknown top-level keys are ignored");
    let kind = replaced("op_kind", &99.into());
    assert_eq!(kind.map(|e| e.op_kind), Ok(99), "unknown kinds are kept");

    assert_eq!(replaced("version", &2.into()), Err(DecodeError::Version));
    assert_eq!(replaced("version", &"1".into()), Err(DecodeError::Version));
    let twice = edited(|e| e.push(("op_kind".into(), 1.into())));
    assert_eq!(twice, Err(DecodeError::NotMap));
    let number_key = edited(|e| e.push((1.into(), 1.into())));
    assert_eq!(number_key, Err(DecodeError::NotMap));
    for key in [
        "result",
        "op_body",
        "op_kind",
        "ts_unix",
        "actor_omni",
        "intent_text",
    ] {
        let gone = edited(|e| e.retain(|(k, _)| k.as_text() != Some(key)));
        assert_eq!(gone, Err(DecodeError::Field(key)));
        let wrong = replaced(key, &Cbor::Bool(true));
        assert_eq!(wrong, Err(DecodeError::Field(key)));
    }
    for (key, value) in [
        ("result", Cbor::from(3)),
        ("result", 258.into()),
        ("op_kind", 256.into()),
        ("ts_unix", (-1).into()),
        ("actor_omni", Cbor::Bytes(vec![0; 31])),
        ("operator_omni", Cbor::Null),
    ] {
        assert_eq!(replaced(key, &value), Err(DecodeError::Field(key)));
    }
    for value in [
        Cbor::Bytes(vec![1]),
        Cbor::Float(1.0),
        Cbor::Tag(0, Box::new("x".into())),
    ] {
        let body = Cbor::Map(vec![("k".into(), value)]);
        assert_eq!(replaced("op_body", &body), Err(DecodeError::Body));
    }
    let twice = Cbor::Map(vec![("k".into(), 1.into()), ("k".into(), 2.into())]);
    assert_eq!(replaced("op_body", &twice), Err(DecodeError::Body));
}

#[test]
fn bytes_that_are_not_one_item_are_refused() {
    let whole = hex::decode(A).unwrap();
    for end in 0..whole.len() {
        assert_eq!(
            Envelope::decode(&whole[..end]),
            Err(DecodeError::NotCbor),
            "{end}"
        );
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert_eq!(Envelope::decode(&longer), Err(DecodeError::NotCbor));
    assert_eq!(Envelope::decode(&[0x80]), Err(DecodeError::NotMap));
    assert!(Envelope::decode(&vec![0xa1; 100_000]).is_err());
}

#[test]
fn kinds_keep_their_bytes() {
    for kind in OpKind::ALL {
        assert_eq!(OpKind::from_byte(kind.as_byte()), Some(*kind));
        assert_eq!(name_of(kind.as_byte()), kind.name());
    }
    assert_eq!(name_of(13), "Unknown(13)");
    assert_eq!(OpKind::PermissionCheck.as_byte(), 100);
    assert_eq!(OpKind::Backup.as_byte(), 133);
    assert_eq!(OpKind::LogCheck.as_byte(), 134);
}

/// The same body through ciborium's own writer, sorted by encoded keys: an encoder that shares no
/// code with ours.
#[test]
fn the_page_lists_every_kind_and_no_other() {
    let page = include_str!("../../../docs/audit.md");
    let (_, table) = page
        .split_once("| byte | kind | what |\n|---|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let mut kinds = OpKind::ALL.iter();
    for row in rows {
        let kind = kinds.next().unwrap();
        let begins = format!("| {} | `{}` | ", kind.as_byte(), kind.name());
        assert!(row.starts_with(&begins), "{row}");
    }
    assert_eq!(kinds.next(), None);
}

fn oracle(value: &Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(n), _) => n.into(),
            (_, Some(n)) => n.into(),
            _ => Cbor::Null,
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => Cbor::Array(items.iter().map(oracle).collect()),
        Value::Object(map) => {
            let mut entries: Vec<_> = map
                .iter()
                .map(|(key, value)| {
                    (
                        written(&key.as_str().into()),
                        key.as_str().into(),
                        oracle(value),
                    )
                })
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Cbor::Map(
                entries
                    .into_iter()
                    .map(|(_, key, value)| (key, value))
                    .collect(),
            )
        }
    }
}

fn written(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..300).prop_map(Value::from),
        "\\PC{0,30}".prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(4, 40, 6, |inner| {
        let object = prop::collection::vec(("[a-zé]{0,26}", inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..30).prop_map(Value::Array),
            object.prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    });
    prop::collection::vec(("[a-z_]{1,20}", tree), 0..8)
        .prop_map(|entries| Value::Object(entries.into_iter().collect()))
}

proptest! {
    #[test]
    fn every_envelope_is_what_ciborium_writes_and_reads_back(
        body in body(),
        ts_unix: u64,
        op_kind: u8,
        result in 0_u8..3,
        intent_text in prop::option::of("\\PC{0,40}"),
        intent_commitment: Option<[u8; 32]>,
    ) {
        let envelope = Envelope {
            ts_unix,
            op_kind,
            op_body: body,
            result: ResultByte::from_byte(result).unwrap(),
            intent_text,
            intent_commitment,
            ..a()
        };
        let bytes = envelope.encode().unwrap();
        let text = |t: &Option<String>| t.as_deref().map_or(Cbor::Null, Cbor::from);
        let raw = |b: Option<[u8; 32]>| b.map_or(Cbor::Null, |b| Cbor::Bytes(b.to_vec()));
        let expected = Cbor::Map(vec![
            ("result".into(), result.into()),
            ("op_body".into(), oracle(&envelope.op_body)),
            ("op_kind".into(), op_kind.into()),
            ("ts_unix".into(), ts_unix.into()),
            ("version".into(), 1.into()),
            ("actor_omni".into(), raw(Some(envelope.actor_omni))),
            ("intent_text".into(), text(&envelope.intent_text)),
            ("operator_omni".into(), raw(Some(envelope.operator_omni))),
            ("intent_commitment".into(), raw(envelope.intent_commitment)),
        ]);
        prop_assert_eq!(&bytes, &written(&expected));
        // The order of a JSON object's keys is not part of an event; compare as sets.
        prop_assert_eq!(Envelope::decode(&bytes), Ok(envelope));
    }

    #[test]
    fn no_bytes_make_decoding_panic(mut bytes: Vec<u8>, at: usize, flip: u8) {
        let _ = Envelope::decode(&bytes);
        bytes = hex::decode(A).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = Envelope::decode(&bytes);
    }
}
