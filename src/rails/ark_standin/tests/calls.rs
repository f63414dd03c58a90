//! One turn: what is listed, chosen and called.

use super::*;

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
