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
    // An answer, though nothing was asked.
    let answer = host.post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(answer.status, 400, "{}", answer.body);
    let row = server.house.events(&["--vendor", "folotoy"]).pop().unwrap();
    assert_eq!(
        (&row["tool"], &row["status"]),
        (&json!("response"), &json!(400))
    );
    let get = super::support::send(server.http.get(format!("{}/mcp", server.base)));
    assert_eq!(
        (get.status, get.headers["allow"].clone()),
        (405, "POST".parse().unwrap())
    );
}

/// Begins a request, and never sends the rest of its body.
fn begin(server: &Server, bearer: &str) -> std::net::TcpStream {
    use std::io::Write as _;
    let address = server.base.strip_prefix("http://").unwrap();
    let mut slow = std::net::TcpStream::connect(address).unwrap();
    write!(
        slow,
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {bearer}\r\n\
         x-agentkeys-actor: O_kevin_001\r\ncontent-length: 100\r\n\r\n{{"
    )
    .unwrap();
    slow
}

#[test]
fn a_body_that_does_not_arrive_is_given_up_on_record() {
    use std::io::Read as _;
    let server = Server::demo();
    let mut slow = begin(&server, &server.house.token("folotoy"));
    let begun = std::time::Instant::now();
    slow.set_read_timeout(Some(std::time::Duration::from_secs(45)))
        .unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("agentkeys.http.body_timeout"), "{answer}");
    assert!(begun.elapsed() > std::time::Duration::from_secs(29));
    let rows = server.house.events(&["--vendor", "folotoy"]);
    let row = rows.last().unwrap();
    assert_eq!(
        (&row["reason"], &row["status"]),
        (&json!("body_timeout"), &json!(408))
    );
}

#[cfg(target_os = "linux")]
#[test]
fn bodies_that_arrive_at_once_from_one_place_are_bounded_and_others_come_through() {
    let env = [
        ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0"),
        ("AGENTKEYS_SERVER_BEHIND_PROXY", "127.0.0.0/8"),
    ];
    let server = Server::over(House::demo(), &env);
    let host = server.host("folotoy");
    let list = || host.method("tools/list", &json!({}));
    let elsewhere = server.host("folotoy").with("x-forwarded-for", "192.0.2.7");
    let slow: Vec<_> = (0..128).map(|_| begin(&server, "x")).collect();
    let since = std::time::Instant::now();
    // The last of them is on its way for a moment.
    let full = loop {
        let reply = list();
        if reply.status != 200 {
            break reply;
        }
        assert!(since.elapsed() < std::time::Duration::from_secs(15));
    };
    assert_eq!(
        (full.status, full.code()),
        (429, "agentkeys.http.rate_limited".into())
    );
    assert!(full.headers.contains_key("retry-after"));
    assert_eq!(elsewhere.method("tools/list", &json!({})).status, 200);
    let rows = server.house.events(&["--vendor", "folotoy"]);
    assert_eq!(rows.last().unwrap()["reason"], "rate_limited");
    drop(slow);
    let since = std::time::Instant::now();
    while list().status != 200 {
        assert!(since.elapsed() < std::time::Duration::from_secs(15));
    }
}

/// Posts a body to a parent's endpoint.
fn parent(server: &Server, token: &str, path: &str, body: &str) -> super::support::Reply {
    let url = format!("{}/v1/actors/{path}", server.base);
    let request = server.http.post(url).bearer_auth(token);
    super::support::send(request.body(body.to_owned()))
}

#[test]
fn a_parents_body_says_exactly_what_it_wants_or_nothing_happens() {
    let server = Server::demo();
    let token = server.reader("parent", &["--actor", "O_kevin_001"]);
    let kept = |namespace: &str| {
        let history = server
            .house
            .ok(&["memory", "history", "O_kevin_001", namespace]);
        history["versions"].as_array().unwrap().len()
    };
    let before = (kept("travel"), kept("family"));
    assert!(before.0 > 0 && before.1 > 0, "{before:?}");
    let wrong = [
        ("erase", ""),
        ("erase", "{}"),
        ("erase", "[]"),
        ("erase", "null"),
        ("erase", r#"{"namespace":null}"#),
        ("erase", r#"{"all":false}"#),
        ("erase", r#"{"all":"true"}"#),
        ("erase", r#"{"namespace":"travel","all":true}"#),
        ("erase", r#"{"namespace":"travle"}"#),
        ("erase", r#"{"all":true,"all":true}"#),
        ("erase", r#"{"all":true,"vendor":"magiclick"}"#),
        ("grant", ""),
        ("grant", "{}"),
        ("grant", r#"{"vendor":"magiclick","reads":["travel"]}"#),
        ("grant", r#"{"vendor":"magiclick","namespace":"travel"}"#),
        ("grant", r#"{"vendor":"magiclick","daily_cap":500}"#),
        ("ungrant", r#"{"scopes":["payment.*"]}"#),
        ("ungrant", r#"{"vendor":"magiclick","all":true}"#),
    ];
    for (change, body) in wrong {
        let reply = parent(&server, &token, &format!("O_kevin_001/{change}"), body);
        assert_eq!(
            (reply.status, reply.code()),
            (400, "agentkeys.http.request_malformed".into()),
            "{change} {body}"
        );
    }
    assert_eq!((kept("travel"), kept("family")), before);
    for (tool, count) in [
        ("memory.erase", 11),
        ("actor.grant", 5),
        ("actor.ungrant", 2),
    ] {
        let rows = server.house.events(&["--tool", tool]);
        let refused = rows.iter().filter(|r| r["reason"] == "request_malformed");
        assert_eq!(refused.count(), count, "{tool}");
    }
    let one = parent(
        &server,
        &token,
        "O_kevin_001/erase",
        r#"{"namespace":"travel"}"#,
    );
    assert_eq!(one.status, 200, "{}", one.body);
    assert_eq!((kept("travel"), kept("family")), (0, before.1));
    let all = parent(&server, &token, "O_kevin_001/erase", r#"{"all":true}"#);
    assert_eq!(all.status, 200, "{}", all.body);
    assert_eq!(kept("family"), 0);
}

#[test]
fn a_path_that_cannot_be_decoded_is_refused_on_record() {
    let server = Server::demo();
    let token = server.reader("parent", &["--actor", "O_kevin_001"]);
    let body = r#"{"vendor":"magiclick","read":["travel"]}"#;
    let reply = parent(&server, &token, "%ff/grant", body);
    assert_eq!(
        (reply.status, reply.code()),
        (400, "agentkeys.http.request_malformed".into())
    );
    let row = server.house.events(&["--tool", "actor.grant"]).pop();
    let row = row.unwrap();
    assert_eq!(
        (&row["reason"], &row["by"]),
        (&json!("request_malformed"), &json!("parent"))
    );
    assert_eq!(parent(&server, "akv_x", "%ff/grant", body).status, 401);
    assert_eq!(parent(&server, &token, "O_kevin_001/%ff", "").status, 404);
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
