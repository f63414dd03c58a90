//! Refusals that carry a status: the status, the code, and exactly one row. The whole matrix is
//! `agentkeys accept negative-auth`, which `acceptance` runs against a live server.

use super::support::{Host, House, Server, send, wait};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::time::Duration;

/// The rows a piece of work left, without the work of looking.
fn rows_of(server: &Server, work: impl FnOnce()) -> Vec<Value> {
    let before = server
        .house
        .events(&[])
        .last()
        .map_or(0, |e| e["seq"].as_u64().unwrap() + 1);
    work();
    let after = server.house.events(&[]);
    let fresh = after
        .into_iter()
        .filter(|e| e["seq"].as_u64().unwrap() >= before);
    fresh.filter(|e| e["tool"] != "audit.read").collect()
}

#[track_caller]
fn refused(host: &Host<'_>, status: u16, code: &str) -> Value {
    let mut reply = None;
    let rows = rows_of(host.server, || {
        reply = Some(host.call("agentkeys.memory.get", json!({"namespace": "travel"})));
    });
    let reply = reply.unwrap();
    assert_eq!(
        (reply.status, reply.code()),
        (status, format!("agentkeys.auth.{code}")),
        "{}",
        reply.body
    );
    assert_eq!(reply.json()["error"]["code"], status);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["reason"], code);
    assert_eq!(rows[0]["status"], status);
    assert_eq!(rows[0]["tool"], "agentkeys.memory.get");
    rows[0].clone()
}

#[test]
fn tokens_are_refused_with_their_own_code_and_one_row() {
    let server = Server::demo();
    let good = server.host("magiclick");
    let token = server.house.token("magiclick");
    let bearer = |t: &str| good.with("authorization", &format!("Bearer {t}"));

    let row = refused(&good.without("authorization"), 401, "token_missing");
    assert_eq!(row["actor_omni"], Value::Null);
    assert_eq!(row["vendor"], Value::Null);
    assert_eq!(row["claimed"]["actor"], json!(server.house.actor()));
    refused(&bearer("akv_nonsense"), 401, "token_malformed");
    refused(&bearer(&token[..token.len() - 1]), 401, "token_malformed");
    let elsewhere = House::demo().token("magiclick");
    refused(&bearer(&elsewhere), 401, "token_unknown");
    refused(
        &good.with("authorization", "Basic dXNlcjpwYXNz"),
        401,
        "token_malformed",
    );

    let in_url = Host {
        path: format!("/mcp?token={token}"),
        ..good.without("authorization")
    };
    refused(&in_url, 401, "token_missing");

    let id = server.house.init["vendors"][0]["token_id"]
        .as_str()
        .unwrap();
    server.house.ok(&["vendor", "token", "revoke", id]);
    let row = refused(&good, 401, "token_revoked");
    assert_eq!(row["token_id"], json!(id));
    assert_eq!(row["vendor"], "magiclick");
}

#[test]
fn a_rotated_token_works_until_its_overlap_ends() {
    let server = Server::demo();
    let old = server.host("magiclick");
    let id = server.house.init["vendors"][0]["token_id"]
        .as_str()
        .unwrap();
    let new = server
        .house
        .ok(&["vendor", "token", "rotate", id, "--overlap", "24h"]);
    assert_eq!(new["replaces"], json!(id));
    assert_eq!(old.call("agentkeys.identity.whoami", json!({})).status, 200);
    let token = new["token"].as_str().unwrap();
    let fresh = old.with("authorization", &format!("Bearer {token}"));
    assert_eq!(
        fresh.call("agentkeys.identity.whoami", json!({})).status,
        200
    );

    let id = new["token_id"].as_str().unwrap();
    server
        .house
        .ok(&["vendor", "token", "rotate", id, "--overlap", "0s"]);
    refused(&fresh, 401, "token_expired");
}

