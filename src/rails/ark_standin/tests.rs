#![allow(clippy::unwrap_used)]
use super::*;
use crate::rails::ark::{ArkClient, Item, Request};
use crate::rails::test_server::{MEMORY, Options, TestServer};

const CAPTURED: &str = include_str!("../../../fixtures/ark-wire-example.json");

async fn stand_in() -> Running {
    let standin = Standin::new(
        Secret::new("ark-test-key".to_owned()),
        Prompts::built_in().unwrap(),
        CaFile::default(),
    );
    standin
        .start(TcpListener::bind("127.0.0.1:0").await.unwrap())
        .unwrap()
}

fn client(running: &Running) -> ArkClient {
    ArkClient::new(running.base_url(), Secret::new("ark-test-key".to_owned())).unwrap()
}

fn entry(url: &str, more: Value) -> Vec<Value> {
    let mut tool = json!({
        "type": "mcp", "server_label": "agentkeys", "server_url": url,
        "headers": {"Authorization": "Bearer v1", "X-AgentKeys-Actor": "O_kevin_001"},
    });
    let Value::Object(more) = more else {
        unreachable!()
    };
    tool.as_object_mut().unwrap().extend(more);
    vec![tool]
}

async fn ask(url: &str, said: &str, more: Value) -> Vec<Item> {
    let running = stand_in().await;
    let request = Request::prompt("m", said, entry(url, more));
    let response = client(&running).respond(&request).await.unwrap();
    assert_eq!(
        (response.status.as_str(), response.via()),
        ("completed", "stand-in, scripted model")
    );
    running.stop().await;
    response.output
}

