//! What is asked of each tool and what it answers, as a table.

mod hosts;

use serde_json::{Value, json};

use crate::acceptance::kit::Kit;
use crate::authority::words::HostProfile;
use crate::digest::sha256;

/// The vendor a call comes from, and with it the host's profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Profile `default`.
    Plain,
    /// Profile `xiaozhi`.
    First,
    /// Profile `volcano-ark`.
    Second,
}

impl From {
    pub(super) const fn profile(self) -> HostProfile {
        match self {
            Self::Plain => HostProfile::Default,
            Self::First => HostProfile::Xiaozhi,
            Self::Second => HostProfile::VolcanoArk,
        }
    }
}

/// The answer that is right.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Want {
    /// Structured content of this pattern, and the same as text.
    Json(Value),
    /// One sentence of this pattern.
    Sentence(String),
    /// The preview tools' JSON, as text.
    Preview(Value),
}

impl Want {
    /// For a report.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Json(json) | Self::Preview(json) => json.to_string(),
            Self::Sentence(text) => text.clone(),
        }
    }
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub id: &'static str,
    pub from: From,
    /// Alias of the actor.
    pub actor: String,
    pub tool: &'static str,
    pub arguments: Value,
    pub want: Want,
    pub is_error: bool,
    /// How the row ends, and why.
    pub verdict: &'static str,
    pub reason: &'static str,
}

const WHOAMI: &str = "agentkeys.identity.whoami";
const GET: &str = "agentkeys.memory.get";
const PUT: &str = "agentkeys.memory.put";
const CHECK: &str = "agentkeys.permission.check";
const MINT: &str = "agentkeys.cap.mint";
const REVOKE: &str = "agentkeys.cap.revoke";
const APPEND: &str = "agentkeys.audit.append";

const ALLOWED: (&str, &str) = ("accept", "default_allow_memory");
const NOT_ALLOWED: (&str, &str) = ("deny", "namespace_not_allowed");
const SPENDABLE: (&str, &str) = ("accept", "within_daily_cap");
const TOO_MUCH: (&str, &str) = ("deny", "daily_spend_cap_exceeded");

/// Written, read and taken away again by the suite.
const LINE: &str = "工具 🧰 written by the tools suite";

/// The omni behind an alias of the kit.
pub(super) fn omni<'k>(kit: &'k Kit, alias: &str) -> &'k str {
    let actors = &kit.actors;
    let all = [
        &actors.main,
        &actors.first_only,
        &actors.second_only,
        &actors.unbound,
    ];
    let found = all.into_iter().find(|a| a.alias == alias);
    found.map_or("", |a| a.actor_omni.as_str())
}

/// Every call, in the order in which they are made: later ones build on earlier ones.
pub(super) fn all(kit: &Kit) -> Vec<Case> {
    let mut cases = plain_memory(kit);
    cases.extend(plain_rights(kit));
    cases.extend(plain_caps(kit));
    cases.extend(hosts::ark(kit));
    cases.extend(hosts::xiaozhi(kit));
    cases
}

struct Table<'k> {
    from: From,
    actor: &'k str,
    cases: Vec<Case>,
}

impl<'k> Table<'k> {
    const fn new(from: From, actor: &'k str) -> Self {
        Self {
            from,
            actor,
            cases: Vec::new(),
        }
    }

    fn row(
        &mut self,
        id: &'static str,
        tool: &'static str,
        arguments: Value,
        want: Want,
        ending: (&'static str, &'static str),
    ) {
        // A mistake and a preview are errors of the call; a denial is an answer.
        let is_error = ending.0 == "error";
        self.cases.push(Case {
            id,
            from: self.from,
            actor: self.actor.to_owned(),
            tool,
            arguments,
            want,
            is_error,
            verdict: ending.0,
            reason: ending.1,
        });
    }

    fn json(
        &mut self,
        id: &'static str,
        tool: &'static str,
        arguments: Value,
        want: Value,
        ending: (&'static str, &'static str),
    ) {
        self.row(id, tool, arguments, Want::Json(want), ending);
    }

