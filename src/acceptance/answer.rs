//! A JSON-RPC answer as its strictest reader takes it. Where two readers could take different things
//! from the same bytes (a key that is there twice, a second answer in the stream, the answer to
//! another request), what one of them is told is not what was looked at.

use serde_json::Value;

use crate::mcp::frame::strict;

/// What an answer may hold besides its id and version.
const MEMBERS: [&str; 4] = ["jsonrpc", "id", "result", "error"];

/// Reads an answer's body: JSON, or, where `asked` is a JSON-RPC request, the one answer to it.
/// Nothing where the body is empty.
///
/// # Errors
/// What keeps it from being read in one way only.
pub(super) fn read(kind: &str, body: &[u8], asked: &[u8]) -> Result<Value, &'static str> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let asked: Value = serde_json::from_slice(asked).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if asked.get("jsonrpc").is_none() {
        return json(body);
    }
    let answer = match kind.to_ascii_lowercase().as_str() {
        "application/json" => json(body)?,
        "text/event-stream" => event(body)?,
        _ => return Err("it is neither application/json nor text/event-stream"),
    };
    match amiss(&answer, &asked) {
        None => Ok(answer),
        Some(what) => Err(what),
    }
}

/// The first key that an object has besides these, in words.
pub(super) fn besides(object: &Value, known: &[&str]) -> Option<String> {
    let mut keys = object.as_object()?.keys();
    let key = keys.find(|key| !known.contains(&key.as_str()))?;
    Some(format!("there is `{key}` besides"))
}

/// What the result of a tool call has besides what a host needs, where another host, or its model,
/// could read on.
pub(super) fn hidden(result: &Value) -> Option<String> {
    let more = besides(result, &["content", "isError", "structuredContent"]);
    let blocks = result.get("content").and_then(Value::as_array);
    let in_blocks = || {
        let mut blocks = blocks.into_iter().flatten();
        blocks.find_map(|block| besides(block, &["text", "type"]))
    };
    more.or_else(in_blocks)
}

fn json(body: &[u8]) -> Result<Value, &'static str> {
    strict(body).map_err(|_| "it is no JSON, or has a key twice")
}

/// What is wrong with an answer to this request.
fn amiss(answer: &Value, asked: &Value) -> Option<&'static str> {
    let Some(members) = answer.as_object() else {
        return Some("it is no JSON-RPC answer");
    };
    if answer["jsonrpc"] != "2.0" {
        return Some("its `jsonrpc` is not 2.0");
    }
    if members.keys().any(|key| !MEMBERS.contains(&key.as_str())) {
        return Some("it has members that JSON-RPC does not know");
    }
    if members.contains_key("result") == members.contains_key("error") {
        return Some("it has not one of `result` and `error`");
    }
    // Only who could not read which request it is may name none.
    let own = match members.get("id") {
        Some(Value::Null) => members.contains_key("error"),
        id => id == asked.get("id"),
    };
    (!own).then_some("its `id` is not the request's")
}

/// The one answer among the events of a finished stream; notifications may be before it.
fn event(body: &[u8]) -> Result<Value, &'static str> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let (mut data, mut answer) = (Vec::new(), None);
    for line in text.split(['\n', '\r']).chain([""]) {
        if line == "data" {
            data.push("");
        } else if let Some(rest) = line.strip_prefix("data:") {
            data.push(rest.strip_prefix(' ').unwrap_or(rest));
        } else if line.is_empty() && data.iter().any(|d| !d.is_empty()) {
            let message = json(data.join("\n").as_bytes())?;
            let notifies = message.get("method").is_some() && message.get("id").is_none();
            if !notifies && answer.replace(message).is_some() {
                return Err("its stream has more than one answer");
            }
            data.clear();
        }
    }
    answer.ok_or("its stream has no answer")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const ASKED: &[u8] = br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
    const GOOD: &str = r#"{"jsonrpc":"2.0","id":7,"result":1}"#;
    const OTHER: &str = r#"{"jsonrpc":"2.0","id":8,"result":1}"#;

    fn said(body: &str) -> Result<Value, &'static str> {
        read("application/json; charset=utf-8", body.as_bytes(), ASKED)
    }

    fn streamed(body: &str) -> Result<Value, &'static str> {
        read("text/event-stream", body.as_bytes(), ASKED)
    }

    #[test]
    fn an_answer_is_read_in_one_way_only() {
        assert_eq!(said(GOOD).unwrap()["result"], 1);
        assert_eq!(said("").unwrap(), Value::Null);
        let refused = r#"{"jsonrpc":"2.0","id":null,"error":{"code":400}}"#;
        assert_eq!(said(refused).unwrap()["error"]["code"], 400);
        for bad in [
            OTHER,
            "<h1>nginx</h1>",
            "[]",
            r#"{"jsonrpc":"2.0","id":"7","result":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":1}"#,
            r#"{"jsonrpc":"2.0","result":1}"#,
            r#"{"jsonrpc":"2.0","error":{"code":400}}"#,
            r#"{"id":7,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":1,"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":1,"debug":1}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"a":0,"a":1}}"#,
        ] {
            assert!(said(bad).is_err(), "{bad}");
        }
        assert!(read("text/plain", GOOD.as_bytes(), ASKED).is_err());
    }

    #[test]
    fn what_no_host_needs_is_found() {
        let block = json!({"type": "text", "text": "x"});
        let good = json!({"content": [block], "isError": false, "structuredContent": {"a": 1}});
        assert_eq!(hidden(&good), None);
        assert_eq!(hidden(&Value::Null), None);
        let mut of_result = good.clone();
        of_result["_meta"] = json!({});
        let mut of_block = good;
        of_block["content"][0]["annotations"] = json!({});
        assert_eq!(hidden(&of_result).unwrap(), "there is `_meta` besides");
        assert!(hidden(&of_block).unwrap().contains("annotations"));
    }

    #[test]
    fn what_is_no_json_rpc_is_json_without_a_key_twice() {
        let plain = |body: &str| read("application/json", body.as_bytes(), b"{}");
        assert_eq!(plain(r#"{"ok":true}"#).unwrap(), json!({"ok": true}));
        assert!(plain(r#"{"ok":true,"ok":true}"#).is_err());
    }

    #[test]
    fn an_answer_is_found_in_its_event() {
        let note = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
        for good in [
            format!("data: {GOOD}"),
            format!(": hi\n\ndata:\n\nevent: message\ndata: {note}\n\nid: 1\ndata:{GOOD}\n\n"),
            format!("data: {GOOD}\r\n\r\n"),
            "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":7,\"result\":1}\n\n".to_owned(),
        ] {
            assert_eq!(streamed(&good).unwrap()["result"], 1, "{good}");
        }
        for bad in [
            ": nothing\n\n".to_owned(),
            format!("data: {OTHER}\n\n"),
            format!("data: {OTHER}\n\ndata: {GOOD}\n\n"),
            format!("data: {GOOD}\n\ndata: {GOOD}\n\n"),
            format!("data: {{\"id\":1,\"method\":\"x\"}}\n\ndata: {GOOD}\n\n"),
            format!(": hidden\rdata: {OTHER}\r\rdata: {GOOD}\n\n"),
        ] {
            assert!(streamed(&bad).is_err(), "{bad}");
        }
    }
}