#[test]
fn actors_are_refused_alike_whether_unknown_or_unbound() {
    let server = Server::demo();
    let good = server.host("magiclick");
    server.house.ok(&["actor", "create", "O_unbound"]);
    let actor = |a: &str| good.with("x-agentkeys-actor", a);

    let row = refused(&good.without("x-agentkeys-actor"), 403, "actor_missing");
    assert_eq!(row["vendor"], "magiclick");
    refused(&actor(""), 403, "actor_missing");
    for name in [
        "O_nobody",
        "O_unbound",
        "o_kevin_001",
        "O_kevin_001 ",
        " O_kevin_001 x",
        "O_kévin",
    ] {
        if name.trim() == name {
            refused(&actor(name), 403, "actor_forbidden");
        }
    }
    refused(
        &actor(&server.house.actor().to_uppercase()),
        403,
        "actor_forbidden",
    );
    let body = |name: &str| {
        let reply = actor(name).post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
        (reply.status, reply.body)
    };
    assert_eq!(body("O_nobody"), body("O_unbound"));

    for good_name in [
        "O_kevin_001".to_owned(),
        server.house.actor(),
        server.house.actor()[2..].to_owned(),
    ] {
        assert_eq!(
            actor(&good_name)
                .call("agentkeys.identity.whoami", json!({}))
                .status,
            200
        );
    }
}

#[test]
fn initialize_needs_a_token_and_an_actor_too() {
    let server = Server::demo();
    let good = server.host("folotoy");
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    assert_eq!(
        good.method("initialize", &params).json()["result"]["protocolVersion"],
        "2025-06-18"
    );
    assert_eq!(
        good.without("authorization")
            .method("initialize", &params)
            .status,
        401
    );
    assert_eq!(
        good.without("x-agentkeys-actor")
            .method("initialize", &params)
            .status,
        403
    );
}

#[test]
fn an_argument_that_names_another_actor_is_refused_as_its_host_can_bear() {
    let server = Server::demo();
    server.house.ok(&["actor", "create", "O_other"]);
    let arguments = json!({"namespace": "travel", "actor": "O_other"});
    let ark = server
        .host("folotoy")
        .call("agentkeys_memory_get", arguments.clone());
    assert_eq!(
        (ark.status, ark.code()),
        (403, "agentkeys.auth.actor_mismatch".into())
    );

    let rows = rows_of(&server, || {
        let result = server
            .host("magiclick")
            .result("agentkeys.memory.get", arguments.clone());
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(
            text.starts_with("agentkeys.auth.actor_mismatch: "),
            "{text}"
        );
        assert_eq!(result["isError"], true);
    });
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["status"], &rows[0]["reason"]),
        (&json!(403), &json!("actor_mismatch"))
    );
    assert_eq!(rows[0]["actor_omni"], json!(server.house.actor()));

    let same = json!({"namespace": "travel", "actor": "O_kevin_001"});
    assert_eq!(
        server
            .host("folotoy")
            .call("agentkeys_memory_get", same)
            .status,
        200
    );
}

#[test]
fn a_pinned_token_brings_its_actor_and_no_other() {
    let server = Server::demo();
    let made = server.house.ok(&[
        "vendor",
        "token",
        "create",
        "--vendor",
        "folotoy",
        "--actor",
        "O_kevin_001",
    ]);
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let pinned = server.host_with(&[("authorization", &bearer)]);
    assert_eq!(
        pinned.call("agentkeys_identity_whoami", json!({})).status,
        200
    );
    server.house.ok(&["actor", "create", "O_other"]);
    server.house.ok(&[
        "actor", "grant", "O_other", "--vendor", "folotoy", "--read", "travel",
    ]);
    refused(
        &pinned.with("x-agentkeys-actor", "O_other"),
        403,
        "actor_forbidden",
    );
}

#[test]
fn an_operators_token_opens_no_tool_and_a_vendors_no_log() {
    let server = Server::demo();
    let auditor = server.reader("auditor", &[]);
    let host = server
        .host("magiclick")
        .with("authorization", &format!("Bearer {auditor}"));
    refused(&host, 403, "role_forbidden");
    let url = format!("{}/v1/audit/events", server.base);
    let vendor = server.house.token("magiclick");
    let reply = super::support::send(server.http.get(url).bearer_auth(vendor));
    assert_eq!(
        (reply.status, reply.code()),
        (403, "agentkeys.auth.role_forbidden".into())
    );
}

