#![allow(clippy::unwrap_used)]
use super::*;

const KEY: &str = "mcp_endpoint";

#[test]
fn a_value_is_replaced_in_its_place_and_nothing_else_moves() {
    for (before, after) in [
        ("mcp_endpoint: old\n", "mcp_endpoint: new\n"),
        (
            "a: 1\nmcp_endpoint: 你的接入点 websocket地址  # 说明\nb: 2",
            "a: 1\nmcp_endpoint: new  # 说明\nb: 2",
        ),
        (
            "mcp_endpoint: \"old\" # x\r\nb: 2\r\n",
            "mcp_endpoint: new # x\r\nb: 2\r\n",
        ),
        ("mcp_endpoint:\nb: 2\n", "mcp_endpoint: new\nb: 2\n"),
        (
            "mcp_endpoint: # later\nb: 2\n",
            "mcp_endpoint: new # later\nb: 2\n",
        ),
        ("\"mcp_endpoint\" : 'old'\n", "\"mcp_endpoint\" : new\n"),
        (
            "mcp_endpoint: 'it''s' # it's\n",
            "mcp_endpoint: new # it's\n",
        ),
        (
            "mcp_endpoint: \"a\\\"b\" # \"\n",
            "mcp_endpoint: new # \"\n",
        ),
        ("\u{feff}mcp_endpoint: old\n", "\u{feff}mcp_endpoint: new\n"),
        ("---\nmcp_endpoint: old\n", "---\nmcp_endpoint: new\n"),
        ("a: 1\n", "a: 1\nmcp_endpoint: new\n"),
        ("a: 1", "a: 1\nmcp_endpoint: new\n"),
        ("a: 1\r\n", "a: 1\r\nmcp_endpoint: new\r\n"),
        ("  a: 1\n", "  a: 1\n  mcp_endpoint: new\n"),
        (
            "a:\n  mcp_endpoint: theirs\n",
            "a:\n  mcp_endpoint: theirs\nmcp_endpoint: new\n",
        ),
        ("# only words\n", "# only words\nmcp_endpoint: new\n"),
        ("", "mcp_endpoint: new\n"),
        (
            "p: |\n  mcp_endpoint: no\n  # no\nq: [1, {a: b}]\n",
            "p: |\n  mcp_endpoint: no\n  # no\nq: [1, {a: b}]\nmcp_endpoint: new\n",
        ),
        (
            "p: >-\n  words\n\n\n",
            "p: >-\n  words\n\n\nmcp_endpoint: new\n",
        ),
    ] {
        assert_eq!(put(before, KEY, "new").unwrap(), after, "{before:?}");
        assert_eq!(put(after, KEY, "new").unwrap(), after, "{before:?}");
        assert_eq!(raw(after, KEY).unwrap(), Some("new"));
    }
}

#[test]
fn a_line_is_removed_whole() {
    for (before, after) in [
        ("a: 1\nmcp_endpoint: x # y\nb: 2\n", "a: 1\nb: 2\n"),
        ("a: 1\r\nmcp_endpoint: x\r\n", "a: 1\r\n"),
        ("a: 1\nmcp_endpoint: x", "a: 1\n"),
        ("\u{feff}mcp_endpoint:\na: 1\n", "\u{feff}a: 1\n"),
        ("a: 1\n", "a: 1\n"),
    ] {
        assert_eq!(remove(before, KEY).unwrap(), after, "{before:?}");
    }
}

#[test]
fn what_was_behind_the_key_comes_back_to_the_byte() {
    for before in [
        "mcp_endpoint: 'old'  # x\n",
        "mcp_endpoint:\n",
        "mcp_endpoint: ~\nb: 1\n",
        "a: 1\nmcp_endpoint:   \"old\"\n",
    ] {
        let was = raw(before, KEY).unwrap().unwrap();
        let after = put(before, KEY, "new").unwrap();
        let back = put(&after, KEY, was).unwrap();
        assert_eq!(back, before);
    }
}

#[test]
fn what_cannot_be_edited_safely_is_refused() {
    for (text, kind) in [
        ("mcp_endpoint: a\nmcp_endpoint: b\n", Kind::DuplicateKey),
        ("mcp_endpoint: |\n  a\n", Kind::Shape),
        ("mcp_endpoint: >-\n  a\n", Kind::Shape),
        ("mcp_endpoint:\n  a\n", Kind::Shape),
        ("mcp_endpoint: [a]\n", Kind::Shape),
        ("mcp_endpoint: &x a\nb: *x\n", Kind::Shape),
        ("a: &x 1\nmcp_endpoint: *x\n", Kind::Shape),
        ("mcp_endpoint: !!str a\n", Kind::Shape),
        ("mcp_endpoint: \"a\n  b\"\n", Kind::Shape),
        ("{a: 1}\n", Kind::Shape),
        ("- a\n", Kind::Shape),
        ("words\n", Kind::Shape),
        ("a: 1\n...\n", Kind::Shape),
        ("a: 1\n---\nb: 2\n", Kind::Shape),
        ("a: \"open\n", Kind::Yaml),
        ("a: 1\n\tb: 2\n", Kind::Yaml),
        ("a: b: c\n", Kind::Yaml),
    ] {
        let got = put(text, KEY, "new");
        assert_eq!(
            got.clone().err().map(|f| f.kind),
            Some(kind),
            "{text:?}: {got:?}"
        );
    }
    let deep = format!("a: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(put(&deep, KEY, "new").unwrap_err().kind, Kind::Yaml);
}

#[test]
fn secrets_are_found_and_plain_values_are_not() {
    let text = "server:\n  ip: 0.0.0.0\n  auth_key: k1\nLLM:\n  a:\n    api_key: \"k2\"\n    url: http://h/v1\nmcp_endpoint: ws://h:1/mcp_endpoint/mcp/?token=k3 # x\nkeys: [k4, k5]\nkeyboard:\n  lang: zh\n# mcp_endpoint: ws://h/mcp/?token=k6 and more\n";
    let hidden: Vec<&str> = secrets(text).into_iter().map(|s| &text[s]).collect();
    assert_eq!(hidden, ["k1", "k2", "token=k3", "k4", "k5", "k6"]);
}

#[test]
fn what_was_commented_out_is_as_secret_as_before() {
    for (comment, hidden) in [
        ("# api_key: sk-1 2  ", vec!["sk-1 2"]),
        ("a: 1 #api_key : \"sk-1\"", vec!["sk-1\""]),
        ("#   Authorization: Bearer sk-1", vec!["sk-1"]),
        (
            "  # export OPENAI_KEY=sk-1 then A_SECRET='2'",
            vec!["sk-1", "2"],
        ),
        ("# ws://h/mcp/?token=k6&x=1 and more", vec!["k6"]),
        ("# 密钥 auth_key：k", vec![]),
        ("# port: 8000, see docs#key: 1", vec!["1"]),
        ("# key:", vec![]),
        ("u: http://h/#token:1 # 8000", vec![]),
    ] {
        let text = format!("{comment}\nb: 2\n");
        let found: Vec<&str> = secrets(&text).into_iter().map(|s| &text[s]).collect();
        assert_eq!(found, hidden, "{comment}");
    }
}
