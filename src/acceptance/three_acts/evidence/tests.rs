#![allow(clippy::unwrap_used)]
use super::*;
use crate::acceptance::three_acts::STEPS;
use serde_json::json;
use std::time::Duration;

fn lines(texts: &[&str]) -> Lines {
    let told = |text: &&str| json!({"event": "call", "ok": true, "text": text, "ms": 3});
    let mut lines = vec![json!({"event": "connect"})];
    lines.extend(texts.iter().map(told));
    lines
}

fn row(tool: &str, verdict: &str, more: &Value) -> Event {
    let mut row = json!({"tool": tool, "verdict": verdict});
    for (key, value) in more.as_object().unwrap() {
        row[key] = value.clone();
    }
    Event(row)
}

const TRAVEL: &str = "Memory travel v1: Chengdu trip — Apr 12 to 16, hotpot at Yulin.";
const FAMILY: &str = "deny: namespace_violation (family is not allowed here)";
const PERSONAL: &str = "deny: namespace_violation (personal is not allowed here)";

fn reads() -> Vec<Event> {
    let read = |namespace: &str, verdict| row(GET, verdict, &json!({"namespace": namespace}));
    vec![
        read("travel", "accept"),
        read("family", "deny"),
        read("personal", "deny"),
    ]
}

fn failed(all: &[Assertion]) -> Vec<&'static str> {
    assert!(all.iter().all(|a| STEPS.contains(&a.id)));
    all.iter().filter(|a| !a.holds).map(|a| a.id).collect()
}

fn act_one(texts: &[&str], rows: &[Event]) -> Vec<&'static str> {
    let said = said(&lines(texts));
    failed(&Memories { said: &said, rows }.judge())
}

#[test]
fn act_one_holds_to_the_word_and_to_the_row() {
    assert!(act_one(&[TRAVEL, FAMILY, PERSONAL], &reads()).is_empty());
    let other = TRAVEL.replace("16", "17");
    assert_eq!(
        act_one(&[&other, FAMILY, PERSONAL], &reads()),
        ["act1.travel_remembered"]
    );
    let telling =
        "deny: namespace_violation (family is not allowed here) though there is something";
    assert_eq!(
        act_one(&[TRAVEL, telling, PERSONAL], &reads()),
        ["act1.family_withheld"]
    );
    assert_eq!(
        act_one(&[TRAVEL, FAMILY], &reads()),
        ["act1.personal_withheld"]
    );
    let mut twice = reads();
    twice.push(twice[2].clone());
    assert_eq!(
        act_one(&[TRAVEL, FAMILY, PERSONAL], &twice),
        ["act1.one_row_each"]
    );
    assert_eq!(
        act_one(&[TRAVEL, FAMILY, PERSONAL], &reads()[..2]),
        ["act1.one_row_each"]
    );
}

/// The sentence is right, and beside it is what nobody granted.
#[test]
fn what_is_beside_a_sentence_is_named() {
    let mut lines = lines(&[TRAVEL, FAMILY, PERSONAL]);
    lines[2]["result"] = json!({"content": [{"type": "text", "text": FAMILY}]});
    let judged = |lines: &Lines| {
        let said = said(lines);
        let rows = &reads();
        failed(&Memories { said: &said, rows }.judge())
    };
    assert!(judged(&lines).is_empty());
    lines[2]["result"]["_meta"] = json!({"family": "x"});
    assert_eq!(judged(&lines), ["act1.family_withheld"]);
}

fn checks() -> Vec<Event> {
    let check = |verdict, reason: &str, decision: &str| {
        row(
            CHECK,
            verdict,
            &json!({"reason": reason, "decision_id": decision, "amount_minor": 1}),
        )
    };
    vec![
        check("deny", "daily_spend_cap_exceeded", "dec_1"),
        check("accept", "within_daily_cap", "dec_2"),
        check("accept", "within_daily_cap", "dec_3"),
        check("deny", "daily_spend_cap_exceeded", "dec_4"),
        check("deny", "scope_not_in_policy_table", "dec_5"),
    ]
}

const HEARD: [&str; 5] = [
    "deny: daily_spend_cap_exceeded (cap=500, requested=600, period=daily)",
    "accept: within_daily_cap (amount 200 ≤ daily cap 500)",
    "accept: within_daily_cap (amount 400 ≤ daily cap 500)",
    "deny: daily_spend_cap_exceeded (cap=500, requested=400, period=daily)",
    "deny: scope_not_in_policy_table (nuke.launch is not in the policy)",
];

