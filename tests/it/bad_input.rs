//! Bad input: a stable code, a sentence that says what to do, and nothing changes.

use super::support::{House, Server, run_in, text};
use serde_json::json;

#[test]
fn bodies_that_are_no_message_are_refused_after_the_token_and_on_record() {
    let server = Server::demo();
    let host = server.host("folotoy");
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{}1{}}}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    let bad = [
        "{",
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        deep.as_str(),
    ];
    for body in bad {
        let reply = host.post(body.to_owned());
        assert_eq!(
            (reply.status, reply.code()),
            (400, "agentkeys.http.request_malformed".into()),
            "{body}"
        );
        assert_eq!(
            host.without("authorization").post(body.to_owned()).status,
            401
        );
    }
    let rows = server.house.events(&["--vendor", "folotoy"]);
    let malformed = rows
        .iter()
        .filter(|r| r["reason"] == "request_malformed")
        .count();
    assert_eq!(malformed, bad.len());
    let large = host.post("x".repeat(1024 * 1024 + 1));
    assert_eq!(
        (large.status, large.code()),
        (413, "agentkeys.http.body_too_large".into())
    );
}

#[test]
fn wrong_arguments_come_back_as_a_result_the_model_can_read() {
    let server = Server::demo();
    let host = server.host("folotoy");
    let wrong = [
        (
            "agentkeys.memory.get",
            json!({}),
            "agentkeys.tool.argument_invalid",
        ),
        (
            "agentkeys.memory.get",
            json!({"namespace": 7}),
            "agentkeys.tool.argument_invalid",
        ),
        (
            "agentkeys.memory.get",
            json!({"namespace": "profile"}),
            "agentkeys.memory.namespace_unknown",
        ),
        (
            "agentkeys.memory.get",
            json!({"namespace": "travel", "x": 1}),
            "agentkeys.tool.argument_unknown",
        ),
        (
            "agentkeys.memory.get",
            json!({"namespace": "travel", "version": 99}),
            "agentkeys.memory.version_not_found",
        ),
        (
            "agentkeys.permission.check",
            json!({}),
            "agentkeys.tool.argument_invalid",
        ),
        (
            "agentkeys.permission.check",
            json!({"scope": "x", "params": 1}),
            "agentkeys.tool.argument_invalid",
        ),
        (
            "agentkeys.cap.mint",
            json!({"op": "everything"}),
            "agentkeys.tool.argument_invalid",
        ),
        (
            "agentkeys.audit.append",
            json!({"event": {}}),
            "agentkeys.audit.kind_missing",
        ),
        (
            "agentkeys.audit.append",
            json!({"event": {"kind": "x", "body": "y".repeat(5000)}}),
            "agentkeys.audit.event_too_large",
        ),
    ];
    for (tool, arguments, code) in wrong {
        let result = host.result(tool, arguments.clone());
        assert_eq!(result["isError"], true, "{tool} {arguments}");
        assert_eq!(
            result["structuredContent"]["error"], code,
            "{tool} {arguments}"
        );
        let row = server.house.events(&["--tool", tool]).pop().unwrap();
        assert_eq!(row["verdict"], "error");
        assert_eq!(
            Some(row["reason"].as_str().unwrap()),
            code.rsplit('.').next()
        );
    }
}

#[test]
fn every_version_is_spoken_and_unknown_ones_are_negotiated() {
    let server = Server::demo();
    let host = server.host("folotoy");
    let initialize = |version: &str| {
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
        host.method("initialize", &params).json()["result"]["protocolVersion"].clone()
    };
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        assert_eq!(initialize(version), version);
        let list = host
            .with("mcp-protocol-version", version)
            .method("tools/list", &json!({}));
        assert_eq!(list.status, 200, "{version}");
    }
    assert_eq!(initialize("1999-01-01"), "2025-11-25");
    let meta = json!({"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "0"},
    }});
    let modern = host
        .with("mcp-protocol-version", "2026-07-28")
        .with("mcp-method", "server/discover");
    let discovered = modern.method("server/discover", &meta);
    assert_eq!(discovered.status, 200, "{}", discovered.body);
    assert!(discovered.body.contains("2026-07-28"));
    let no_header = host
        .with("mcp-protocol-version", "2026-07-28")
        .method("tools/list", &meta);
    assert_eq!(no_header.status, 400, "{}", no_header.body);
}

#[test]
fn what_hosts_send_is_taken_as_they_send_it() {
    let server = Server::demo();
    let host = server.host("folotoy");
    let list = |host: &super::support::Host<'_>| host.method("tools/list", &json!({}));
    for accept in [
        "*/*",
        "application/json",
        "application/json, text/event-stream",
    ] {
        let reply = list(&host.with("accept", accept));
        assert_eq!(reply.status, 200, "{accept}");
        assert!(
            reply.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("application/json")
        );
    }
    let sse = list(&host.with("accept", "text/event-stream"));
    assert_eq!(sse.headers["content-type"], "text/event-stream");
    assert!(sse.body.starts_with("event: message\ndata: {"));
    let slash = super::support::Host {
        path: "/mcp/".into(),
        ..host.clone()
    };
    assert_eq!(list(&slash).status, 200);
    let null = host.post(r#"{"jsonrpc":"2.0","id":"abc","method":"tools/list","params":null}"#);
    assert_eq!(null.json()["id"], "abc");
    let notified = host.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert_eq!(notified.status, 202);
    let get = super::support::send(server.http.get(format!("{}/mcp", server.base)));
    assert_eq!(
        (get.status, get.headers["allow"].clone()),
        (405, "POST".parse().unwrap())
    );
}

#[test]
fn an_unknown_key_in_the_configuration_is_an_error_that_names_it() {
    let house = House::init(&[]);
    let file = house.dir().join("agentkeys.toml");
    let old = std::fs::read_to_string(&file).unwrap_or_default();
    std::fs::write(&file, format!("{old}\n[sever]\nlisten = \"127.0.0.1:1\"\n")).unwrap();
    let output = run_in(&house.dir(), &["config", "show"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("sever"),
        "{}",
        text(&output.stderr)
    );
}