#[test]
fn nobody_but_a_parent_changes_anything_over_http() {
    let server = Server::demo();
    let vendor = server.house.token("magiclick");
    let operator = server.reader("operator", &[]);
    for (token, change, tool) in [
        (&operator, "grant", "actor.grant"),
        (&operator, "ungrant", "actor.ungrant"),
        (&operator, "erase", "memory.erase"),
        (&operator, "release", "budget.release"),
        (&vendor, "release", "budget.release"),
        (&server.reader("auditor", &[]), "grant", "actor.grant"),
        (&vendor, "grant", "actor.grant"),
    ] {
        let body = match change {
            "erase" => json!({"all": true}),
            "release" => json!({"decision_id": "dec_1"}),
            _ => json!({"vendor": "magiclick", "read": ["family"]}),
        };
        let rows = rows_of(&server, || {
            let url = format!("{}/v1/actors/O_kevin_001/{change}", server.base);
            let request = server.http.post(url).bearer_auth(token).json(&body);
            let reply = super::support::send(request);
            assert_eq!(
                (reply.status, reply.code()),
                (403, "agentkeys.auth.role_forbidden".into())
            );
        });
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(
            (&rows[0]["tool"], &rows[0]["status"]),
            (&json!(tool), &json!(403))
        );
    }
}

#[test]
fn host_and_origin_are_checked_with_the_setting_named() {
    let server = Server::demo();
    let good = server.host("folotoy");
    let origin = good
        .with("origin", "https://evil.example")
        .method("tools/list", &json!({}));
    assert_eq!(
        (origin.status, origin.code()),
        (403, "agentkeys.http.origin_not_allowed".into())
    );
    assert!(origin.body.contains("allowed_origins") && origin.body.contains("evil.example"));
    let host = good
        .with("host", "evil.example")
        .method("tools/list", &json!({}));
    assert_eq!(
        (host.status, host.code()),
        (403, "agentkeys.http.host_not_allowed".into())
    );
    assert!(host.body.contains("allowed_hosts"));
}

#[test]
fn host_and_origin_are_checked_at_every_endpoint_of_ours_on_record() {
    use reqwest::Method;
    let server = Server::demo();
    let ask = |base: &str, method: &Method, path: &str, name: &str, value: &str| {
        let request = server.http.request(method.clone(), format!("{base}{path}"));
        send(request.header(name, value).body("{}"))
    };
    let endpoints = [
        (Method::POST, "/v1/memory/get", "cap.memory_get"),
        (Method::POST, "/v1/memory/put", "cap.memory_put"),
        (Method::POST, "/v1/cap/redeem", "cap.redeem"),
        (Method::POST, "/v1/cap/introspect", "cap.introspect"),
        (Method::POST, "/v1/actors/O_kevin_001/grant", "actor.grant"),
        (
            Method::POST,
            "/v1/actors/O_kevin_001/ungrant",
            "actor.ungrant",
        ),
        (Method::POST, "/v1/actors/O_kevin_001/erase", "memory.erase"),
        (
            Method::POST,
            "/v1/actors/O_kevin_001/release",
            "budget.release",
        ),
        (
            Method::POST,
            "/v1/vendor/devices/register",
            "vendor.device.register",
        ),
        (
            Method::DELETE,
            "/v1/vendor/devices/register",
            "vendor.device.remove",
        ),
        (
            Method::DELETE,
            "/v1/vendor/devices/d1",
            "vendor.device.remove",
        ),
        (Method::GET, "/v1/audit/events", "audit.read"),
        (Method::GET, "/v1/audit/stream", "audit.read"),
        (Method::GET, "/v1/audit/checkpoint", "audit.read"),
        (Method::GET, "/v1/audit/proof/inclusion?seq=0", "audit.read"),
        (
            Method::GET,
            "/v1/audit/proof/consistency?from=0",
            "audit.read",
        ),
    ];
    let wrong = [
        ("host", "evil.example", "host_not_allowed"),
        ("origin", "https://evil.example", "origin_not_allowed"),
    ];
    let mut expected = Vec::new();
    for (method, path, tool) in &endpoints {
        for (name, value, reason) in wrong {
            let reply = ask(&server.base, method, path, name, value);
            let code = format!("agentkeys.http.{reason}");
            assert_eq!((reply.status, reply.code()), (403, code), "{path}");
            expected.push((*tool, reason, value));
        }
    }
    let rows = server.house.events(&["--verdict", "deny"]);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let told = rows
        .iter()
        .map(|r| [&r["tool"], &r["reason"], &r["claimed"]["seen"]].map(word));
    let expected = expected
        .into_iter()
        .map(|(tool, reason, seen)| [tool, reason, seen].map(str::to_owned));
    assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    // What anyone may know is given under any name, and the operator chose the name of its own.
    for path in [
        "/healthz",
        "/.well-known/jwks.json",
        "/.well-known/agentkeys/revoked-caps",
        "/.well-known/agentkeys/log-key",
    ] {
        for (name, value, _) in wrong {
            assert_eq!(
                ask(&server.base, &Method::GET, path, name, value).status,
                200
            );
        }
    }
    let operator = &server.operator;
    let reply = ask(
        operator,
        &Method::GET,
        "/v1/audit/events",
        "host",
        "evil.example",
    );
    assert_eq!(reply.code(), "agentkeys.auth.token_missing");
}

