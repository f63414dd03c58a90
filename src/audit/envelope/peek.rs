//! Reading an envelope without taking it apart: what a re-check of millions of rows needs, borrowed
//! from the bytes. Strict, unlike [`super::Envelope::decode`]: it accepts exactly the bytes that
//! [`super::Envelope::encode`] writes, since a row of ours that has another form was altered.

use super::VERSION;
use super::cbor::{ARRAY, BYTES, FALSE, MAP, MAX_DEPTH, NEGATIVE, NULL, TEXT, TRUE, UNSIGNED};

/// What an envelope says about itself, as far as the columns beside it repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peek<'a> {
    /// When, in seconds since 1970.
    pub ts_unix: u64,
    /// Whose event; zero bytes for a stranger's.
    pub actor_omni: &'a [u8; 32],
    /// What kind.
    pub op_kind: u8,
    /// `ts_ms` of the body: when, in milliseconds since 1970.
    pub ts_ms: Option<i64>,
    /// `event_id` of the body.
    pub event_id: Option<&'a str>,
    /// `vendor` of the body.
    pub vendor: Option<&'a str>,
    /// `rail` of the body.
    pub rail: Option<&'a str>,
    /// `tool` of the body.
    pub tool: Option<&'a str>,
    /// `verdict` of the body.
    pub verdict: Option<&'a str>,
    /// `namespace` of the body.
    pub namespace: Option<&'a str>,
}

/// Reads an envelope; `None` for bytes that are not one in the form this program writes.
pub fn peek(bytes: &[u8]) -> Option<Peek<'_>> {
    let mut walk = Walk { rest: bytes };
    walk.exact(&[MAP | 9])?;
    walk.key("result")?;
    (walk.unsigned()? <= 2).then_some(())?;
    walk.key("op_body")?;
    let body = walk.body()?;
    walk.key("op_kind")?;
    let op_kind = u8::try_from(walk.unsigned()?).ok()?;
    walk.key("ts_unix")?;
    let ts_unix = walk.unsigned()?;
    walk.key("version")?;
    (walk.unsigned()? == VERSION).then_some(())?;
    walk.key("actor_omni")?;
    let actor_omni = walk.bytes32()?;
    walk.key("intent_text")?;
    if !walk.null() {
        walk.text(TEXT)?;
    }
    walk.key("operator_omni")?;
    walk.bytes32()?;
    walk.key("intent_commitment")?;
    if !walk.null() {
        walk.bytes32()?;
    }
    walk.rest.is_empty().then_some(Peek {
        ts_unix,
        actor_omni,
        op_kind,
        ts_ms: body.ts_ms,
        event_id: body.event_id,
        vendor: body.vendor,
        rail: body.rail,
        tool: body.tool,
        verdict: body.verdict,
        namespace: body.namespace,
    })
}

/// The body's fields that columns repeat.
#[derive(Default)]
struct Body<'a> {
    ts_ms: Option<i64>,
    event_id: Option<&'a str>,
    vendor: Option<&'a str>,
    rail: Option<&'a str>,
    tool: Option<&'a str>,
    verdict: Option<&'a str>,
    namespace: Option<&'a str>,
}

/// An item that holds no others, or the head of one that does.
enum Item<'a> {
    Null,
    Bool,
    Number(i128),
    Text(&'a str),
    Array(u64),
    Map(u64),
}