    fn said(
        &mut self,
        id: &'static str,
        tool: &'static str,
        arguments: Value,
        want: impl Into<String>,
        ending: (&'static str, &'static str),
    ) {
        self.row(id, tool, arguments, Want::Sentence(want.into()), ending);
    }

    fn previews(&mut self) {
        for (id, tool) in [
            ("delegation.grant", "agentkeys.delegation.grant"),
            ("delegation.revoke", "agentkeys.delegation.revoke"),
            ("approval.request", "agentkeys.approval.request"),
        ] {
            let want = Want::Preview(preview());
            self.row(
                id,
                tool,
                json!({}),
                want,
                ("error", "not_implemented_in_v1"),
            );
        }
    }
}

/// `mission.md` T2, written out here so that a change there does not go unseen.
fn preview() -> Value {
    json!({
        "error": "not_implemented_in_v1", "scheduled_for": "M4",
        "spec_url": "https://github.com/litentry/agentKeys/blob/main/docs/spec/plans/milestones-roadmap.md#m4",
    })
}

fn hash(text: &str) -> String {
    hex::encode(sha256(&[text.as_bytes()]))
}

fn violation(namespace: &str, write: bool) -> Value {
    let mut out = json!({"ok": false, "namespace": namespace, "namespace_violation": true});
    if write {
        out["reason"] = "namespace_not_allowed".into();
    } else {
        out["content"] = "".into();
    }
    out
}

fn verdict(verdict: &str, scope: &str, reason: &str, explanation: &str) -> Value {
    json!({"verdict": verdict, "scope": scope, "reason": reason, "explanation": explanation,
        "decision_id": "<text>", "policies": "<list>"})
}

fn mistake(code: &str) -> Value {
    json!({"ok": false, "error": code, "message": "<text>"})
}

/// What 600 of a day's 500 are answered, whichever tool asks.
fn too_large() -> Value {
    let why = "cap=500, requested=600, period=daily";
    verdict("deny", "payment.spend", TOO_MUCH.1, why)
}

fn memory(content: &str) -> Value {
    json!({"ok": true, "namespace": "travel", "content": content, "version": "<whole>",
        "updated_at": "<time>", "sha256": hash(content)})
}

fn written(content: &str) -> Value {
    json!({"ok": true, "namespace": "travel", "version": "<whole>", "sha256": hash(content),
        "object_key": "<text>", "envelope_size": "<whole>"})
}

fn plain_memory(kit: &Kit) -> Vec<Case> {
    let main = &kit.actors.main;
    let travel = kit.memories.travel.as_str();
    let mut t = Table::new(From::Plain, &main.alias);
    let mut who = json!({
        "omni": main.actor_omni, "alias": main.alias, "display_name": main.alias,
        "vendor": kit.vendors.plain.vendor, "rail": "other", "scopes": ["payment.spend"],
        "namespaces": {"read": ["travel"], "write": ["travel"]},
    });
    if let (Some(parent), Some(path)) = (&main.parent_omni, &main.derivation_path) {
        who["parent_omni"] = parent.as_str().into();
        who["derivation_path"] = path.as_str().into();
    }
    t.json(
        "identity.whoami",
        WHOAMI,
        json!({}),
        who.clone(),
        ("accept", "identity_told"),
    );
    t.json(
        "identity.whoami.own_argument",
        WHOAMI,
        json!({"actor": main.actor_omni}),
        who,
        ("accept", "identity_told"),
    );
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
        json!({"namespace": "family"}),
        violation("family", false),
        NOT_ALLOWED,
    );
    t.json(
        "memory.get.no_such_namespace",
        GET,
        json!({"namespace": "profile"}),
        mistake("agentkeys.memory.namespace_unknown"),
        ("error", "namespace_unknown"),
    );
    t.json(
        "memory.put",
        PUT,
        json!({"namespace": "travel", "content": LINE}),
        written(LINE),
        ALLOWED,
    );
    let mut unchanged = written(LINE);
    unchanged["unchanged"] = true.into();
    t.json(
        "memory.put.again",
        PUT,
        json!({"namespace": "travel", "content": LINE}),
        unchanged,
        ("accept", "unchanged"),
    );
    t.json(
        "memory.get.written",
        GET,
        json!({"namespace": "travel"}),
        memory(LINE),
        ALLOWED,
    );
    t.json(
        "memory.put.conflict",
        PUT,
        json!({"namespace": "travel", "content": "x", "if_version": 1_000_000_000}),
        json!({"ok": false, "error": "agentkeys.memory.version_conflict", "version": "<whole>"}),
        ("deny", "version_conflict"),
    );
    t.json(
        "memory.put.denied",
        PUT,
        json!({"namespace": "work", "content": "x"}),
        violation("work", true),
        NOT_ALLOWED,
    );
    t.json(
        "memory.put.restored",
        PUT,
        json!({"namespace": "travel", "content": travel}),
        written(travel),
        ALLOWED,
    );
    t.cases
}

