//! The same tools as the two rails' hosts hear them.

use serde_json::{Value, json};

use super::{
    ALLOWED, CHECK, Case, From, GET, LINE, NOT_ALLOWED, PUT, SPENDABLE, TOO_MUCH, Table, WHOAMI,
};
use super::{memory, verdict, violation};
use crate::acceptance::kit::Kit;

/// What Ark gets: structured answers under names with underscores, and fewer rights.
pub(super) fn ark(kit: &Kit) -> Vec<Case> {
    let mut t = Table::new(From::Second, &kit.actors.main.alias);
    let travel = kit.memories.travel.as_str();
    t.json(
        "memory.get",
        GET,
        json!({"namespace": "travel"}),
        memory(travel),
        ALLOWED,
    );
    t.json(
        "memory.get.denied",
        GET,
        json!({"namespace": "personal"}),
        violation("personal", false),
        NOT_ALLOWED,
    );
    let put = json!({"namespace": "travel", "content": "x"});
    t.json(
        "memory.put.denied",
        PUT,
        put,
        violation("travel", true),
        NOT_ALLOWED,
    );
    let check = json!({"scope": "payment.spend", "params": {"amount_rmb": 1}});
    let denied = verdict("deny", "payment.spend", "scope_not_granted", "<any>");
    t.json(
        "permission.check.denied",
        CHECK,
        check,
        denied,
        ("deny", "scope_not_granted"),
    );
    t.previews();
    t.cases
}

/// What xiaozhi-server gets: one sentence each.
pub(super) fn xiaozhi(kit: &Kit) -> Vec<Case> {
    let mut t = Table::new(From::First, &kit.actors.main.alias);
    let travel = kit.memories.travel.as_str();
    let spend = |amount: Value| json!({"scope": "payment.spend", "params": {"amount_rmb": amount}});
    let get = |namespace: &str| json!({"namespace": namespace});
    let omni = &kit.actors.main.actor_omni;
    t.said(
        "identity.whoami",
        WHOAMI,
        json!({}),
        format!("*{omni}*"),
        ("accept", "identity_told"),
    );
    t.said(
        "memory.get",
        GET,
        get("travel"),
        format!("Memory travel v*: {travel}"),
        ALLOWED,
    );
    t.said(
        "memory.get.denied",
        GET,
        get("family"),
        "deny: *",
        NOT_ALLOWED,
    );
    let put = |content: &str| json!({"namespace": "travel", "content": content});
    t.said("memory.put", PUT, put(LINE), "*", ALLOWED);
    t.said(
        "memory.get.written",
        GET,
        get("travel"),
        format!("Memory travel v*: {LINE}"),
        ALLOWED,
    );
    t.said("memory.put.restored", PUT, put(travel), "*", ALLOWED);
    let small = "accept: within_daily_cap (amount 0.01 ≤ daily cap 500)";
    t.said(
        "permission.check",
        CHECK,
        spend(json!("0.01")),
        small,
        SPENDABLE,
    );
    let large = "deny: daily_spend_cap_exceeded (cap=500, requested=600, period=daily)";
    t.said(
        "permission.check.denied",
        CHECK,
        spend(json!(600)),
        large,
        TOO_MUCH,
    );
    t.previews();
    let mut cases = t.cases;
    let mut empty = Table::new(From::First, &kit.actors.first_only.alias);
    empty.said(
        "memory.get.never_written",
        GET,
        get("travel"),
        "Memory travel v0: ",
        ALLOWED,
    );
    cases.extend(empty.cases);
    cases
}
