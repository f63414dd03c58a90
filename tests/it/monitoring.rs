//! What a monitor and a load balancer ask the operator's listener.

use super::support::{House, Server, send};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Every sample of `/metrics`: name with labels, and value.
fn samples(server: &Server) -> BTreeMap<String, String> {
    let reply = send(server.http.get(format!("{}/metrics", server.operator)));
    assert_eq!(reply.status, 200);
    let kind = reply.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(reply.body.ends_with("# EOF\n"));
    let lines = reply.body.lines().filter(|l| !l.starts_with('#'));
    let samples = lines.map(|l| {
        let (name, value) = l.rsplit_once(' ').unwrap();
        (name.to_owned(), value.to_owned())
    });
    samples.collect()
}

fn number(samples: &BTreeMap<String, String>, name: &str) -> u64 {
    samples[name].parse().unwrap()
}

fn ready(server: &Server) -> (u16, Value) {
    let reply = send(server.http.get(format!("{}/readyz", server.operator)));
    (reply.status, reply.json())
}

fn check<'a>(said: &'a Value, id: &str) -> &'a Value {
    let checks = said["checks"].as_array().unwrap();
    checks.iter().find(|c| c["id"] == id).unwrap()
}

#[test]
fn what_was_decided_is_counted_and_nobody_is_named() {
    let server = Server::demo();
    let host = server.host("magiclick");
    for _ in 0..3 {
        host.text("agentkeys.memory.get", json!({"namespace": "travel"}));
    }
    host.text("agentkeys.memory.get", json!({"namespace": "family"}));
    host.text(
        "agentkeys.permission.check",
        json!({"scope": "payment.spend", "params": {"amount_rmb": 900}}),
    );
    let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "S3CRET\u{202e}tool", "arguments": {}}});
    host.post(asked.to_string());
    server
        .host_with(&[("authorization", "Bearer akv_S3CRET_x_y")])
        .post(asked.to_string());
    let samples = samples(&server);
    let calls = |tool: &str, verdict: &str| {
        let name = format!(
            "agentkeys_calls_total{{tool=\"{tool}\",rail=\"xiaozhi\",verdict=\"{verdict}\",door=\"http\"}}"
        );
        samples.get(&name).cloned()
    };
    assert_eq!(
        calls("agentkeys.memory.get", "accept"),
        Some("3".to_owned()),
        "{samples:?}"
    );
    assert_eq!(
        calls("agentkeys.memory.get", "deny"),
        Some("1".to_owned()),
        "{samples:?}"
    );
    assert_eq!(
        calls("agentkeys.permission.check", "deny"),
        Some("1".to_owned())
    );
    assert_eq!(calls("other", "error"), Some("1".to_owned()), "{samples:?}");
    let took = "agentkeys_call_seconds_count{tool=\"agentkeys.memory.get\",rail=\"xiaozhi\"}";
    assert_eq!(samples[took], "4");
    for reason in [
        "namespace_not_allowed",
        "daily_spend_cap_exceeded",
        "token_malformed",
    ] {
        let name = format!("agentkeys_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(
            samples.get(&name),
            Some(&"1".to_owned()),
            "{name}: {samples:?}"
        );
    }
    let answered = "agentkeys_http_requests_total{route=\"/mcp\",status=\"401\"}";
    assert_eq!(samples[answered], "1");
    assert!(number(&samples, "agentkeys_disk_free_bytes") > 0);
    assert_eq!(samples["agentkeys_ready{check=\"ledger\"}"], "1");
    assert!(
        number(
            &samples,
            "agentkeys_open_connections{listener=\"operator\"}"
        ) > 0
    );
    assert!(number(&samples, "agentkeys_open_connections{listener=\"public\"}") > 0);
    let names: String = samples.keys().map(String::as_str).collect();
    for secret in [
        "S3CRET",
        "akv_",
        &server.house.actor()[2..],
        "O_kevin",
        "magiclick",
    ] {
        assert!(!names.contains(secret), "{secret}");
    }
    // It is the operator's, and not the world's.
    for path in ["metrics", "readyz"] {
        let reply = send(server.http.get(format!("{}/{path}", server.base)));
        assert_eq!(reply.status, 404, "{path}");
    }
}

#[test]
fn a_server_that_cannot_keep_objects_says_so_and_recovers_by_itself() {
    let server = Server::demo();
    let (status, said) = ready(&server);
    assert_eq!((status, &said["ready"]), (200, &json!(true)), "{said}");
    assert_eq!(check(&said, "disk")["status"], "ok", "{said}");
    let connections = check(&said, "connections");
    assert_eq!(connections["status"], "ok", "{said}");
    assert!(
        connections["cause"]
            .as_str()
            .unwrap()
            .contains("1 at operator"),
        "{said}"
    );
    let (vault, away) = (
        server.house.dir().join("vault"),
        server.house.dir().join("away"),
    );
    std::fs::rename(&vault, &away).unwrap();
    let (status, said) = ready(&server);
    assert_eq!((status, &said["ready"]), (503, &json!(false)), "{said}");
    let objects = check(&said, "objects");
    assert_eq!(objects["status"], "failed");
    assert!(!objects["fix"].as_str().unwrap().is_empty());
    assert_eq!(check(&said, "ledger")["status"], "ok");
    let samples = samples(&server);
    assert_eq!(samples["agentkeys_ready{check=\"objects\"}"], "0");
    std::fs::rename(&away, &vault).unwrap();
    assert_eq!(ready(&server).0, 200);
}

#[test]
fn a_log_that_nobody_seals_is_told_of() {
    let house = House::demo();
    house.ok(&["audit", "checkpoint"]);
    let settings = [("AGENTKEYS_AUDIT_BATCH_SECONDS", "86400")];
    let server = Server::over(house, &settings);
    server
        .host("magiclick")
        .text("agentkeys.memory.get", json!({"namespace": "travel"}));
    let (_, said) = ready(&server);
    let audit = check(&said, "audit");
    assert_eq!(audit["status"], "ok", "{said}");
    let samples = samples(&server);
    let events = number(&samples, "agentkeys_audit_events_total");
    assert!(events > number(&samples, "agentkeys_audit_unsealed_events"));
    assert!(samples.contains_key("agentkeys_audit_checkpoint_timestamp_seconds"));
}

#[test]
fn a_page_that_leads_its_own_name_here_learns_nothing() {
    let settings = [("AGENTKEYS_SERVER_ALLOWED_HOSTS", "watch.example.com")];
    let server = Server::over(House::demo(), &settings);
    let own = server.operator.strip_prefix("http://").unwrap();
    for path in ["metrics", "readyz"] {
        let ask = |name: &str, value: &str| {
            let url = format!("{}/{path}", server.operator);
            send(server.http.get(url).header(name, value))
        };
        for (name, value, code) in [
            ("host", "evil.example", "agentkeys.http.host_not_allowed"),
            (
                "host",
                "127.0.0.1.evil.example",
                "agentkeys.http.host_not_allowed",
            ),
            (
                "origin",
                "https://evil.example",
                "agentkeys.http.origin_not_allowed",
            ),
        ] {
            let reply = ask(name, value);
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (403, code),
                "{value}"
            );
            assert!(!reply.body.contains("ledger"), "{}", reply.body);
        }
        for host in [own, "localhost:1", "watch.example.com"] {
            assert_eq!(ask("host", host).status, 200, "{host}");
        }
    }
    let rows = server.house.events(&["--tool", "monitor"]);
    assert_eq!(rows.len(), 6, "{rows:?}");
    assert!(rows.iter().all(|r| r["verdict"] == "deny"), "{rows:?}");
}