/// What is left to read.
struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn exact(&mut self, expected: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// A key that has to come here.
    fn key(&mut self, key: &str) -> Option<()> {
        (self.text(TEXT)? == key).then_some(())
    }

    /// A head in its shortest form: the major type and the number with it.
    fn head(&mut self) -> Option<(u8, u64)> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        let major = first & 0xe0;
        let number = match first & 0x1f {
            small @ 0..=23 => return Some((major, u64::from(small))),
            24 => (u64::from(self.array::<1>()?[0]), 24),
            25 => (u64::from(u16::from_be_bytes(self.array()?)), 0x100),
            26 => (u64::from(u32::from_be_bytes(self.array()?)), 0x1_0000),
            27 => (u64::from_be_bytes(self.array()?), 0x1_0000_0000),
            _ => return None,
        };
        let (number, least) = number;
        (number >= least).then_some((major, number))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn unsigned(&mut self) -> Option<u64> {
        match self.head()? {
            (UNSIGNED, number) => Some(number),
            _ => None,
        }
    }

    fn null(&mut self) -> bool {
        self.exact(&[NULL]).is_some()
    }

    fn bytes32(&mut self) -> Option<&'a [u8; 32]> {
        self.exact(&[BYTES | 0x18, 32])?;
        self.take(32)?.try_into().ok()
    }

    /// A string of a major type that holds text.
    fn text(&mut self, major: u8) -> Option<&'a str> {
        let (found, length) = self.head()?;
        if found != major {
            return None;
        }
        let bytes = self.take(usize::try_from(length).ok()?)?;
        std::str::from_utf8(bytes).ok()
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let simple = match *self.rest.first()? {
            NULL => Some(Item::Null),
            FALSE | TRUE => Some(Item::Bool),
            first if first & 0xe0 == TEXT => return self.text(TEXT).map(Item::Text),
            _ => None,
        };
        if let Some(simple) = simple {
            self.take(1)?;
            return Some(simple);
        }
        Some(match self.head()? {
            (UNSIGNED, number) => Item::Number(i128::from(number)),
            // JSON has nothing smaller than an i64.
            (NEGATIVE, number) => Item::Number(i128::from(!i64::try_from(number).ok()?)),
            (ARRAY, length) => Item::Array(length),
            (MAP, length) => Item::Map(length),
            _ => return None,
        })
    }

    fn body(&mut self) -> Option<Body<'a>> {
        let (MAP, entries) = self.head()? else {
            return None;
        };
        let mut body = Body::default();
        let mut keys = Keys::default();
        for _ in 0..entries {
            let key = keys.next(self)?;
            let value = self.item()?;
            let field = match key {
                "event_id" => &mut body.event_id,
                "vendor" => &mut body.vendor,
                "rail" => &mut body.rail,
                "tool" => &mut body.tool,
                "verdict" => &mut body.verdict,
                "namespace" => &mut body.namespace,
                "ts_ms" => {
                    if let Item::Number(number) = value {
                        body.ts_ms = i64::try_from(number).ok();
                    }
                    self.within(&value, 1)?;
                    continue;
                }
                _ => {
                    self.within(&value, 1)?;
                    continue;
                }
            };
            if let Item::Text(text) = value {
                *field = Some(text);
            }
            self.within(&value, 1)?;
        }
        Some(body)
    }

    /// Walks through what an item holds; `depth` counts the containers around it.
    fn within(&mut self, item: &Item<'_>, depth: usize) -> Option<()> {
        match *item {
            Item::Array(length) => {
                (depth < MAX_DEPTH).then_some(())?;
                for _ in 0..length {
                    let item = self.item()?;
                    self.within(&item, depth + 1)?;
                }
            }
            Item::Map(length) => {
                (depth < MAX_DEPTH).then_some(())?;
                let mut keys = Keys::default();
                for _ in 0..length {
                    keys.next(self)?;
                    let item = self.item()?;
                    self.within(&item, depth + 1)?;
                }
            }
            Item::Null | Item::Bool | Item::Number(_) | Item::Text(_) => {}
        }
        Some(())
    }
}

/// The keys of a map so far: each comes after the one before, so that none comes twice.
#[derive(Default)]
struct Keys<'a>(Option<&'a str>);

