//! One short text for everything a host is told of the tools, so that two lists can be compared
//! without being kept: a tool that was renamed, reworded or given another schema is another list.

use crate::digest::sha256;
use serde_json::{Map, Value};

/// What a model or a host goes by. Other fields (`_meta`, `icons`) say nothing about what a tool does.
const TOLD: [&str; 6] = [
    "annotations",
    "description",
    "inputSchema",
    "name",
    "outputSchema",
    "title",
];

/// The fingerprint of the tools of one `tools/list`, as its answer has them: SHA-256, in hex, of the
/// list as compact JSON with sorted keys, ordered by name. The order they came in makes no difference.
pub fn of(tools: &[Value]) -> String {
    let mut told: Vec<(&str, String)> = tools
        .iter()
        .map(|t| (name(t), canonical(&kept(t))))
        .collect();
    told.sort_unstable();
    let texts: Vec<&str> = told.iter().map(|(_, text)| text.as_str()).collect();
    hex::encode(sha256(&[format!("[{}]", texts.join(",")).as_bytes()]))
}

fn name(tool: &Value) -> &str {
    tool.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// A tool without what nobody goes by, and without fields that say nothing.
fn kept(tool: &Value) -> Value {
    let mut kept = Map::new();
    for key in TOLD {
        if let Some(value) = tool.get(key).filter(|v| !v.is_null()) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(kept)
}

/// JSON without blanks, its keys in the order of their bytes.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            let member =
                |key: &String| format!("{}:{}", Value::from(key.as_str()), canonical(&map[key]));
            let members: Vec<String> = keys.into_iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::authority::words::HostProfile;
    use crate::mcp::service::listed_to;
    use serde_json::json;

    #[test]
    fn it_is_the_hash_of_the_canonical_text() {
        let tools = [
            json!({"name": "b", "inputSchema": {"type": "object", "a": [1, {"y": 1, "x": "é\n"}]}}),
            json!({"title": null, "_meta": 1, "name": "a"}),
        ];
        let text = r#"[{"name":"a"},{"inputSchema":{"a":[1,{"x":"é\n","y":1}],"type":"object"},"name":"b"}]"#;
        assert_eq!(of(&tools), hex::encode(sha256(&[text.as_bytes()])));
    }

    #[test]
    fn order_makes_no_difference_and_every_word_does() {
        let tools = listed_to(HostProfile::VolcanoArk);
        let mut turned = tools.clone();
        turned.reverse();
        assert_eq!(of(&tools), of(&turned));
        let changed = |pointer: &str, value: Value| {
            let mut tools = tools.clone();
            *tools[1].pointer_mut(pointer).unwrap() = value;
            of(&tools)
        };
        let all = [
            of(&tools),
            of(&tools[1..]),
            of(&listed_to(HostProfile::Default)),
            changed("/name", json!("agentkeys_memory_read")),
            changed("/title", json!("x")),
            changed("/description", json!("x")),
            changed("/inputSchema/required", json!([])),
            changed("/inputSchema/properties/namespace/enum/0", json!("x")),
            changed("/annotations/readOnlyHint", json!(false)),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