fn plain_rights(kit: &Kit) -> Vec<Case> {
    let mut t = Table::new(From::Plain, &kit.actors.main.alias);
    let spend = |amount: Value| json!({"scope": "payment.spend", "params": {"amount_rmb": amount}});
    let small = verdict(
        "accept",
        "payment.spend",
        "within_daily_cap",
        "amount 0.01 ≤ daily cap 500",
    );
    t.json(
        "permission.check",
        CHECK,
        spend(json!("0.01")),
        small,
        SPENDABLE,
    );
    t.json(
        "permission.check.denied",
        CHECK,
        spend(json!(600)),
        too_large(),
        TOO_MUCH,
    );
    let nuke = verdict("deny", "nuke.launch", "scope_not_in_policy_table", "<any>");
    t.json(
        "permission.check.unknown_scope",
        CHECK,
        json!({"scope": "nuke.launch"}),
        nuke,
        ("deny", "scope_not_in_policy_table"),
    );
    t.cases
}

fn plain_caps(kit: &Kit) -> Vec<Case> {
    let mut t = Table::new(From::Plain, &kit.actors.main.alias);
    let minted = json!({"ok": true, "cap_id": "<text>", "cap": "<text>", "op": "memory_get",
        "data_class": "memory", "expires_at": "<time>", "ttl_seconds": 60});
    let ask = |namespace: &str| json!({"op": "memory_get", "params": {"namespace": namespace}, "ttl": 60});
    t.json("cap.mint", MINT, ask("travel"), minted, ALLOWED);
    let denied = verdict("deny", "memory.read", "<text>", "<any>");
    t.json(
        "cap.mint.denied",
        MINT,
        ask("family"),
        denied,
        ("deny", "scope_not_granted"),
    );
    let pay = json!({"op": "payment_spend", "params": {"amount_rmb": 600}});
    t.json("cap.mint.denied_payment", MINT, pay, too_large(), TOO_MUCH);
    let none = json!({"op": "memory_get", "params": {"namespace": "travel"}, "ttl": 0});
    t.json(
        "cap.mint.no_time",
        MINT,
        none,
        mistake("agentkeys.cap.ttl_invalid"),
        ("error", "ttl_invalid"),
    );
    let revoked = json!({"ok": true, "cap_id": "$cap_id", "revocation": "online_immediate", "offline_until": "<time>"});
    t.json(
        "cap.revoke",
        REVOKE,
        json!({"cap_id": "$cap_id"}),
        revoked,
        ("accept", "revoked"),
    );
    let nothing = json!({"ok": false, "error": "agentkeys.cap.not_found"});
    t.json(
        "cap.revoke.denied",
        REVOKE,
        json!({"cap_id": "cap_of_nobody"}),
        nothing,
        ("deny", "not_found"),
    );
    let stated = json!({"ok": true, "event_id": "<text>", "envelope_hash": "<text>"});
    let event = json!({"event": {"kind": "note", "intent_text": "ran the tools suite"}});
    t.json("audit.append", APPEND, event, stated, ("accept", "stated"));
    let wordless = mistake("agentkeys.audit.kind_missing");
    t.json(
        "audit.append.denied",
        APPEND,
        json!({"event": {}}),
        wordless,
        ("error", "kind_missing"),
    );
    t.previews();
    t.cases
}
