#![allow(clippy::unwrap_used)]

mod many;
mod mistakes;

use std::collections::HashSet;

use super::*;

const ACTOR: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

fn ask(scope: &str) -> Question<'_> {
    Question {
        vendor: "magiclick",
        rail: "xiaozhi",
        actor: ACTOR,
        scope,
        granted: true,
        namespace: None,
        amount: Amount::Missing,
        currency: "RMB",
        spent_minor: 0,
        cap_minor: Some(50_000),
        hour: 12,
        weekday: 3,
    }
}

fn spend(minor: i64) -> Question<'static> {
    Question {
        amount: Amount::Minor(minor),
        ..ask("payment.spend")
    }
}

fn builtin() -> PolicyEngine {
    PolicyEngine::compile(&PolicySource::builtin()).unwrap()
}

/// The built-in policy with more files, or with some replaced.
fn with(files: &[(&str, &str)]) -> PolicySource {
    let own = PolicySource::builtin();
    let own = own.files().map(|(n, t)| (n.to_owned(), t.to_owned()));
    let more = files
        .iter()
        .map(|(n, t)| ((*n).to_owned(), (*t).to_owned()));
    PolicySource::from_files(own.chain(more).collect::<Vec<_>>())
}

/// One engine serves all requests at once.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<PolicyEngine>();
};

fn words(d: &Decision) -> (Verdict, &str, &str) {
    (d.verdict, &d.reason, &d.explanation)
}

#[test]
fn the_default_policy_passes_its_own_tests() {
    let source = PolicySource::builtin();
    let results = builtin().run_tests(&source);
    assert!(results.len() >= 15);
    for result in &results {
        assert!(result.passed, "{result:?}");
    }
    let verdicts: HashSet<_> = results
        .iter()
        .filter_map(|r| r.got.split(':').next())
        .collect();
    assert_eq!(verdicts, HashSet::from(["accept", "deny", "ask_parent"]));
}

#[test]
fn the_words_of_the_second_act_are_exact() {
    let engine = builtin();
    let refused = engine.decide(&spend(60_000));
    let exceeded = "cap=500, requested=600, period=daily";
    assert_eq!(
        words(&refused),
        (Verdict::Deny, "daily_spend_cap_exceeded", exceeded)
    );
    assert_eq!(refused.policies, ["daily_spend_cap_exceeded"]);
    assert_eq!(refused.obligation, None);

    let accepted = engine.decide(&spend(20_000));
    let within = "amount 200 ≤ daily cap 500";
    assert_eq!(
        words(&accepted),
        (Verdict::Accept, "within_daily_cap", within)
    );
    assert_eq!(
        accepted.obligation,
        Some(Obligation::ReserveDaily {
            amount_minor: 20_000,
            limit_minor: 50_000,
            refused_reason: "daily_spend_cap_exceeded".to_owned(),
            refused_explanation: "cap=500, requested=200, period=daily".to_owned(),
            refused_policies: vec!["daily_spend_cap_exceeded".to_owned()],
        })
    );

    let unknown = engine.decide(&ask("nuke.launch"));
    let no_scope = "nuke.launch is not a scope this policy knows";
    assert_eq!(
        words(&unknown),
        (Verdict::Deny, "scope_not_in_policy_table", no_scope)
    );
    let revoked = Question {
        granted: false,
        ..spend(20_000)
    };
    assert_eq!(engine.decide(&revoked).reason, "scope_not_granted");
    assert_eq!(engine.decide(&ask("memory.read")).obligation, None);
}

#[test]
fn a_refusal_by_policy_is_what_the_ledger_would_have_said() {
    // The ledger refuses with words made when 400 was still free; asked again, the policy agrees.
    let engine = builtin();
    let Some(Obligation::ReserveDaily {
        refused_reason,
        refused_explanation,
        refused_policies,
        ..
    }) = engine.decide(&spend(40_000)).obligation
    else {
        panic!("no reservation");
    };
    let again = engine.decide(&Question {
        spent_minor: 40_000,
        ..spend(40_000)
    });
    assert_eq!(again.reason, refused_reason);
    assert_eq!(again.explanation, refused_explanation);
    assert_eq!(again.policies, refused_policies);
}