#[tokio::test]
async fn memory_comes_through_unchanged_to_the_byte() {
    for underscores in [false, true] {
        let server = TestServer::start(Options {
            underscores,
            ..Options::default()
        })
        .await;
        let items = ask(
            &server.url,
            "周末我要去哪儿？",
            json!({"require_approval": "never"}),
        )
        .await;
        let Item::ListTools {
            tools, error: None, ..
        } = &items[0]
        else {
            panic!("{items:?}")
        };
        assert_eq!(tools.len(), 4);
        let Item::Call {
            name,
            arguments,
            output: Some(output),
            error: None,
            ..
        } = &items[1]
        else {
            panic!("{items:?}")
        };
        assert_eq!(output.as_bytes(), MEMORY.as_bytes());
        assert_eq!(arguments, r#"{"namespace":"travel"}"#);
        assert_eq!(name.contains('_'), underscores);
        let Item::Message { text } = &items[2] else {
            panic!("{items:?}")
        };
        assert!(text.contains(MEMORY) && text.starts_with("[stand-in]"));
        assert_eq!(items.len(), 3);

        let seen = server.seen.lock();
        assert!(
            seen.iter()
                .all(|r| r.headers["authorization"] == "Bearer v1"
                    && r.headers["x-agentkeys-actor"] == "O_kevin_001")
        );
    }
}

#[tokio::test]
async fn nothing_is_called_before_an_approval_unless_said_otherwise() {
    let server = TestServer::start(Options::default()).await;
    for more in [
        json!({}),
        json!({"require_approval": null}),
        json!({"require_approval": "always"}),
        json!({"require_approval": {"never": {"tool_names": ["agentkeys.memory.put"]}}}),
        json!({"require_approval": {"always": {"tool_names": ["agentkeys_memory_get"]}}}),
    ] {
        let items = ask(&server.url, "where this weekend?", more).await;
        let Some(Item::ApprovalRequest {
            id,
            name,
            arguments,
            ..
        }) = items.last()
        else {
            panic!("{items:?}")
        };
        assert_eq!(
            (id.as_str(), name.as_str(), arguments.as_str()),
            (
                "mcpr_1_2",
                "agentkeys.memory.get",
                r#"{"namespace":"travel"}"#
            )
        );
    }
    assert!(!server.order().contains(&"POST tools/call".to_owned()));
    let items = ask(
        &server.url,
        "where this weekend?",
        json!({"require_approval": {"never": {"tool_names": ["agentkeys_memory_get"]}}}),
    )
    .await;
    assert!(matches!(
        &items[1],
        Item::Call {
            output: Some(_),
            ..
        }
    ));
}

#[tokio::test]
async fn only_allowed_and_listed_tools_are_chosen_and_nothing_is_made_up() {
    let server = TestServer::start(Options::default()).await;
    for allowed in [
        json!(["agentkeys_memory_get"]),
        json!({"tool_names": ["agentkeys.memory.get"]}),
    ] {
        let more = json!({"require_approval": "never", "allowed_tools": allowed});
        let items = ask(&server.url, "Order hotpot for ¥600", more.clone()).await;
        let Item::ListTools { tools, .. } = &items[0] else {
            panic!()
        };
        assert_eq!(tools.len(), 1);
        assert!(matches!(&items[1], Item::Message { text } if text.contains("no server lists it")));
        let items = ask(&server.url, "my trip?", more).await;
        assert!(matches!(&items[1], Item::Call { .. }));
    }
    let items = ask(
        &server.url,
        "sing a song",
        json!({"require_approval": "never"}),
    )
    .await;
    assert!(matches!(&items[1..], [Item::Message { text }] if text.contains("knows no answer")));
}

#[tokio::test]
async fn tool_errors_are_items_and_not_outputs() {
    let server = TestServer::start(Options::default()).await;
    let never = json!({"require_approval": "never"});
    let items = ask(&server.url, "记住我的行程", never.clone()).await;
    assert!(
        matches!(&items[1], Item::Call { output: None, error: Some(e), .. } if e.contains("Chengdu"))
    );
    let items = ask(&server.url, "who am i", never.clone()).await;
    assert!(
        matches!(&items[1], Item::Call { output: None, error: Some(e), .. } if e.contains("broken on purpose"))
    );
    let items = ask(&server.url, "Order hotpot for ¥600", never).await;
    assert!(
        matches!(&items[1], Item::Call { output: Some(o), .. } if o.contains(r#""amount_rmb":600"#))
    );
}

#[tokio::test]
async fn an_mcp_server_that_refuses_or_is_gone_shows_as_a_list_error() {
    for (status, words) in [(401, "401"), (403, "403"), (500, "500"), (307, "307")] {
        let server = TestServer::start(Options {
            refuse: Some(status),
            ..Options::default()
        })
        .await;
        let items = ask(
            &server.url,
            "my trip?",
            json!({"require_approval": "never"}),
        )
        .await;
        assert!(
            matches!(&items[0], Item::ListTools { error: Some(e), tools, .. } if e.contains(words) && tools.is_empty()),
            "{items:?}"
        );
        assert_eq!(server.order(), ["POST initialize"]);
    }
    let items = ask(
        "http://127.0.0.1:1/mcp",
        "my trip?",
        json!({"require_approval": "never"}),
    )
    .await;
    assert!(
        matches!(&items[0], Item::ListTools { error: Some(e), .. } if e.contains("cannot be reached")),
        "{items:?}"
    );
    assert_eq!(items.len(), 2);
}

/// Posts as Ark's SDK does; the MCP server's address is replaced by a live one.
async fn post(running: &Running, key: &str, beta: bool, body: &Value) -> (u16, Value) {
    let mut call = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("{}/responses", running.base_url()))
        .bearer_auth(key)
        .body(body.to_string());
    if beta {
        call = call.header("ark-beta-mcp", "true");
    }
    let answer = call.send().await.unwrap();
    assert!(answer.headers().contains_key(STANDIN_HEADER));
    (
        answer.status().as_u16(),
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
    )
}

fn captured(index: usize, url: &str) -> Value {
    let all: Value = serde_json::from_str(CAPTURED).unwrap();
    let mut body = all["requests"][index]["body"].clone();
    body["tools"][0]["server_url"] = url.into();
    body
}

#[tokio::test]
async fn the_five_captured_requests_are_answered_or_refused_as_documented() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let kinds = |answer: &Value| -> Vec<String> {
        answer["output"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let (status, answer) = post(&running, "ark-test-key", true, &captured(0, &server.url)).await;
    assert_eq!(
        (status, kinds(&answer)),
        (
            200,
            vec!["mcp_list_tools".into(), "mcp_call".into(), "message".into()]
        )
    );
    assert_eq!(answer["usage"]["tool_usage"]["mcp"], 1);
    assert_eq!(answer["output"][1]["output"], MEMORY);
    assert!(!answer["tools"].to_string().contains("vendor-token"));

    let (status, answer) = post(&running, "ark-test-key", true, &captured(1, &server.url)).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("stream")));

    let (status, answer) = post(&running, "ark-test-key", true, &captured(2, &server.url)).await;
    assert_eq!(
        (status, kinds(&answer)),
        (
            200,
            vec!["mcp_list_tools".into(), "mcp_approval_request".into()]
        )
    );

    let (status, answer) = post(&running, "ark-test-key", true, &captured(3, &server.url)).await;
    assert_eq!(
        (status, &answer["error"]["param"]),
        (400, &json!("previous_response_id"))
    );

    let (status, answer) = post(&running, "ark-test-key", true, &captured(4, &server.url)).await;
    assert_eq!(
        (status, kinds(&answer)),
        (
            200,
            vec!["mcp_list_tools".into(), "mcp_call".into(), "message".into()]
        )
    );
}

#[tokio::test]
async fn refusals_have_arks_shape() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let good = captured(0, &server.url);
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (beta, body, param) in [
        (false, good.clone(), "tools"),
        (true, with("caching", json!({"type": "enabled"})), "caching"),
        (true, with("max_tool_calls", json!(11)), "max_tool_calls"),
        (true, with("model", json!(null)), "model"),
        (true, with("input", json!([])), "input"),
        (
            true,
            with("tools", json!([{"type": "function"}])),
            "tools[0].type",
        ),
        (
            true,
            with("tools", json!([{"type": "mcp", "server_label": "a"}])),
            "tools[0].server_url",
        ),
        (
            true,
            with(
                "tools",
                json!(entry(&server.url, json!({"headers": {"X": "小明"}}))),
            ),
            "tools[0].headers",
        ),
        (
            true,
            with(
                "tools",
                json!(entry(&server.url, json!({"require_approval": "maybe"}))),
            ),
            "tools[0].require_approval",
        ),
        (
            true,
            with(
                "tool_choice",
                json!({"type": "mcp", "server_label": "other"}),
            ),
            "tool_choice.server_label",
        ),
        (
            true,
            with(
                "tool_choice",
                json!({"type": "mcp", "server_label": "agentkeys", "name": "agentkeys.memory.put"}),
            ),
            "tool_choice.name",
        ),
        (true, json!([]), ""),
    ] {
        let (status, answer) = post(&running, "ark-test-key", beta, &body).await;
        assert_eq!(
            (status, &answer["error"]["param"]),
            (400, &json!(param)),
            "{answer}"
        );
        assert_eq!(answer["error"]["type"], "BadRequest");
    }
    let (status, answer) = post(&running, "wrong", true, &good).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (401, &json!("AuthenticationError"))
    );

    let wrong = ArkClient::new(running.base_url(), Secret::new("wrong".to_owned())).unwrap();
    let error = wrong
        .respond(&Request::prompt("m", "x", Vec::new()))
        .await
        .unwrap_err();
    assert_eq!(
        (error.http_status(), error.server_code()),
        (Some(401), Some("AuthenticationError"))
    );
    let elsewhere = ArkClient::new(
        &format!("{}/x", running.base_url()),
        Secret::new("ark-test-key".to_owned()),
    )
    .unwrap();
    let error = elsewhere
        .respond(&Request::prompt("m", "x", Vec::new()))
        .await
        .unwrap_err();
    assert_eq!(error.http_status(), Some(404));
}

#[tokio::test]
async fn a_tool_choice_of_none_and_a_request_without_tools_only_speak() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let mut request = Request::prompt(
        "m",
        "my trip?",
        entry(&server.url, json!({"require_approval": "never"})),
    );
    request.tool_choice = Some("none".into());
    let got = client(&running).respond(&request).await.unwrap();
    assert!(matches!(
        &got.output[..],
        [Item::ListTools { .. }, Item::Message { .. }]
    ));
    let got = client(&running)
        .respond(&Request::prompt("m", "my trip?", Vec::new()))
        .await
        .unwrap();
    assert!(matches!(&got.output[..], [Item::Message { .. }]));
    assert_eq!(got.id, "resp_2");
}