impl<'a> Keys<'a> {
    fn next(&mut self, walk: &mut Walk<'a>) -> Option<&'a str> {
        let key = walk.text(TEXT)?;
        let order = |key: &'a str| (key.len(), key);
        if self.0.is_some_and(|before| order(before) >= order(key)) {
            return None;
        }
        self.0 = Some(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::audit::envelope::{Envelope, ResultByte};
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn envelope(op_body: Value) -> Envelope {
        Envelope {
            ts_unix: 1_765_000_000,
            actor_omni: [7; 32],
            operator_omni: [8; 32],
            op_kind: 11,
            op_body,
            result: ResultByte::Success,
            intent_text: None,
            intent_commitment: None,
        }
    }

    #[test]
    fn it_says_what_the_columns_repeat() {
        let bytes = envelope(json!({
            "event_id": "evt_1", "ts_ms": 1_765_000_000_123_i64, "vendor": "magiclick",
            "rail": "xiaozhi", "tool": "agentkeys.memory.get", "verdict": "deny",
            "namespace": "family", "reason": "scope_not_granted", "detail": {"vendor": "other"},
        }));
        let bytes = bytes.encode().unwrap();
        let expected = Peek {
            ts_unix: 1_765_000_000,
            actor_omni: &[7; 32],
            op_kind: 11,
            ts_ms: Some(1_765_000_000_123),
            event_id: Some("evt_1"),
            vendor: Some("magiclick"),
            rail: Some("xiaozhi"),
            tool: Some("agentkeys.memory.get"),
            verdict: Some("deny"),
            namespace: Some("family"),
        };
        assert_eq!(peek(&bytes), Some(expected));
    }

    #[test]
    fn a_field_of_another_type_is_none() {
        let bytes = envelope(json!({"vendor": 1, "ts_ms": "1", "tool": ["x"], "rail": null}));
        let bytes = bytes.encode().unwrap();
        let found = peek(&bytes).unwrap();
        assert_eq!(
            (found.vendor, found.ts_ms, found.tool, found.rail),
            (None, None, None, None)
        );
    }

    #[test]
    fn it_goes_as_deep_as_the_encoder_and_no_deeper() {
        let nest = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({"k": inner}));
        assert!(peek(&envelope(nest(64)).encode().unwrap()).is_some());
        // Deeper than any stack: written by hand, as the encoder refuses it.
        let head = envelope(json!({})).encode().unwrap();
        let at = head.windows(2).position(|w| w == [b'y', MAP]).unwrap() + 1;
        let deep = [&head[..at], &[0xa1, 0x61, b'k'].repeat(100_000)].concat();
        assert_eq!(peek(&deep), None);
    }

    fn agrees(bytes: &[u8]) {
        let decoded = Envelope::decode(bytes).ok();
        let ours = decoded.filter(|e| e.encode().is_ok_and(|b| b == bytes));
        let found = peek(bytes);
        assert_eq!(found.is_some(), ours.is_some());
        let (Some(found), Some(ours)) = (found, ours) else {
            return;
        };
        let text = |key: &str| ours.op_body.get(key).and_then(Value::as_str);
        assert_eq!(found.ts_unix, ours.ts_unix);
        assert_eq!(*found.actor_omni, ours.actor_omni);
        assert_eq!(found.op_kind, ours.op_kind);
        assert_eq!(
            found.ts_ms,
            ours.op_body.get("ts_ms").and_then(Value::as_i64)
        );
        assert_eq!(found.event_id, text("event_id"));
        assert_eq!(found.vendor, text("vendor"));
        assert_eq!(found.rail, text("rail"));
        assert_eq!(found.tool, text("tool"));
        assert_eq!(found.verdict, text("verdict"));
        assert_eq!(found.namespace, text("namespace"));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(key(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn key() -> impl Strategy<Value = String> {
        let known = vec![
            "event_id",
            "ts_ms",
            "vendor",
            "rail",
            "tool",
            "verdict",
            "namespace",
        ];
        prop_oneof![
            prop::sample::select(known).prop_map(str::to_owned),
            ".{0,30}",
        ]
    }

    fn envelopes() -> impl Strategy<Value = Envelope> {
        let body = prop::collection::btree_map(key(), value(), 0..12);
        let body = body.prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>()));
        let intent = prop::option::of(".{0,40}");
        let commitment = prop::option::of(any::<[u8; 32]>());
        let fixed = (any::<u64>(), any::<[u8; 32]>(), any::<u8>(), 0..3_u8);
        (fixed, body, intent, commitment).prop_map(|(fixed, op_body, intent, commitment)| {
            let (ts_unix, actor_omni, op_kind, result) = fixed;
            Envelope {
                ts_unix,
                actor_omni,
                op_kind,
                op_body,
                result: ResultByte::from_byte(result).unwrap(),
                intent_text: intent,
                intent_commitment: commitment,
                ..envelope(Value::Null)
            }
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_decoder_on_what_can_be_encoded(envelope in envelopes()) {
            let bytes = envelope.encode().unwrap();
            prop_assert!(peek(&bytes).is_some());
            agrees(&bytes);
        }

        #[test]
        fn it_agrees_with_the_decoder_on_what_was_altered(
            envelope in envelopes(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = envelope.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            agrees(&bytes);
            agrees(&bytes[..cut.index(bytes.len())]);
            bytes.insert(at, byte);
            agrees(&bytes);
        }

        #[test]
        fn it_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            agrees(&bytes);
        }
    }
}