#[test]
fn odd_names_are_names_and_nothing_else() {
    let engine = builtin();
    for odd in [
        "payment.spend\" || true || \"",
        "payment.*",
        "*",
        "",
        "Payment.Spend",
        "payment.spend ",
        "payment.spend\0",
        "Action::\"payment.spend\"",
        "ｐayment.spend",
        "\u{202e}dneps.tnemyap",
    ] {
        let decision = engine.decide(&Question {
            scope: odd,
            ..spend(100)
        });
        assert_eq!(decision.verdict, Verdict::Deny, "{odd:?}");
        assert_eq!(decision.reason, "scope_not_in_policy_table", "{odd:?}");
        assert_eq!(
            crate::text::clean(&decision.explanation),
            decision.explanation
        );
        let odd_vendor = Question {
            vendor: odd,
            rail: odd,
            actor: odd,
            ..spend(100)
        };
        let odd_vendor = Question {
            namespace: Some(odd),
            currency: odd,
            ..odd_vendor
        };
        assert_eq!(engine.decide(&odd_vendor).reason, "within_daily_cap");
    }
    let long = "x".repeat(10_000);
    assert!(engine.decide(&ask(&long)).explanation.chars().count() < 120);
}

#[test]
fn a_rule_that_cannot_be_evaluated_denies() {
    // Overflows once something was spent; Cedar alone would skip it and permit.
    let rule = "@id(\"sum\") forbid (principal, action, resource)
        when { context.spent + 9223372036854775807 < 0 };";
    let engine = PolicyEngine::compile(&with(&[("sum.cedar", rule)])).unwrap();
    assert_eq!(engine.decide(&spend(100)).verdict, Verdict::Accept);
    let failed = engine.decide(&Question {
        spent_minor: 1,
        ..spend(100)
    });
    assert_eq!(
        words(&failed),
        (Verdict::Deny, "policy_error", "could not evaluate sum")
    );
    assert_eq!(failed.policies, ["sum"]);
    assert_eq!(failed.obligation, None);
    // Also when a forbid in another slice holds: one answer, whatever the slices.
    let failed = engine.decide(&Question {
        spent_minor: 1,
        ..spend(60_000)
    });
    assert_eq!(failed.reason, "policy_error");
    let overflow = builtin().decide(&Question {
        spent_minor: i64::MAX,
        ..spend(100)
    });
    assert_eq!(overflow.reason, "policy_error");
}

