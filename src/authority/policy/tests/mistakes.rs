#![allow(clippy::unwrap_used)]

use super::super::*;
use super::{builtin, with};

#[test]
fn mistakes_are_told_with_file_and_line() {
    let rule = |text: &str| format!("// one\n// two\n{text}\n");
    let plain = "forbid (principal, action, resource) when { context.hour > 22 };";
    for (text, line, words) in [
        ("@id(\"x\") forbid (principal, action, resource", Some(3), "end of input"),
        ("@id(\"x\") forbid (principal, action, resource) when { context.hors > 22 };", Some(3), "hors"),
        ("@id(\"x\") forbid (principal, action, resource) when { context.cap > 22 };", Some(3), "cap"),
        ("@id(\"x\") forbid (principal, action == Action::\"nuke\", resource);", Some(3), "nuke"),
        ("@id(\"x\") forbid (principal, action, resource) when { context.hour == \"22\" };", Some(3), "types"),
        ("@id(\"x\") forbid (principal, action, resource) when { false };", Some(3), "impossible"),
        ("@id(\"x\") forbid (principal in Actor::\"x\", action, resource);", Some(3), "x"),
        ("@id(\"x\") forbid (principal == ?principal, action, resource);", Some(3), "template"),
        (plain, Some(3), "no @id"),
        (&format!("@id(\"a b\") {plain}"), Some(3), "no @id"),
        (&format!("@id(\"no_daily_cap\") {plain}"), Some(3), "default.cedar"),
        (&format!("@id(\"x\") @verdct(\"ask_parent\") {plain}"), Some(3), "@verdct"),
        (&format!("@id(\"x\") @verdict(\"ask\") {plain}"), Some(3), "unknown"),
        ("@id(\"x\") @verdict(\"ask_parent\") permit (principal, action, resource);", Some(3), "permit"),
        (&format!("@id(\"x\") @order(\"1.5\") {plain}"), Some(3), "whole number"),
        (&format!("@id(\"x\") @reason(\"a sentence\") {plain}"), Some(3), "@reason"),
        (&format!("@id(\"x\") @explanation(\"{{who}}\") {plain}"), Some(3), "{who}"),
        (&format!("@id(\"x\") @explanation(\"{{cap\") {plain}"), Some(3), "brace"),
        (&format!("@id(\"x\") @explanation(\"cap}}\") {plain}"), Some(3), "brace"),
        (&format!("@id(\"x\") @explanation(\"a\\nb\") {plain}"), Some(3), "one line"),
        (&format!("@id(\"x\") @obligation(\"pay\") {plain}"), Some(3), "unknown"),
        (&format!("@id(\"x\") @refusal(\"y\") {plain}"), Some(3), "without"),
        (&format!("@id(\"x\") @obligation(\"reserve_daily\") @refusal(\"y\") {plain}"), Some(3), "forbid"),
        ("@id(\"x\") @obligation(\"reserve_daily\") permit (principal, action, resource);", Some(3), "@refusal"),
        (
            "@id(\"x\") @obligation(\"reserve_daily\") @refusal(\"y\") permit (principal, action, resource);",
            Some(3),
            "not the @id",
        ),
        (
            "@id(\"x\") @obligation(\"reserve_daily\") @refusal(\"subscription_needs_parent\")
             permit (principal, action, resource);",
            Some(3),
            "not the @id",
        ),
        (
            "@id(\"x\") @obligation(\"reserve_daily\") @refusal(\"y\") permit (principal, action, resource);
             @id(\"y\") @explanation(\"{spent}\") forbid (principal, action, resource) when { context.hour > 22 };",
            Some(4),
            "{spent}",
        ),
    ] {
        let Err(error) = PolicyEngine::compile(&with(&[("x.cedar", &rule(text))])) else {
            panic!("it loads: {text}");
        };
        assert!(error.what.contains(words), "{text}\n{error}");
        assert_eq!((error.file.as_str(), error.line), ("x.cedar", line), "{text}\n{error}");
        assert!(!error.fix.is_empty());
    }
}

#[test]
fn a_schema_that_asks_for_what_is_never_sent_is_refused() {
    let own = PolicySource::builtin().schema().unwrap().to_owned();
    for (from, to, words) in [
        (
            "entity Vendor;",
            "entity Vendor { trusted?: Bool };",
            "Vendor",
        ),
        ("entity Vendor;", "entity Vendor in [Actor];", "Vendor"),
        ("entity Actor;", "entity Actor tags String;", "Actor"),
        ("entity Actor;", "entity Actor; entity Group;", "Group"),
        ("entity Actor;", "", "Actor"),
        ("entity Actor;", "entity Actor; type Long = String;", "Long"),
        ("  rail: String,", "  rail: String, mood?: String,", "mood"),
        ("  cap?: Long,", "  cap: Long,", "cap"),
        ("  hour: Long,", "  hour: String,", "hour"),
        ("\"payment.spend\", ", "", "payment.spend"),
        ("\"payment.subscribe\"", "\"payment.*\"", "payment.*"),
        ("\"payment.subscribe\"", "\"Pay\"", "Pay"),
        (
            "type Facts = {",
            "type Facts = { a: { b: Bool },",
            "Facts.a",
        ),
        ("context: Facts,\n};", "context: {},\n};", "apply"),
        ("principal: Vendor,", "principal: [Vendor, Actor],", "apply"),
        ("entity Vendor;", "entity Vendor", "unexpected"),
    ] {
        assert!(own.contains(from), "{from}");
        let schema = own.replace(from, to);
        let error = PolicyEngine::compile(&with(&[(SCHEMA_FILE, &schema)])).unwrap_err();
        assert_eq!(error.kind, PolicyErrorKind::Schema, "{to}: {error}");
        assert!(error.what.contains(words), "{to}: {error}");
    }
    // A policy from before a fact was added still loads.
    let older = own.replace("  weekday: Long,\n", "");
    assert!(PolicyEngine::compile(&with(&[(SCHEMA_FILE, &older)])).is_ok());
}

#[test]
fn wrong_test_files_do_not_pass() {
    let engine = builtin();
    let ok = r#"[{"name":"n","question":{"scope":"memory.read","granted":true},
        "expect":{"verdict":"accept","reason":"default_allow_memory"}}]"#;
    for (from, to, got) in [
        ("\"granted\"", "\"grantd\"", "grantd"),
        ("\"reason\"", "\"why\":1,\"reason\"", "why"),
        ("\"name\"", "\"nam\"", "nam"),
        ("accept", "maybe", "maybe"),
        ("true", "true,\"hour\":24", "hour"),
        ("true", "true,\"cap\":\"1.005\"", "cap"),
        ("true", "false", "scope_not_granted"),
    ] {
        let text = ok.replacen(from, to, 1);
        let source = PolicySource::from_files([("tests/x.json".to_owned(), text)]);
        let results = engine.run_tests(&source);
        assert_eq!(results.len(), 1);
        assert!(
            !results[0].passed && results[0].got.contains(got),
            "{results:?}"
        );
    }
    let source = PolicySource::from_files([("tests/x.json".to_owned(), ok.to_owned())]);
    assert!(engine.run_tests(&source)[0].passed);
}
