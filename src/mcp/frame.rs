//! One JSON-RPC message, read once and strictly: what it is, for whom, and whether it may go on.

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// How deep a message may nest.
pub const MAX_DEPTH: usize = 64;

/// Where a 2026-07-28 message names its version.
const VERSION_META: &str = "io.modelcontextprotocol/protocolVersion";

/// What the door needs to know of a message.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Its id; null when it has none.
    pub id: Value,
    /// Its method, when it could be read.
    pub method: String,
    /// The tool a `tools/call` names.
    pub tool: Option<String>,
    /// The `actor` argument of a `tools/call`.
    pub actor: Option<Value>,
    /// The arguments of a `tools/call` that asks nothing of the protocol but its result: no version
    /// of its own, no task, no state. It needs no machinery around it.
    pub plain: Option<Map<String, Value>>,
    /// The protocol version it names, in `initialize` or in its `_meta`.
    pub protocol: Option<String>,
    /// Whether it answers a request of ours. There are none, so it is good for nothing but a row.
    pub answers: bool,
    /// Whether it is a JSON-RPC message that makes sense.
    pub sound: bool,
}

impl Frame {
    /// Reads a message. Whatever is wrong with it, what could be read is kept for the row.
    pub fn read(bytes: &[u8]) -> Self {
        match strict(bytes) {
            Ok(Value::Object(message)) => Self::of(message),
            _ => Self::default(),
        }
    }

    /// What stands for a message where none is sent: a client opens or ends a stream.
    pub fn of_stream() -> Self {
        Self {
            method: "stream".to_owned(),
            sound: true,
            ..Self::default()
        }
    }

    fn of(mut message: Map<String, Value>) -> Self {
        let id = message.get("id").cloned().unwrap_or(Value::Null);
        let id_sound = matches!(id, Value::Null | Value::String(_) | Value::Number(_));
        let method = message.get("method").and_then(Value::as_str);
        let version = message.get("jsonrpc").and_then(Value::as_str);
        let params = message.get("params");
        let in_meta = || params?.get("_meta")?.get(VERSION_META);
        let protocol = params
            .and_then(|p| p.get("protocolVersion"))
            .or_else(in_meta);
        let result = message.contains_key("result");
        let answers = method.is_none() && !id.is_null() && result != message.contains_key("error");
        let mut frame = Self {
            protocol: protocol.and_then(Value::as_str).map(str::to_owned),
            id: if id_sound { id } else { Value::Null },
            method: method.unwrap_or_default().to_owned(),
            answers,
            sound: id_sound
                && (method.is_some() || answers)
                && version == Some("2.0")
                && matches!(params, None | Some(Value::Null | Value::Object(_))),
            ..Self::default()
        };
        if method == Some("tools/call") {
            let name = params.and_then(|p| p.get("name")).and_then(Value::as_str);
            let arguments = params.and_then(|p| p.get("arguments"));
            frame.tool = name.map(str::to_owned);
            frame.actor = arguments.and_then(|a| a.get("actor")).cloned();
            frame.sound &= name.is_some()
                && !frame.id.is_null()
                && matches!(arguments, None | Some(Value::Null | Value::Object(_)));
            if frame.sound {
                frame.plain = message.get_mut("params").and_then(plain);
            }
        }
        frame
    }

    /// What a row says was asked for: the tool by its canonical name, or the method.
    pub fn asked(&self) -> &str {
        match &self.tool {
            Some(name) => super::tools::find(name).map_or(name, |t| t.name),
            None if self.answers => "response",
            None if self.method.is_empty() => "unreadable",
            None => &self.method,
        }
    }
}

/// Takes the arguments out of the parameters of a plain call.
fn plain(params: &mut Value) -> Option<Map<String, Value>> {
    let params = params.as_object_mut()?;
    let known = |key: &String| ["name", "arguments", "_meta"].contains(&key.as_str());
    let meta = match params.get("_meta") {
        None => true,
        Some(meta) => meta
            .as_object()
            .is_some_and(|m| !m.contains_key(VERSION_META)),
    };
    if !meta || !params.keys().all(known) {
        return None;
    }
    match params.get_mut("arguments").map(Value::take) {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(arguments)) => Some(arguments),
        Some(_) => None,
    }
}

/// Reads JSON that nests at most [`MAX_DEPTH`] deep and names no key twice.
pub fn strict(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(0).deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict(usize);

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.0 >= MAX_DEPTH {
            return Err(E::custom("nested more than 64 levels deep"));
        }
        Ok(Self(self.0 + 1))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner)?;
            if out.insert(key, value).is_some() {
                return Err(de::Error::custom("a key is there twice"));
            }
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_with_its_tool_and_actor() {
        let frame = Frame::read(
            br#"{"jsonrpc":"2.0","id":"7","method":"tools/call","params":{"name":"agentkeys_memory_get","arguments":{"actor":"x"}}}"#,
        );
        assert!(frame.sound);
        assert_eq!(frame.asked(), "agentkeys.memory.get");
        assert_eq!((frame.id, frame.actor), ("7".into(), Some("x".into())));
    }

    #[test]
    fn a_call_is_plain_unless_it_asks_more_of_the_protocol_than_its_result() {
        let plain = |params: &str| {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            Frame::read(text.as_bytes()).plain
        };
        let yes = [
            r#"{"name":"x"}"#,
            r#"{"name":"x","arguments":null}"#,
            r#"{"name":"x","arguments":{},"_meta":{"progressToken":1}}"#,
        ];
        for params in yes {
            assert_eq!(plain(params), Some(Map::new()), "{params}");
        }
        let no = [
            r#"{"name":"x","task":{}}"#,
            r#"{"name":"x","requestState":"s"}"#,
            r#"{"name":"x","_meta":null}"#,
            r#"{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
            r#"{"name":"x","arguments":1}"#,
            r#"{"name":1}"#,
        ];
        for params in no {
            assert_eq!(plain(params), None, "{params}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_sound() {
        let bad: &[&str] = &[
            "",
            "{",
            "[]",
            "1",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":"y"}}"#,
        ];
        for text in bad {
            assert!(!Frame::read(text.as_bytes()).sound, "{text}");
        }
    }

    #[test]
    fn a_response_is_told_from_a_request() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"no"}}"#,
        ] {
            let frame = Frame::read(text.as_bytes());
            assert!(frame.sound && frame.answers, "{text}");
            assert_eq!(frame.asked(), "response");
        }
        let asks = Frame::read(br#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#);
        assert!(asks.sound && !asks.answers);
    }

    #[test]
    fn depth_is_bounded_exactly() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(strict(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(strict(nested(MAX_DEPTH + 1).as_bytes()).is_err());
    }
}