#[test]
fn a_permit_that_reserves_needs_something_to_reserve() {
    let rule = "@id(\"free\") @obligation(\"reserve_daily\") @refusal(\"daily_spend_cap_exceeded\")
        permit (principal, action == Action::\"memory.read\", resource);";
    let engine = PolicyEngine::compile(&with(&[("free.cedar", rule)])).unwrap();
    assert_eq!(engine.decide(&ask("memory.read")).reason, "policy_error");
    // A wider permit beside the reserving one does not lift the reservation.
    let rule = "@id(\"wide\") @order(\"1\") permit (principal, action, resource);";
    let engine = PolicyEngine::compile(&with(&[("wide.cedar", rule)])).unwrap();
    let wide = engine.decide(&spend(100));
    assert_eq!(wide.reason, "wide");
    assert_eq!(wide.policies, ["wide", "within_daily_cap"]);
    assert!(wide.obligation.is_some());
}

#[test]
fn deny_speaks_before_ask_then_order_then_id() {
    let rules = "
        @id(\"ask\") @order(\"1\") @verdict(\"ask_parent\")
        forbid (principal, action == Action::\"memory.read\", resource) when { context.hour >= 20 };
        @id(\"c\") @order(\"7\") @reason(\"the_reason\") @explanation(\"{namespace}: {spent} {currency}\")
        forbid (principal, action == Action::\"memory.read\", resource) when { context.hour >= 21 };
        @id(\"b\") @order(\"7\")
        forbid (principal == Vendor::\"magiclick\", action, resource) when { context.hour >= 22 };
        @id(\"a\") forbid (principal, action, resource) when { context.hour == 23 };";
    let engine = PolicyEngine::compile(&with(&[("night.cedar", rules)])).unwrap();
    let at = |hour| {
        let question = Question {
            hour,
            namespace: Some("travel"),
            ..ask("memory.read")
        };
        engine.decide(&question)
    };
    assert_eq!(at(12).verdict, Verdict::Accept);
    assert_eq!(words(&at(20)), (Verdict::AskParent, "ask", ""));
    assert_eq!(
        words(&at(21)),
        (Verdict::Deny, "the_reason", "travel: 0 RMB")
    );
    assert_eq!(at(21).policies, ["ask", "c"]);
    assert_eq!(at(22).reason, "b");
    assert_eq!(at(23).reason, "b");
    assert_eq!(at(23).policies, ["a", "ask", "b", "c"]);
}

#[test]
fn what_no_rule_permits_is_denied() {
    let schema = PolicySource::builtin().schema().unwrap().to_owned()
        + "action \"door\"; action \"door.open\" in [\"door\"] appliesTo
             { principal: Vendor, resource: Actor, context: Facts };";
    let engine = PolicyEngine::compile(&with(&[(SCHEMA_FILE, &schema)])).unwrap();
    let denied = engine.decide(&ask("door.open"));
    let expected = (
        Verdict::Deny,
        "no_policy_permits",
        "no rule permits door.open",
    );
    assert_eq!(words(&denied), expected);
    // A group is a name for rules, not a scope to ask for; rules on it cover its members.
    assert_eq!(
        engine.decide(&ask("door")).reason,
        "scope_not_in_policy_table"
    );
    let rule = "@id(\"doors\") permit (principal, action in Action::\"door\", resource);";
    let source = with(&[(SCHEMA_FILE, &schema), ("doors.cedar", rule)]);
    let engine = PolicyEngine::compile(&source).unwrap();
    assert_eq!(engine.decide(&ask("door.open")).verdict, Verdict::Accept);
}

#[test]
fn a_source_survives_folder_and_row_and_its_hash_names_it() {
    let source = PolicySource::builtin();
    let row = serde_json::to_string(&source).unwrap();
    assert_eq!(serde_json::from_str::<PolicySource>(&row).unwrap(), source);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tests")).unwrap();
    for (name, text) in source.files() {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("README.md"), "left out").unwrap();
    let read = PolicySource::read_dir(folder.path()).unwrap();
    assert_eq!((&read, read.hash()), (&source, source.hash()));

    let hash = |files: &[(&str, &str)]| {
        let files = files
            .iter()
            .map(|(n, t)| ((*n).to_owned(), (*t).to_owned()));
        PolicySource::from_files(files.collect::<Vec<_>>()).hash()
    };
    assert_ne!(hash(&[("a", "bc")]), hash(&[("ab", "c")]));
    assert_ne!(hash(&[("a", ""), ("b", "")]), hash(&[("a", "b")]));
    assert_eq!(
        hash(&[("a", "1"), ("b", "2")]),
        hash(&[("b", "2"), ("a", "1")])
    );

    std::fs::write(folder.path().join("more.ceder"), "").unwrap();
    let error = PolicySource::read_dir(folder.path()).unwrap_err();
    assert_eq!(
        (error.kind, error.file.as_str()),
        (PolicyErrorKind::Read, "more.ceder")
    );
    for stray in [
        "x.txt",
        "../x.cedar",
        "tests/a/b.json",
        ".cedar",
        "tests/.json",
    ] {
        let error = PolicyEngine::compile(&with(&[(stray, "")])).unwrap_err();
        assert_eq!(error.kind, PolicyErrorKind::Read, "{stray}");
    }
}

#[test]
fn an_explanation_shows_rules_and_inputs() {
    let explained = builtin().explain(&spend(60_000));
    let json = serde_json::to_value(&explained).unwrap();
    assert_eq!(json["verdict"], "deny");
    assert_eq!(json["rules"][0]["id"], "daily_spend_cap_exceeded");
    assert_eq!(json["rules"][0]["file"], "default.cedar");
    assert_eq!(json["rules"][0]["effect"], "forbid");
    assert_eq!(json["rules"][0]["annotations"]["order"], "50");
    let line = usize::try_from(json["rules"][0]["line"].as_u64().unwrap()).unwrap();
    let own = PolicySource::builtin();
    let text = own.rules().next().unwrap().1;
    assert_eq!(
        text.lines().nth(line - 1),
        Some("@id(\"daily_spend_cap_exceeded\")")
    );
    assert_eq!(json["inputs"]["amount"]["minor"], 60_000);
    let inputs: Inputs = serde_json::from_value(json["inputs"].clone()).unwrap();
    assert_eq!(builtin().explain(&inputs.question()), explained);
    assert!(builtin().explain(&ask("nuke.launch")).rules.is_empty());
}
