#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::time::Instant;

use proptest::prelude::*;

use super::super::*;
use super::{ask, spend, with};

/// A rule for `n`, spread over vendors, actors, scopes, effects and orders.
fn spread(n: u32) -> String {
    let principal = match n % 3 {
        0 => "principal".to_owned(),
        1 => format!("principal == Vendor::\"v{}\"", n % 5),
        _ => format!("principal is Vendor in Vendor::\"v{}\"", n % 7),
    };
    let action = match n % 4 {
        0 => "action",
        1 => "action == Action::\"memory.read\"",
        2 => "action in [Action::\"memory.read\", Action::\"payment.spend\"]",
        _ => "action == Action::\"payment.spend\"",
    };
    let resource = match n % 5 {
        0..=2 => "resource".to_owned(),
        3 => format!("resource == Actor::\"0x{}\"", n % 2),
        _ => format!("resource in Actor::\"0x{}\"", n % 3),
    };
    let (effect, verdict) = match n % 6 {
        0 => ("forbid", "@verdict(\"ask_parent\")"),
        1 => ("forbid", ""),
        _ => ("permit", ""),
    };
    let condition = match n % 8 {
        0 => format!("context.spent + {} > 0", i64::MAX - i64::from(n)),
        1..=3 => format!("context.hour > {}", n % 24),
        4 => "context has cap && context.cap > 100".to_owned(),
        _ => "context.granted".to_owned(),
    };
    format!(
        "@id(\"r{n}\") @order(\"{}\") {verdict} {effect} ({principal}, {action}, {resource})
         when {{ {condition} }};\n",
        n % 4
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The same question has the same decision: asked twice, with the rules in other files in
    /// another order, and with or without slices.
    #[test]
    fn decisions_do_not_depend_on_files_or_slices(
        rules in proptest::collection::btree_set(0u32..10_000, 0..24),
        questions in proptest::collection::vec(
            (0u32..8, 0u32..4, 0usize..3, any::<bool>(), 0i64..3, 0u8..24), 1..24),
        default in any::<bool>(),
    ) {
        let one: String = rules.iter().copied().map(spread).collect();
        let mut files = vec![("one.cedar".to_owned(), one)];
        if !default {
            files.push(("default.cedar".to_owned(), String::new()));
        }
        let many = rules.iter().rev().enumerate().map(|(at, n)| (format!("m{at}.cedar"), spread(*n)));
        let mut split: Vec<_> = many.collect();
        if !default {
            split.push(("default.cedar".to_owned(), String::new()));
        }
        let compile = |files: &[(String, String)]| {
            let files: Vec<_> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
            PolicyEngine::compile(&with(&files)).unwrap()
        };
        let (first, second) = (compile(&files), compile(&split));
        let whole = compile(&split).unsliced();
        for (vendor, actor, scope, granted, spent, hour) in questions {
            let (vendor, actor) = (format!("v{vendor}"), format!("0x{actor}"));
            let question = Question {
                vendor: &vendor,
                actor: &actor,
                granted,
                spent_minor: spent,
                hour,
                amount: Amount::Minor(30_000),
                ..ask(["memory.read", "payment.spend", "payment.subscribe"][scope])
            };
            let decision = first.decide(&question);
            prop_assert_eq!(&first.decide(&question), &decision);
            prop_assert_eq!(&second.decide(&question), &decision);
            prop_assert_eq!(&whole.decide(&question), &decision);
        }
    }
}

/// `cargo test --lib policy::tests::many::a_thousand_rules -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a test"]
fn a_thousand_rules() {
    let mut schema = PolicySource::builtin().schema().unwrap().to_owned();
    let mut rules = String::new();
    for n in 0..20 {
        let _ = writeln!(
            schema,
            "action \"scope.s{n}\" appliesTo {{ principal: Vendor, resource: Actor, context: Facts }};"
        );
    }
    for n in 0..1000 {
        let action = format!("action == Action::\"scope.s{}\"", n % 20);
        let head = match n % 4 {
            0 => format!("principal == Vendor::\"v{n}\", {action}, resource"),
            1 => format!("principal == Vendor::\"v{n}\", action, resource"),
            2 => format!("principal, {action}, resource == Actor::\"0x{n}\""),
            _ => format!(
                "principal == Vendor::\"magiclick\", {action}, resource == Actor::\"0x{n}\""
            ),
        };
        let _ = writeln!(
            rules,
            "@id(\"r{n}\") forbid ({head}) when {{ context.hour > 22 && context.spent > {n} }};"
        );
    }
    let start = Instant::now();
    let engine =
        PolicyEngine::compile(&with(&[(SCHEMA_FILE, &schema), ("many.cedar", &rules)])).unwrap();
    println!("compile: {:?}", start.elapsed());
    for (name, engine) in [
        ("sliced", engine),
        ("unsliced", {
            PolicyEngine::compile(&with(&[(SCHEMA_FILE, &schema), ("many.cedar", &rules)]))
                .unwrap()
                .unsliced()
        }),
    ] {
        let mut times: Vec<_> = (0..5_000)
            .map(|n| {
                let question = spend(100 + n);
                let start = Instant::now();
                std::hint::black_box(engine.decide(std::hint::black_box(&question)));
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!(
            "{name}: p50 {:?}, p99 {:?}, max {:?}",
            times[2_500], times[4_950], times[4_999]
        );
    }
}
