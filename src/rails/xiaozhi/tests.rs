#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::link::{SESSION, VERSION, unwrap_reply};
use super::*;
use crate::publish::wire::{self, Access};
use crate::rails::test_server::{MEMORY, Options, TestServer};
use crate::secret::Secret;

fn settings(url: &str) -> Settings {
    let access = Access {
        url: url.to_owned(),
        token: Secret::new("t1".to_owned()),
        actor: Some("O_kevin_001".to_owned()),
    };
    let file = wire::xiaozhi::settings(&access).unwrap();
    Settings::parse("test", file.as_bytes(), None).unwrap()
}

fn arguments(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[tokio::test]
async fn the_wire_is_the_python_sdks_byte_for_byte() {
    let server = TestServer::start(Options::default()).await;
    let host = XiaozhiHost::connect(&settings(&server.url)).await.unwrap();
    let sent = arguments(&json!({"q": "火锅 🍲", "n": 1}));
    let seen = host
        .call("agentkeys_permission_check", &sent)
        .await
        .unwrap();
    assert_eq!(seen.text, r#"{"q":"火锅 🍲","n":1}"#);
    host.call("agentkeys_memory_get", &Map::new())
        .await
        .unwrap();
    host.close().await.unwrap();

    let requests = server.seen.lock();
    let bodies: Vec<&str> = requests.iter().map(|r| r.body.as_str()).collect();
    // Captured from mcp 1.22.0 with httpx 0.28.1.
    assert_eq!(
        bodies,
        [
            r#"{"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"mcp","version":"0.1.0"}},"jsonrpc":"2.0","id":0}"#,
            r#"{"method":"notifications/initialized","jsonrpc":"2.0"}"#,
            r#"{"method":"tools/list","jsonrpc":"2.0","id":1}"#,
            r#"{"method":"tools/call","params":{"name":"agentkeys.permission.check","arguments":{"q":"火锅 🍲","n":1},"_meta":{"progressToken":2}},"jsonrpc":"2.0","id":2}"#,
            r#"{"method":"tools/call","params":{"name":"agentkeys.memory.get","arguments":{},"_meta":{"progressToken":3}},"jsonrpc":"2.0","id":3}"#,
        ]
    );
    for (i, request) in requests.iter().enumerate() {
        let header = |name: &str| {
            request
                .headers
                .get(name)
                .map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(header("user-agent").unwrap(), "python-httpx/0.28.1");
        assert_eq!(
            header("accept").unwrap(),
            "application/json, text/event-stream"
        );
        assert_eq!(header("content-type").unwrap(), "application/json");
        assert_eq!(header("authorization").unwrap(), "Bearer t1");
        assert_eq!(header("x-agentkeys-actor").unwrap(), "O_kevin_001");
        assert_eq!(header(SESSION), None);
        assert_eq!(header(VERSION).as_deref(), (i > 0).then_some("2025-06-18"));
    }
}

#[tokio::test]
async fn a_server_with_sessions_gets_its_id_back_a_stream_and_a_delete() {
    let server = TestServer::start(Options {
        sessions: true,
        ..Options::default()
    })
    .await;
    let host = XiaozhiHost::connect(&settings(&server.url)).await.unwrap();
    assert!(host.connected().session);
    let seen = host
        .call("agentkeys_memory_get", &Map::new())
        .await
        .unwrap();
    assert_eq!(seen.text, MEMORY[..20]);
    host.close().await.unwrap();
    assert_eq!(
        server.order(),
        [
            "POST initialize",
            "POST notifications/initialized",
            "GET",
            "POST tools/list",
            "POST tools/call",
            "DELETE"
        ]
    );
    let requests = server.seen.lock();
    assert!(
        requests
            .iter()
            .skip(1)
            .all(|r| r.headers.contains_key(SESSION))
    );
    let accepts: Vec<_> = requests[2].headers.get_all("accept").iter().collect();
    assert_eq!(
        accepts,
        ["application/json, text/event-stream", "text/event-stream"]
    );
}

#[tokio::test]
async fn tools_are_seen_by_their_sanitised_names_and_called_by_their_own() {
    let server = TestServer::start(Options::default()).await;
    let host = XiaozhiHost::connect(&settings(&server.url)).await.unwrap();
    let names: Vec<(&str, &str)> = host
        .tools()
        .iter()
        .map(|t| (t.tool.as_str(), t.wire_name.as_str()))
        .collect();
    assert_eq!(names[0], ("agentkeys_memory_get", "agentkeys.memory.get"));
    assert!(host.findings().is_empty());
    assert_eq!(host.connected().server_info["name"], "test-server");

    let put = host
        .call("agentkeys_memory_put", &Map::new())
        .await
        .unwrap();
    assert!(put.is_error && put.http_status == 200);
    assert_eq!(put.wire_name, "agentkeys.memory.put");
    let dotted = host
        .call("agentkeys.memory.get", &Map::new())
        .await
        .unwrap_err();
    assert!(matches!(dotted, RailError::UnknownTool { .. }));
}

#[tokio::test]
async fn a_failed_call_is_shown_and_never_repeated() {
    let server = TestServer::start(Options::default()).await;
    let host = XiaozhiHost::connect(&settings(&server.url)).await.unwrap();
    let error = host
        .call("agentkeys_identity_whoami", &Map::new())
        .await
        .unwrap_err();
    assert_eq!(error.server_code(), Some("agentkeys.test.broken"));
    assert!(matches!(error, RailError::Rpc { code: -32603, .. }));
    assert_eq!(
        server
            .order()
            .iter()
            .filter(|m| *m == "POST tools/call")
            .count(),
        1
    );
}

#[tokio::test]
async fn refusals_keep_status_and_code_and_redirects_are_not_followed() {
    for (status, words) in [(401, "no"), (403, "no"), (307, "redirect")] {
        let server = TestServer::start(Options {
            refuse: Some(status),
            ..Options::default()
        })
        .await;
        let error = XiaozhiHost::connect(&settings(&server.url))
            .await
            .unwrap_err();
        assert_eq!(error.http_status(), Some(status));
        assert!(error.to_string().contains(words), "{error}");
        if status != 307 {
            assert_eq!(error.server_code(), Some("agentkeys.auth.token_unknown"));
            assert_eq!(
                crate::problem::Problem::from(error).exit,
                crate::problem::Exit::Auth
            );
        }
        assert_eq!(server.order(), ["POST initialize"]);
    }
    let gone = XiaozhiHost::connect(&settings("http://127.0.0.1:1/mcp"))
        .await
        .unwrap_err();
    assert!(matches!(gone, RailError::Unreachable { .. }), "{gone}");
}

#[test]
fn answers_that_hang_the_host_are_named() {
    let rpc = |reply: Value| {
        unwrap_reply("tools/call", reply, 2)
            .unwrap_err()
            .to_string()
    };
    assert!(rpc(json!({"jsonrpc":"2.0","id":"2","result":{}})).contains("not the number 2"));
    assert!(rpc(json!({"jsonrpc":"2.0","id":2})).contains("no object `result`"));
    assert!(
        negotiated(&json!({"protocolVersion":"2025-11-25"}))
            .unwrap_err()
            .to_string()
            .contains("Unsupported protocol version")
    );
    assert!(first_text("x", &json!({"structuredContent":{}})).is_err());
    assert_eq!(first_text("x", &json!({"content":[]})).unwrap(), "");
}