#[test]
fn an_unknown_method_is_named_and_not_echoed() {
    let server = Server::demo();
    let method = format!("no/such\u{1b}[31m{}", "x".repeat(10_000));
    let reply = server.host("folotoy").method(&method, &json!({}));
    let error = &reply.json()["error"];
    assert_eq!(error["code"], -32601, "{}", reply.body);
    let said = error["message"].as_str().unwrap();
    assert!(said.starts_with("no/such\u{fffd}[31mxx"), "{said}");
    assert_eq!(said.chars().count(), 65);
}

#[test]
fn unknown_tools_are_a_protocol_error_with_a_row() {
    let server = Server::demo();
    let rows = rows_of(&server, || {
        let reply = server
            .host("folotoy")
            .call("agentkeys.memory.wipe", json!({}));
        assert_eq!(
            (reply.status, reply.json()["error"]["code"].clone()),
            (200, json!(-32602))
        );
    });
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["tool"], &rows[0]["reason"]),
        (&json!("agentkeys.memory.wipe"), &json!("unknown_tool"))
    );
}

#[test]
fn a_tool_call_the_sdk_does_not_understand_has_its_row_too() {
    let server = Server::demo();
    for odd in [r#""inputResponses":5"#, r#""requestState":5"#] {
        let rows = rows_of(&server, || {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"agentkeys.memory.get","arguments":{{"namespace":"travel"}},{odd}}}}}"#
            );
            let reply = server.host("folotoy").post(body);
            assert!(reply.json().get("error").is_some(), "{}", reply.body);
        });
        assert_eq!(rows.len(), 1, "{odd}");
        assert_eq!(rows[0]["tool"], "agentkeys.memory.get");
    }
}

#[test]
fn what_nobody_sees_does_not_reach_a_row() {
    let server = Server::demo();
    let hidden = "a\u{61c}b\u{180e}c\u{fff9}d\u{e0041}e\u{e007f}";
    let rows = rows_of(&server, || {
        server.host("folotoy").call(hidden, json!({}));
    });
    let seen = "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}";
    assert_eq!(rows[0]["tool"], seen);
}

#[test]
fn revoked_is_revoked_on_any_clock() {
    let server = Server::demo();
    let host = server.host("folotoy");
    let row = host.call("agentkeys.identity.whoami", json!({}));
    assert_eq!(row.status, 200);
    // As another machine whose clock runs ahead would have written it.
    let ledger = server.house.dir().join("ledger.sqlite");
    let ledger = rusqlite::Connection::open(ledger).unwrap();
    ledger.busy_timeout(Duration::from_secs(5)).unwrap();
    let ahead = "UPDATE token SET revoked_ms = 9999999999999 WHERE vendor = 'folotoy'";
    assert_eq!(ledger.execute(ahead, []).unwrap(), 1);
    assert_eq!(host.method("tools/list", &json!({})).status, 401);
    refused(&host, 401, "token_revoked");
}

