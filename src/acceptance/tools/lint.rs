//! What every host accepts in a tool list; `formats/ark.md` §4 says who rejects what.

use serde_json::Value;

use super::TOOLS;

/// Keywords that some host rejects or drops, wherever they are.
const BANNED: &[&str] = &[
    "$ref",
    "$defs",
    "definitions",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "format",
    "nullable",
];
const TYPES: &[&str] = &["string", "integer", "number", "boolean", "object", "array"];
/// The bound that the strictest model provider sets on names.
const MAX_NAME: usize = 64;

/// Lints a list: a line for the list itself and one for each tool of ours in it, with what is wrong.
pub(super) fn list(tools: &Value, dotted: bool) -> Vec<(String, Option<String>)> {
    let empty = Vec::new();
    let tools = tools.as_array().unwrap_or(&empty);
    let names: Vec<_> = tools.iter().map(name).collect();
    let wanted: Vec<_> = TOOLS
        .iter()
        .map(|t| {
            if dotted {
                (*t).to_owned()
            } else {
                t.replace('.', "_")
            }
        })
        .collect();
    let shown = &names[..names.len().min(2 * wanted.len())];
    let amiss = (names != wanted).then(|| format!("the list has {}: {shown:?}", names.len()));
    let mut out = vec![("names".to_owned(), amiss)];
    // A name that is not ours is told once, above, however many there are.
    for wanted in wanted {
        let mut ours = tools.iter().zip(&names).filter(|(_, n)| **n == wanted);
        if ours.clone().next().is_some() {
            let amiss = ours.find_map(|(t, _)| tool(t));
            out.push((wanted, amiss));
        }
    }
    out
}

fn name(tool: &Value) -> String {
    tool.get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn tool(tool: &Value) -> Option<String> {
    if name(tool).len() > MAX_NAME {
        return Some("its name is longer than 64".to_owned());
    }
    if !bilingual(tool) {
        return Some("its description is not in English and Chinese".to_owned());
    }
    let schema = &tool["inputSchema"];
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Some("its schema is not of type object".to_owned());
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Some("its schema has no properties".to_owned());
    };
    if let Some(key) = banned(schema) {
        return Some(format!("its schema has `{key}`"));
    }
    let wrong = properties.iter().find(|(_, p)| {
        let kind = p.get("type").and_then(Value::as_str);
        !kind.is_some_and(|k| TYPES.contains(&k)) || p.get("properties").is_some()
    });
    if let Some((key, _)) = wrong {
        return Some(format!("`{key}` is not flat, or of no single type"));
    }
    let required = schema.get("required").and_then(Value::as_array);
    let stray = required.into_iter().flatten().find(|r| {
        let name = r.as_str().unwrap_or_default();
        name == "actor" || !properties.contains_key(name)
    });
    stray.map(|name| format!("{name} is required"))
}

fn bilingual(tool: &Value) -> bool {
    let text = tool
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let chinese = text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    chinese && text.chars().filter(char::is_ascii_alphabetic).count() > 10
}

/// A banned keyword anywhere but among the names of properties, which are data.
fn banned(schema: &Value) -> Option<&str> {
    let map = schema.as_object()?;
    map.iter().find_map(|(key, value)| {
        if BANNED.contains(&key.as_str()) {
            return Some(key.as_str());
        }
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties.values().find_map(banned),
            (_, Value::Array(items)) => items.iter().find_map(banned),
            _ => banned(value),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({"name": "a", "description": "Reads what is there. 读取。", "inputSchema": {
            "type": "object", "properties": {"format": {"type": "string"}}, "required": ["format"]}})
    }

    #[test]
    fn what_hosts_reject_is_found() {
        assert_eq!(tool(&good()), None);
        for (pointer, bad) in [
            ("/name", json!("x".repeat(65))),
            ("/description", json!("English only, nothing else")),
            ("/inputSchema/type", json!(["object", "null"])),
            ("/inputSchema/required", json!(["ghost"])),
            (
                "/inputSchema/properties/format",
                json!({"type": ["string", "null"]}),
            ),
            (
                "/inputSchema/properties/format",
                json!({"type": "integer", "format": "uint64"}),
            ),
            (
                "/inputSchema/properties/format",
                json!({"$ref": "#/$defs/x"}),
            ),
            (
                "/inputSchema/properties/format",
                json!({"type": "object", "properties": {}}),
            ),
        ] {
            let mut one = good();
            if let Some(place) = one.pointer_mut(pointer) {
                *place = bad;
            }
            assert!(tool(&one).is_some(), "{one}");
        }
    }

    #[test]
    fn a_list_is_exactly_the_ten() {
        let ten: Vec<_> = TOOLS.iter().map(|n| json!({"name": n})).collect();
        assert_eq!(list(&json!(ten), true)[0].1, None);
        assert!(list(&json!(ten), false)[0].1.is_some());
        assert!(list(&json!(ten[1..]), true)[0].1.is_some());
        assert!(list(&Value::Null, true)[0].1.is_some());
    }

    #[test]
    fn many_tools_and_one_twice_are_told_once() {
        let many: Vec<_> = (0..100_000)
            .map(|n| json!({"name": n.to_string()}))
            .collect();
        let told = list(&json!(many), true);
        assert_eq!(told.len(), 1);
        assert!(told[0].1.as_ref().is_some_and(|t| t.len() < 400));
        let mut one = good();
        one["name"] = TOOLS[0].into();
        let told = list(&json!([one, {"name": TOOLS[0]}]), true);
        assert_eq!(told.len(), 2);
        assert!(told[1].1.is_some());
    }
}
