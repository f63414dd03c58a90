//! One short text for everything a host is told of the tools, so that two lists can be compared
//! without being kept: a tool that was renamed, reworded or given another schema is another list.

use crate::digest::sha256;
use serde_json::{Value, json};

/// The fingerprint of the tools of one `tools/list`, as its answer has them: SHA-256, in hex, of the
/// list as compact JSON with sorted keys, ordered by name. The order they came in makes no difference;
/// whatever a tool has counts, since some host may show it to a model.
pub fn of(tools: &[Value]) -> String {
    let mut told: Vec<(&str, String)> = tools.iter().map(|t| (name(t), canonical(t))).collect();
    told.sort_unstable();
    let texts: Vec<&str> = told.iter().map(|(_, text)| text.as_str()).collect();
    hex::encode(sha256(&[format!("[{}]", texts.join(",")).as_bytes()]))
}

/// The fingerprint of all that models are told: the list with `{"instructions": …}` before it.
pub fn told(instructions: &str, tools: &[Value]) -> String {
    let mut all = tools.to_vec();
    all.push(json!({"instructions": instructions}));
    of(&all)
}

fn name(tool: &Value) -> &str {
    tool.get("name").and_then(Value::as_str).unwrap_or_default()
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

    #[test]
    fn it_is_the_hash_of_the_canonical_text() {
        let tools = [
            json!({"name": "b", "inputSchema": {"type": "object", "a": [1, {"y": 1, "x": "é\n"}]}}),
            json!({"title": null, "_meta": 1, "name": "a"}),
        ];
        let text = r#"[{"_meta":1,"name":"a","title":null},{"inputSchema":{"a":[1,{"x":"é\n","y":1}],"type":"object"},"name":"b"}]"#;
        assert_eq!(of(&tools), hex::encode(sha256(&[text.as_bytes()])));
        let text = text.replacen('[', r#"[{"instructions":"do"},"#, 1);
        assert_eq!(told("do", &tools), hex::encode(sha256(&[text.as_bytes()])));
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
        let with = |key: &str| {
            let mut tools = tools.clone();
            tools[1][key] = json!({"x": 1});
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
            with("_meta"),
            with("icons"),
            with("parameters"),
            told("", &tools),
            told("x", &tools),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