fn terminate(server: &Server) {
    let pid = server.child.id().to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-TERM", &pid]).status().unwrap().success());
}

/// Waits for a server that was told to stop, and takes its folder.
fn stopped(mut server: Server) -> House {
    assert!(server.child.wait().unwrap().success());
    let house = House {
        temp: tempfile::tempdir().unwrap(),
        init: server.house.init.clone(),
    };
    std::fs::rename(server.house.dir(), house.dir()).unwrap();
    house
}

/// How often a row of a reason says it happened.
fn counted(rows: &[Value], reason: &str) -> u64 {
    let of_reason = rows.iter().filter(|r| r["reason"] == reason);
    of_reason
        .map(|r| r["detail"]["count"].as_u64().unwrap_or(1))
        .sum()
}

#[test]
fn a_tokens_flood_folds_under_its_vendor_to_the_last_request_of_a_drain() {
    let limits = [
        ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "1"),
        ("AGENTKEYS_LIMITS_BURST", "1"),
    ];
    let server = Server::over(House::demo(), &limits);
    let host = server.host("folotoy");
    let mut limited = 0;
    for _ in 0..20 {
        let status = host.call("agentkeys.identity.whoami", json!({})).status;
        limited += u64::from(status == 429);
    }
    assert!(limited >= 10, "{limited}");
    // A request that is still being sent when the server is told to stop.
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let address = server.base.strip_prefix("http://").unwrap();
    let mut late = std::net::TcpStream::connect(address).unwrap();
    let token = server.house.token("folotoy");
    write!(
        late,
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         x-agentkeys-actor: O_kevin_001\r\ncontent-length: {}\r\n\r\n{}",
        body.len(),
        &body[..8]
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let again = host.call("agentkeys.identity.whoami", json!({})).status;
    limited += u64::from(again == 429);
    terminate(&server);
    std::thread::sleep(Duration::from_millis(300));
    write!(late, "{}", &body[8..]).unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).unwrap();
    limited += u64::from(answer.starts_with("HTTP/1.1 429"));
    let house = stopped(server);
    let rows = house.events(&["--vendor", "folotoy"]);
    assert_eq!(counted(&rows, "rate_limited"), limited, "{answer}");
    let folded = rows.iter().find(|r| r["tool"] == "refusals.folded");
    let folded = folded.expect("a folded row under the vendor");
    assert_eq!(folded["rail"], "volcano-ark");
    assert_eq!(folded["token_id"], house.init["vendors"][1]["token_id"]);
}

#[test]
fn readers_have_a_rate_too_and_their_429s_fold() {
    let limits = [
        ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "1"),
        ("AGENTKEYS_LIMITS_BURST", "5"),
    ];
    let server = Server::over(House::demo(), &limits);
    let auditor = server.reader("auditor", &[]);
    let vendor = server.house.token("folotoy");
    let read = || {
        let url = format!("{}/v1/audit/events?limit=1", server.base);
        server.http.get(url).bearer_auth(&auditor)
    };
    let ask = || {
        let url = format!("{}/v1/cap/introspect", server.base);
        let body = json!({"cap": "nonsense"});
        server.http.post(url).bearer_auth(&vendor).json(&body)
    };
    let limited = |request: &dyn Fn() -> reqwest::RequestBuilder| {
        let replies: Vec<_> = (0..20).map(|_| super::support::send(request())).collect();
        assert!(replies[..5].iter().all(|r| r.status == 200), "{replies:?}");
        let limited = replies.iter().filter(|r| r.status == 429);
        assert!(
            limited
                .clone()
                .all(|r| r.code() == "agentkeys.http.rate_limited"
                    && r.headers.contains_key("retry-after"))
        );
        limited.count() as u64
    };
    let (reads, asks) = (limited(&read), limited(&ask));
    assert!(reads >= 5 && asks >= 5, "{reads} {asks}");
    terminate(&server);
    let house = stopped(server);
    let rows = house.events(&[]);
    let of = |key: &str, value: &str| -> Vec<_> {
        rows.iter().filter(|r| r[key] == value).cloned().collect()
    };
    for (rows, count) in [
        (of("by", "auditor"), reads),
        (of("vendor", "folotoy"), asks),
    ] {
        assert_eq!(counted(&rows, "rate_limited"), count);
        let written = rows.iter().filter(|r| r["status"] == 429);
        // One of its own and one that counts the rest, and as much again if the minute turned.
        assert!(written.count() <= 4, "{rows:?}");
    }
}