fn act_two(texts: &[&str], rows: &[Event], freed: Option<AcceptError>) -> Vec<&'static str> {
    let said = said(&lines(texts));
    let said = &said;
    failed(&Spending { said, rows, freed }.judge())
}

#[test]
fn act_two_wants_each_verdict_with_its_numbers() {
    assert!(act_two(&HEARD, &checks(), None).is_empty());
    let with = |at: usize, text: &'static str| {
        let mut heard = HEARD;
        heard[at] = text;
        act_two(&heard, &checks(), None)
    };
    let cap = "deny: daily_spend_cap_exceeded (cap=5000, requested=600, period=daily)";
    assert_eq!(with(0, cap), ["act2.600_denied"]);
    assert_eq!(with(1, HEARD[0]), ["act2.200_accepted"]);
    assert_eq!(with(2, HEARD[3]), ["act2.400_then_400_denied"]);
    assert_eq!(with(3, HEARD[2]), ["act2.400_then_400_denied"]);
    assert_eq!(with(4, HEARD[0]), ["act2.unknown_scope"]);
    assert_eq!(act_two(&HEARD, &checks()[..4], None), ["act2.one_row_each"]);
    let held = AcceptError::protocol("a release", "{}");
    assert_eq!(
        act_two(&HEARD, &checks(), Some(held)),
        ["act2.400_then_400_denied"]
    );
}

#[test]
fn what_was_accepted_is_what_is_held() {
    assert_eq!(reservations(&checks()), ["dec_2", "dec_3"]);
    assert!(released(&json!({"state": "released"})).is_ok());
    assert!(released(&json!({})).is_err());
}

#[test]
fn a_cap_must_have_been_live_and_is_never_shown() {
    let sentence = "Capability cap_1 for payment_spend holds until 2026-01-01T00:00:00Z: aa.bb.cc";
    let minted_lines = lines(&[sentence]);
    let found = cap(&minted_lines);
    assert_eq!(found.text, "aa.bb.cc");
    let reply = |active: bool| Reply {
        json: json!({"active": active}),
        ..Reply::default()
    };
    let good = minted(&minted_lines, &found, &reply(true));
    assert!(good.holds && !good.got.contains("aa.bb.cc"));
    let dead = minted(&minted_lines, &found, &reply(false));
    assert!(!dead.holds && !dead.got.contains("aa.bb.cc"));
    let denied = lines(&[HEARD[0]]);
    assert!(!minted(&denied, &cap(&denied), &reply(true)).holds);
}

#[test]
fn act_three_is_over_for_all_that_came_before() {
    assert!(revoked(Ok(&json!({"scopes": ["memory.read"]}))).holds);
    assert!(!revoked(Ok(&json!({"scopes": ["payment.spend"]}))).holds);
    assert!(!revoked(Ok(&json!({}))).holds);
    assert!(next_denied(&lines(&["deny: scope_not_granted (x)"])).holds);
    assert!(!next_denied(&lines(&[HEARD[1]])).holds);
    let redeemed = |status: u16, code: &str| Reply {
        status,
        json: json!({"error": {"data": {"code": code}}}),
        ..Reply::default()
    };
    assert!(cap_dead(&redeemed(403, "agentkeys.cap.revoked")).holds);
    assert!(!cap_dead(&redeemed(403, "agentkeys.cap.expired")).holds);
    assert!(!cap_dead(&redeemed(200, "")).holds);
    let now = Instant::now();
    let later = now + Duration::from_millis(40);
    assert!(in_feed([(Some(later), now), (Some(now), later)]).holds);
    assert!(!in_feed([(None, now), (Some(now), now)]).holds);
}

#[test]
fn restored_is_what_the_host_hears_again() {
    let id = "restore.grants";
    let now = || Ok(said(&lines(&["a"])));
    assert!(as_before(id, "a", now(), 0).holds);
    assert!(!as_before(id, "b", now(), 0).holds);
    assert!(!as_before(id, "a", now(), 1).holds);
    let whoami = "You act for x. May read a; may write b; scopes memory.read, payment.spend";
    let same = || as_before(id, whoami, Ok(said(&lines(&[whoami]))), 0);
    for (scope, holds) in [("payment.spend", true), ("payment", false), ("a", false)] {
        assert_eq!(granted(&[scope.to_owned()], same()).holds, holds, "{scope}");
    }
    let error = AcceptError::Interrupted;
    assert!(!as_before(id, "a", Err(&error), 0).holds);
    assert!(!unless(Some(error), as_before(id, "a", now(), 0)).holds);
}
