//! What an answer must not hold anywhere: the memories that no vendor of the kit was granted.

use serde_json::Value;

use crate::acceptance::client::Reply;
use crate::acceptance::kit::Memories;

/// How often JSON may be a text within JSON, as a tool's answer is.
const WITHIN: usize = 4;

/// Which of them an answer holds: in its headers, its bytes as they came, or in any text of its JSON.
pub(super) fn found(memories: &Memories, reply: &Reply, body: &[u8]) -> Option<String> {
    let withheld = [
        ("personal", &memories.personal),
        ("family", &memories.family),
        ("work", &memories.work),
    ];
    let leaked = withheld.into_iter().find(|(_, memory)| {
        let mut headers = reply.headers.values().map(http::HeaderValue::as_bytes);
        headers.any(|value| has(value, memory)) || has(body, memory) || said(&reply.json, memory, 0)
    });
    leaked
        .map(|(name, _)| format!("an answer that holds the memory `{name}`, which nobody granted"))
}

fn has(bytes: &[u8], memory: &str) -> bool {
    !memory.is_empty() && bytes.windows(memory.len()).any(|w| w == memory.as_bytes())
}

fn said(value: &Value, memory: &str, depth: usize) -> bool {
    match value {
        Value::String(text) => {
            has(text.as_bytes(), memory)
                || (depth < WITHIN
                    && serde_json::from_str::<Value>(text)
                        .is_ok_and(|inner| said(&inner, memory, depth + 1)))
        }
        Value::Array(items) => items.iter().any(|item| said(item, memory, depth)),
        Value::Object(map) => map
            .iter()
            .any(|(key, item)| has(key.as_bytes(), memory) || said(item, memory, depth)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_memory_is_found_wherever_it_is() {
        let memories = Memories {
            personal: "个人".to_owned(),
            family: "家人 \"a\"".to_owned(),
            work: "at work".to_owned(),
            travel: "旅行".to_owned(),
        };
        let of = |json: Value, body: &str| {
            let reply = Reply {
                json,
                ..Reply::default()
            };
            found(&memories, &reply, body.as_bytes())
        };
        assert_eq!(of(json!({"result": "旅行"}), "旅行"), None);
        let escaped = json!({"text": "{\"content\":\"\\u5bb6\\u4eba \\\"a\\\"\"}"});
        for json in [
            json!([{"_meta": {"x": "… 个人"}}]),
            json!({"at work": 1}),
            escaped,
        ] {
            assert!(of(json.clone(), "").is_some(), "{json}");
        }
        assert!(
            of(Value::Null, "<p>at work</p>")
                .unwrap()
                .contains("`work`")
        );
        let mut reply = Reply::default();
        let value = http::HeaderValue::from_bytes("个人".as_bytes()).unwrap();
        reply.headers.insert("x-debug", value);
        assert!(found(&memories, &reply, b"").is_some());
    }
}