#[test]
fn strangers_that_find_their_lane_full_are_counted() {
    let server = Server::demo();
    let url = format!("{}/mcp", server.base);
    // While somebody else writes, what strangers are refused with waits, until there is no room.
    let ledger = server.house.dir().join("ledger.sqlite");
    let ledger = rusqlite::Connection::open(ledger).unwrap();
    ledger.busy_timeout(Duration::from_secs(5)).unwrap();
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let statuses = wait(async {
        let one = || async { server.http.post(&url).send().await.unwrap().status() };
        let all = futures_util::future::join_all((0..500).map(|_| one()));
        let release = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            ledger.execute_batch("ROLLBACK").unwrap();
        };
        futures_util::future::join(all, release).await.0
    });
    let of = |status: u16| statuses.iter().filter(|s| s.as_u16() == status).count() as u64;
    let (missing, limited) = (of(401), of(429));
    assert_eq!(missing + limited, 500, "{statuses:?}");
    assert!(missing > 0 && limited > 0, "{missing} {limited}");
    terminate(&server);
    let house = stopped(server);
    let rows = house.events(&[]);
    assert_eq!(counted(&rows, "token_missing"), missing);
    assert_eq!(counted(&rows, "rate_limited"), limited);
}

/// A token that is revoked between the door and the commit changes nothing any more.
#[test]
fn what_a_parent_asked_for_is_not_done_once_the_token_is_revoked() {
    use agentkeys::authority::admit::{Header, Knock, Wants};
    use agentkeys::authority::calls::Call;
    use agentkeys::authority::calls::admin::{AdminCall, GrantRequest};
    use agentkeys::authority::words::{Door, Namespace, NamespaceSet};
    use agentkeys::authority::{Cause, Limits};
    use agentkeys::folder::Folder;

    let house = House::demo();
    let words = ["operator", "token", "create", "--role", "parent"];
    let made = house.ok(&[&words[..], &["--actor", "O_kevin_001"]].concat());
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let knock = Knock {
        authorization: Header::One(&bearer),
        actor: Header::Absent,
        argument: None,
        asked: "actor.grant",
        found: None,
        seen: None,
        source: "127.0.0.1",
        protocol: "http",
        door: Door::Http,
    };
    let before = house.ok(&["actor", "show", "O_kevin_001"])["bindings"].clone();
    wait(async {
        let folder = Folder::open(&house.dir(), Limits::default()).await.unwrap();
        let parent = folder.authority.admit(&knock, Wants::Parent).await.unwrap();
        house.ok(&[
            "operator",
            "token",
            "revoke",
            made["token_id"].as_str().unwrap(),
        ]);
        let grant = AdminCall::Grant(Box::new(GrantRequest {
            actor: "O_kevin_001".to_owned(),
            vendor: "folotoy".to_owned(),
            read: NamespaceSet::NONE.with(Namespace::Family),
            ..GrantRequest::default()
        }));
        let done = folder
            .authority
            .perform(&parent, Call::Admin(Box::new(grant)))
            .await;
        assert_eq!(done.unwrap_err().cause, Cause::TokenRevoked);
    });
    assert_eq!(
        house.ok(&["actor", "show", "O_kevin_001"])["bindings"],
        before
    );
    let row = house.events(&["--tool", "actor.grant"]).pop().unwrap();
    assert_eq!(
        (&row["verdict"], &row["reason"]),
        (&json!("deny"), &json!("token_revoked"))
    );
}
