//! Every tool, over the socket, in the shapes of `contract.md` and with the values of `mission.md`.

use super::support::{Host, Reply, Server};
use serde_json::{Value, json};

/// A third vendor on no special rail, with more rights than the demo's.
fn desk(server: &Server) -> Host<'_> {
    let grants = [
        "--read",
        "travel,family",
        "--write",
        "travel",
        "--scope",
        "payment.*",
        "--daily-cap",
        "500RMB",
    ];
    let token = server.house.vendor("desk", &grants);
    server.host_of(&token)
}

#[test]
fn ten_tools_are_listed_by_each_profile_in_its_own_style() {
    let server = Server::demo();
    let names = |host: &Host<'_>| -> Vec<String> {
        let listed = host.method("tools/list", &json!({})).json();
        let tools = listed["result"]["tools"].as_array().unwrap();
        tools
            .iter()
            .map(|t| t["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let xiaozhi = names(&server.host("magiclick"));
    assert_eq!(xiaozhi.len(), 10);
    assert!(xiaozhi.contains(&"agentkeys.memory.get".to_owned()));
    let ark = names(&server.host("folotoy"));
    assert_eq!(ark.len(), 10);
    assert!(ark.contains(&"agentkeys_memory_get".to_owned()));
    assert!(ark.iter().all(|n| !n.contains('.')));
}

#[test]
fn act_one_permissioned_memory() {
    let server = Server::demo();
    let ark = server.host("folotoy");
    let travel = ark.structured("agentkeys_memory_get", json!({"namespace": "travel"}));
    assert_eq!(
        travel["content"],
        "Chengdu trip — Apr 12 to 16, hotpot at Yulin."
    );
    assert_eq!(
        (&travel["ok"], &travel["version"]),
        (&json!(true), &json!(1))
    );
    for namespace in ["family", "personal", "work"] {
        let refused = ark.structured("agentkeys_memory_get", json!({"namespace": namespace}));
        let expected = json!({"ok": false, "namespace": namespace, "namespace_violation": true, "content": ""});
        assert_eq!(refused, expected);
        let rows = server
            .house
            .events(&["--namespace", namespace, "--vendor", "folotoy"]);
        assert_eq!(rows.len(), 1, "{namespace}");
        assert_eq!(rows[0]["op_kind"], 107);
        assert_eq!(rows[0]["verdict"], "deny");
        assert_eq!(rows[0]["actor_omni"], json!(server.house.actor()));
    }
    let refused = ark.structured(
        "agentkeys_memory_put",
        json!({"namespace": "travel", "content": "x"}),
    );
    assert_eq!(
        refused,
        json!({"ok": false, "namespace": "travel", "namespace_violation": true, "reason": "namespace_not_allowed"})
    );
}

#[test]
fn act_two_deterministic_denial() {
    let server = Server::demo();
    let desk = desk(&server);
    let check = |amount: Value| {
        let params = json!({"amount_rmb": amount});
        desk.structured(
            "agentkeys.permission.check",
            json!({"scope": "payment.spend", "params": params}),
        )
    };
    let denied = check(json!(600));
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(denied["reason"], "daily_spend_cap_exceeded");
    assert_eq!(
        denied["explanation"],
        "cap=500, requested=600, period=daily"
    );
    let accepted = check(json!(200));
    assert_eq!(accepted["verdict"], "accept");
    assert_eq!(accepted["reason"], "within_daily_cap");
    assert_eq!(accepted["explanation"], "amount 200 ≤ daily cap 500");
    // Daily means daily: 200 are spent, so 400 more are too many, and 300 are not.
    assert_eq!(check(json!(400))["reason"], "daily_spend_cap_exceeded");
    assert_eq!(check(json!("300"))["verdict"], "accept");
    let unknown = desk.structured(
        "agentkeys.permission.check",
        json!({"scope": "nuke.launch"}),
    );
    assert_eq!(
        (&unknown["verdict"], &unknown["reason"]),
        (&json!("deny"), &json!("scope_not_in_policy_table"))
    );
    let asked = desk.structured(
        "agentkeys.permission.check",
        json!({"scope": "payment.subscribe"}),
    );
    assert_eq!(asked["verdict"], "ask_parent");
}

#[test]
fn act_three_online_revocation() {
    let server = Server::demo();
    let xiaozhi = server.host("magiclick");
    let check = || {
        xiaozhi.text(
            "agentkeys.permission.check",
            json!({"scope": "payment.spend", "amount_rmb": 100}),
        )
    };
    assert!(
        check().starts_with("accept: within_daily_cap"),
        "{}",
        check()
    );
    server.house.ok(&[
        "actor",
        "ungrant",
        "O_kevin_001",
        "--vendor",
        "magiclick",
        "--scope",
        "payment.*",
    ]);
    assert!(
        check().starts_with("deny: scope_not_granted"),
        "{}",
        check()
    );
    let rows = server
        .house
        .events(&["--tool", "agentkeys.permission.check"]);
    assert_eq!(rows.last().unwrap()["reason"], "scope_not_granted");
}

#[test]
fn whoami_says_who_without_default_scopes() {
    let server = Server::demo();
    let who = server
        .host("folotoy")
        .structured("agentkeys_identity_whoami", json!({}));
    assert_eq!(who["omni"], json!(server.house.actor()));
    assert_eq!(who["alias"], "O_kevin_001");
    assert_eq!(who["derivation_path"], "//o-kevin-001/0");
    assert_eq!(
        (&who["vendor"], &who["rail"]),
        (&json!("folotoy"), &json!("volcano-ark"))
    );
    assert_eq!(who["scopes"], json!([]));
    assert_eq!(who["namespaces"], json!({"read": ["travel"], "write": []}));
}

#[test]
fn previews_answer_exactly_one_thing() {
    let server = Server::demo();
    let exact = json!({
        "error": "not_implemented_in_v1", "scheduled_for": "M4",
        "spec_url": "https://github.com/litentry/agentKeys/blob/main/docs/spec/plans/milestones-roadmap.md#m4",
    });
    for vendor in ["magiclick", "folotoy"] {
        for tool in [
            "agentkeys.delegation.grant",
            "agentkeys.delegation.revoke",
            "agentkeys.approval.request",
        ] {
            let result = server.host(vendor).result(tool, json!({}));
            assert_eq!(result["isError"], true);
            assert_eq!(result["structuredContent"], exact);
            let text: Value =
                serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
            assert_eq!(text, exact);
        }
    }
}

#[test]
fn statements_are_sealed_and_only_their_tag_is_in_the_row() {
    let server = Server::demo();
    let secret = "ordered the Sichuan set 🌶";
    let stated = server.host("folotoy").structured(
        "agentkeys_audit_append",
        json!({"event": {"kind": "order_placed", "intent_text": secret}}),
    );
    assert_eq!(stated["ok"], true);
    let rows = server.house.events(&["--tool", "agentkeys.audit.append"]);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["event_id"], stated["event_id"]);
    assert_eq!(rows[0]["envelope_hash"], stated["envelope_hash"]);
    assert!(!rows[0].to_string().contains("Sichuan"));
    let ledger = std::fs::read(server.house.dir().join("ledger.sqlite-wal")).unwrap();
    assert!(!ledger.windows(7).any(|w| w == b"Sichuan"));
}

/// A plain call is answered without the SDK's machinery; a field that only the SDK knows sends it
/// through. Both must say the same, status and headers too.
#[test]
fn a_plain_call_is_answered_as_the_sdk_answers_it() {
    let server = Server::demo();
    let cases = [
        ("agentkeys_identity_whoami", json!({})),
        ("agentkeys_memory_get", json!({"namespace": "travel"})),
        ("agentkeys_memory_get", json!({"namespace": "family"})),
        ("agentkeys_memory_get", json!({"namespace": "nowhere"})),
        ("agentkeys_memory_get", json!({"actor": "somebody else"})),
        ("agentkeys_delegation_grant", json!({})),
        ("nuke_launch", json!({})),
        ("agentkeys_identity_whoami", Value::Null),
    ];
    for vendor in ["magiclick", "folotoy"] {
        for accept in ["application/json, text/event-stream", "text/event-stream"] {
            let host = server.host(vendor).with("accept", accept);
            for (tool, arguments) in &cases {
                let ask = |more: &str| {
                    let mut params = json!({"name": tool, "arguments": arguments});
                    params[more] = json!({});
                    let body = json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params});
                    host.post(body.to_string())
                };
                let (plain, through) = (ask("_meta"), ask("inputResponses"));
                let head = |r: &Reply| (r.status, r.headers.get("content-type").cloned());
                assert_eq!(head(&plain), head(&through), "{tool} {arguments}");
                assert_eq!(plain.body, through.body, "{tool} {arguments}");
            }
        }
    }
}
