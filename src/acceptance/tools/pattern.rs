//! Answers against patterns: JSON whose strings `<…>` stand for a kind of value, and sentences
//! whose `*` stands for anything.

use std::collections::HashMap;

use serde_json::Value;

/// Where `got` differs from the pattern, and how; nothing when it fits.
pub(super) fn differs(wanted: &Value, got: &Value, at: &str) -> Option<String> {
    let place = if at.is_empty() { "the answer" } else { at };
    match (wanted, got) {
        (Value::String(kind), _) if kind.starts_with('<') => {
            (!is_kind(kind, got)).then(|| format!("{place} is no {kind}"))
        }
        (Value::Object(wanted), Value::Object(got)) => {
            let more = got.keys().find(|k| !wanted.contains_key(*k));
            if let Some(key) = more {
                return Some(format!("{place} has `{key}`"));
            }
            wanted.iter().find_map(|(key, wanted)| {
                let Some(got) = got.get(key) else {
                    return Some(format!("{place} lacks `{key}`"));
                };
                differs(wanted, got, &format!("{at}/{key}"))
            })
        }
        _ => (wanted != got).then(|| format!("{place} is not {wanted}")),
    }
}

fn is_kind(kind: &str, got: &Value) -> bool {
    let text = got.as_str();
    match kind {
        "<any>" => true,
        "<whole>" => got.is_u64(),
        "<list>" => got.is_array(),
        "<text>" => text.is_some_and(|t| !t.is_empty()),
        "<time>" => text.is_some_and(|t| t.parse::<jiff::Timestamp>().is_ok()),
        _ => false,
    }
}

/// Puts what earlier answers told in place of `$name`.
pub(super) fn fill(value: &mut Value, known: &HashMap<&'static str, Value>) {
    match value {
        Value::String(name) => {
            if let Some(told) = known.get(name.as_str()) {
                *value = told.clone();
            }
        }
        Value::Object(map) => map.values_mut().for_each(|v| fill(v, known)),
        _ => {}
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_fit_exactly() {
        let wanted = json!({"ok": true, "n": "<whole>", "at": "<time>", "in": {"x": "<any>"}});
        let good = json!({"ok": true, "n": 3, "at": "2026-01-01T00:00:00Z", "in": {"x": null}});
        assert_eq!(differs(&wanted, &good, ""), None);
        for (pointer, bad) in [
            ("/ok", json!(1)),
            ("/n", json!("3")),
            ("/at", json!("soon")),
            ("/in", json!({})),
        ] {
            let mut other = good.clone();
            if let Some(place) = other.pointer_mut(pointer) {
                *place = bad;
            }
            assert!(differs(&wanted, &other, "").is_some(), "{pointer}");
        }
        let mut more = good;
        more["z"] = json!(1);
        assert!(differs(&wanted, &more, "").is_some());
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, fits) in [
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("*b*", "abc", true),
            ("Memory travel v*: 火锅", "Memory travel v12: 火锅", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
