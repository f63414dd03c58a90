#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn put(text: &str) -> String {
    let root = parse(text).unwrap();
    let member = render(text, &root, "z", &json!({"a": 1, "b": [1, 2]}));
    append(text, &root, &member)
}

#[test]
fn a_member_is_appended_in_the_layout_that_is_there() {
    for (before, after) in [
        (
            "{}",
            "{\n  \"z\": {\n    \"a\": 1,\n    \"b\": [\n      1,\n      2\n    ]\n  }\n}",
        ),
        ("{\"x\":1}", "{\"x\":1,\"z\":{\"a\":1,\"b\":[1,2]}}"),
        (
            "{ \"x\": 1 }",
            "{ \"x\": 1, \"z\": {\"a\": 1, \"b\": [1, 2]} }",
        ),
        (
            "{\r\n\t\"x\" : 1\r\n}",
            "{\r\n\t\"x\" : 1,\r\n\t\"z\": {\r\n\t\t\"a\": 1,\r\n\t\t\"b\": [\r\n\t\t\t1,\r\n\t\t\t2\r\n\t\t]\r\n\t}\r\n}",
        ),
    ] {
        assert_eq!(put(before), after);
    }
}

#[test]
fn a_member_is_removed_with_its_comma_and_nothing_else() {
    for (before, name, after) in [
        ("{\"a\": 1 , \"b\": 2}", "a", "{\"b\": 2}"),
        ("{\"a\": 1 , \"b\": 2 }", "b", "{\"a\": 1 }"),
        ("{ \"a\": 1 }", "a", "{}"),
        ("{\n \"a\": 1,\n \"b\": 2\n}\n", "b", "{\n \"a\": 1\n}\n"),
        ("{\"a\": 1}", "x", "{\"a\": 1}"),
    ] {
        assert_eq!(remove(before, &parse(before).unwrap(), name), after);
    }
}

#[test]
fn what_a_strict_parser_refuses_is_refused_by_name() {
    for (text, kind, words) in [
        ("", Kind::Empty, "empty"),
        (" \n", Kind::Empty, "empty"),
        ("\u{feff}{}", Kind::ByteOrderMark, "byte-order"),
        ("{\n// x\n}", Kind::Comments, "line 2"),
        ("{/* x */}", Kind::Comments, "line 1"),
        ("{\"a\": 1,}", Kind::TrailingComma, "line 1"),
        ("{\"a\": [1,]}", Kind::TrailingComma, "line 1"),
        ("{'a': 1}", Kind::Json, "Single-quoted"),
        ("{a: 1}", Kind::Json, ""),
        ("{\"a\": NaN}", Kind::Json, ""),
        ("{\"a\": 0x1}", Kind::Json, ""),
        ("{\"a\": \"\t\"}", Kind::Json, ""),
        ("{\"a\": \"\\x41\"}", Kind::Json, ""),
        ("{} {}", Kind::Json, ""),
        ("{\"a\": 1", Kind::Json, ""),
        ("[]", Kind::Shape, "object"),
        ("{\"a\": 1, \"a\": 2}", Kind::DuplicateKey, "`a`"),
        ("{\"a\": 1, \"\\u0061\": 2}", Kind::DuplicateKey, "`a`"),
        (
            "{\"x\": [\n{\"a\": 1,\n \"a\": 2}]}",
            Kind::DuplicateKey,
            "line 3",
        ),
    ] {
        let flaw = parse(text).unwrap_err();
        assert_eq!(flaw.kind, kind, "{text}: {flaw:?}");
        assert!(flaw.cause.contains(words), "{text}: {flaw:?}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse(&deep).unwrap_err().kind, Kind::Json);
}

#[test]
fn secrets_are_found_and_plain_values_are_not() {
    let text = r#"{"u": "http://h/mcp?token=t1", "w": "ws://u:p1@h/", "n": "plain",
        "headers": {"X-Any": "s1", "Authorization": "Bearer s2", "X-AgentKeys-Actor": "O_k"},
        "env": {"A": ["s3", 7]}, "API_ACCESS_TOKEN": "s4",
        "agentkeys": {"url": "http://h/mcp", "transport": "http"}}"#;
    let hidden: Vec<&str> = secrets(text).into_iter().map(|s| &text[s]).collect();
    assert_eq!(hidden, ["token=t1", "u:p1@h/", "s1", "s2", "s3", "7", "s4"]);
    assert_eq!(secrets("{broken"), vec![0.."{broken".len()]);
}

fn objects() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let any = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,6}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[a-y]{1,3}", any, 0..4)
        .prop_map(|m| Value::Object(m.into_iter().collect()))
}

proptest! {
    /// Whatever is there, in either layout: what was put in comes out, and nothing else moves.
    #[test]
    fn what_is_appended_is_removed_to_the_byte(value in objects(), pretty: bool) {
        let before = if pretty { written(&value, PrettyFormatter::with_indent(b"\t")) } else { value.to_string() };
        let after = put(&before);
        let mut wanted = value.clone();
        wanted["z"] = json!({"a": 1, "b": [1, 2]});
        prop_assert_eq!(serde_json::from_str::<Value>(&after).unwrap(), wanted);
        let back = remove(&after, &parse(&after).unwrap(), "z");
        prop_assert_eq!(back, before);
    }
}
