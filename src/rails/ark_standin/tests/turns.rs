//! Several turns: approvals, conversations, what is kept and for how long.

use super::*;
use reqwest::Method;

/// Asks, and answers the approval that is asked for.
async fn approved(running: &Running, url: &str, said: &str, answer: Value) -> (Value, Value) {
    let always = json!({"tools": entry(url, json!({}))});
    let first = good(post(running, &body(url, said, always.clone())).await);
    let request = &first["output"][1];
    assert_eq!(kinds(&first), ["mcp_list_tools", "mcp_approval_request"]);
    let mut reply = json!({
        "type": "mcp_approval_response", "approval_request_id": request["id"], "id": null,
    });
    reply
        .as_object_mut()
        .unwrap()
        .extend(answer.as_object().unwrap().clone());
    let mut second = body(url, "", always);
    second["input"] = json!([reply]);
    second["previous_response_id"] = first["id"].clone();
    let second = good(post(running, &second).await);
    (first, second)
}

#[tokio::test]
async fn an_approved_call_is_made_with_the_arguments_that_were_shown() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let (first, second) =
        approved(&running, &server.url, "my trip?", json!({"approve": true})).await;
    assert_eq!(
        first["output"][1].to_string(),
        r#"{"type":"mcp_approval_request","id":"mcpr_1_2","name":"agentkeys.memory.get","arguments":"{\"namespace\":\"travel\"}","server_label":"agentkeys"}"#
    );
    assert_eq!(kinds(&second), ["mcp_list_tools", "mcp_call", "message"]);
    assert_eq!(second["output"][1]["output"], MEMORY);
    assert_eq!(
        second["output"][1]["arguments"],
        first["output"][1]["arguments"]
    );
    assert_eq!(second["previous_response_id"], first["id"]);
    assert_eq!(
        (
            &first["usage"]["tool_usage"]["mcp"],
            &second["usage"]["tool_usage_details"]["mcp"]
        ),
        (&json!(0), &json!({"agentkeys": 1}))
    );
    let calls = server
        .order()
        .iter()
        .filter(|o| *o == "POST tools/call")
        .count();
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn a_denied_call_is_not_made_and_the_reason_is_cleaned() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let no = json!({"approve": false, "reason": "not\u{1b} now"});
    let (_, second) = approved(&running, &server.url, "my trip?", no).await;
    assert_eq!(kinds(&second), ["mcp_list_tools", "message"]);
    assert_eq!(
        words(&second),
        "[stand-in] agentkeys.memory.get was not approved (not\u{fffd} now), so it is not called."
    );
    assert!(!server.order().contains(&"POST tools/call".to_owned()));
}

#[tokio::test]
async fn an_approval_goes_on_with_the_plan_and_asks_again() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let (_, second) = approved(
        &running,
        &server.url,
        "plan my weekend",
        json!({"approve": true}),
    )
    .await;
    // The second step waits for its own approval.
    assert_eq!(
        kinds(&second),
        ["mcp_list_tools", "mcp_call", "mcp_approval_request"]
    );
    assert_eq!(second["output"][2]["name"], "agentkeys.permission.check");
    let third = json!({"previous_response_id": second["id"], "input": [{
        "type": "mcp_approval_response", "approve": true, "approval_request_id": second["output"][2]["id"],
    }]});
    let third = good(post(&running, &body(&server.url, "", third)).await);
    assert_eq!(kinds(&third), ["mcp_list_tools", "mcp_call", "message"]);
    assert!(words(&third).contains("permission.check answered"));
}

#[tokio::test]
async fn approvals_that_fit_nothing_are_refused() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let (first, _) = approved(&running, &server.url, "my trip?", json!({"approve": true})).await;
    let id = first["output"][1]["id"].as_str().unwrap();
    let reply = |id: &str| json!([{"type": "mcp_approval_response", "approve": true, "approval_request_id": id}]);
    let good_tools = json!(entry(&server.url, json!({})));
    for (input, previous, tools, param) in [
        // Another conversation, no conversation, answered already, and no server to call it on.
        (
            reply("mcpr_9_9"),
            json!("resp_1"),
            good_tools.clone(),
            "input.approval_request_id",
        ),
        (
            reply(id),
            json!(null),
            good_tools.clone(),
            "input.approval_request_id",
        ),
        (
            reply(id),
            json!("resp_2"),
            good_tools.clone(),
            "input.approval_request_id",
        ),
        (reply(id), json!("resp_1"), json!([]), "tools"),
        (
            reply(id),
            json!("resp_7"),
            good_tools,
            "previous_response_id",
        ),
    ] {
        let request =
            json!({"model": "m", "input": input, "previous_response_id": previous, "tools": tools});
        let (status, answer) = post(&running, &request).await;
        assert_eq!(
            (status, &answer["error"]["param"]),
            (400, &json!(param)),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_conversation_has_a_length_beyond_which_it_does_not_go_on() {
    let running = stand_in().await;
    let said = |count: usize, after: Value| {
        let input = vec![json!({"role": "user", "content": "x"}); count];
        json!({"model": "m", "input": input, "previous_response_id": after})
    };
    let first = good(post(&running, &said(MOST_ITEMS - 1, json!(null))).await);
    good(post(&running, &said(1, first["id"].clone())).await);
    let (status, answer) = post(&running, &said(2, first["id"].clone())).await;
    let param = &answer["error"]["param"];
    assert_eq!((status, param), (400, &json!("previous_response_id")));
}

/// What may be called is what this turn's entry lets the model see, whatever was approved before.
#[tokio::test]
async fn an_approved_tool_that_is_not_listed_any_more_is_not_called() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let ask = json!({"tools": entry(&server.url, json!({}))});
    let first = good(post(&running, &body(&server.url, "my trip?", ask)).await);
    let tools = entry(
        &server.url,
        json!({"allowed_tools": ["agentkeys.identity.whoami"]}),
    );
    let reply = json!({"tools": tools, "previous_response_id": first["id"], "input": [{
        "type": "mcp_approval_response", "approve": true, "approval_request_id": first["output"][1]["id"],
    }]});
    let second = good(post(&running, &body(&server.url, "", reply)).await);
    assert_eq!(kinds(&second), ["mcp_list_tools", "message"]);
    assert!(words(&second).contains("was approved, but agentkeys does not list it"));
    assert!(!server.order().contains(&"POST tools/call".to_owned()));
}

#[tokio::test]
async fn functions_may_stand_beside_servers_and_are_not_chosen() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let mut tools = entry(&server.url, json!({"require_approval": "never"}));
    tools.push(json!({"type": "function", "name": "agentkeys_memory_get", "parameters": {}}));
    let answer = good(
        post(
            &running,
            &body(&server.url, "my trip?", json!({"tools": tools})),
        )
        .await,
    );
    assert_eq!(kinds(&answer), ["mcp_list_tools", "mcp_call", "message"]);
    assert_eq!(answer["tools"][1]["name"], "agentkeys_memory_get");
}

#[tokio::test]
async fn a_conversation_carried_by_hand_goes_the_same_way() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let tools = json!({"tools": entry(&server.url, json!({})), "store": false});
    let first = good(post(&running, &body(&server.url, "my trip?", tools.clone())).await);
    assert_eq!(
        (&first["store"], first.get("expire_at")),
        (&json!(false), None)
    );
    let mut input = vec![json!({"role": "user", "content": "my trip?"})];
    input.extend(first["output"].as_array().unwrap().iter().cloned());
    input.push(json!({"type": "mcp_approval_response", "approve": true, "approval_request_id": first["output"][1]["id"]}));
    let mut second = body(&server.url, "", tools);
    second["input"] = input.into();
    let second = good(post(&running, &second).await);
    assert_eq!(kinds(&second), ["mcp_list_tools", "mcp_call", "message"]);
    assert_eq!(second["output"][1]["output"], MEMORY);
}

#[tokio::test]
async fn max_tool_calls_ends_the_plan_and_is_repeated() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let said = "plan my weekend";
    let all = good(post(&running, &body(&server.url, said, json!({}))).await);
    assert_eq!(
        kinds(&all),
        ["mcp_list_tools", "mcp_call", "mcp_call", "message"]
    );
    assert_eq!(all["usage"]["tool_usage"], json!({"mcp": 2}));
    assert_eq!(
        all["usage"]["tool_usage_details"],
        json!({"mcp": {"agentkeys": 2}})
    );
    assert_eq!(words(&all).lines().count(), 3, "MEMORY holds a line end");

    let one = good(
        post(
            &running,
            &body(&server.url, said, json!({"max_tool_calls": 1})),
        )
        .await,
    );
    assert_eq!(kinds(&one), ["mcp_list_tools", "mcp_call", "message"]);
    assert_eq!(
        (&one["status"], &one["max_tool_calls"]),
        (&json!("completed"), &json!(1))
    );
    assert!(
        words(&one).ends_with("max_tool_calls is 1, so agentkeys.permission.check is not called.")
    );
}

#[tokio::test]
async fn a_kept_response_is_found_until_it_expires_or_is_deleted() {
    let server = TestServer::start(Options::default()).await;
    let clock = Arc::new(AtomicU64::new(NOW));
    let running = started(standin(None, &clock)).await;
    let ask = body(&server.url, "my trip?", json!({}));
    let path = "/responses";
    let (_, made) = send(&running, Method::POST, path, "k1", Some(&ask)).await;
    let answer: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(answer["created_at"], NOW);
    assert_eq!(answer["expire_at"], NOW + 259_200);
    assert_eq!(
        (&answer["id"], &answer["store"]),
        (&json!("resp_1"), &json!(true))
    );

    // Byte for byte, for its own key only.
    let one = "/responses/resp_1";
    assert_eq!(
        send(&running, Method::GET, one, "k1", None).await,
        (200, made)
    );
    assert_eq!(send(&running, Method::GET, one, "k2", None).await.0, 404);
    assert_eq!(send(&running, Method::DELETE, one, "k2", None).await.0, 404);

    // The conversation goes on without its prompt being said again.
    let mut next = body(
        &server.url,
        "Order hotpot for 200",
        json!({"previous_response_id": "resp_1"}),
    );
    let (status, text) = send(&running, Method::POST, path, "k1", Some(&next)).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(
        send(&running, Method::POST, path, "k2", Some(&next))
            .await
            .0,
        400
    );

    let gone = (
        200,
        r#"{"id":"resp_1","object":"response","deleted":true}"#.to_owned(),
    );
    assert_eq!(send(&running, Method::DELETE, one, "k1", None).await, gone);
    assert_eq!(send(&running, Method::DELETE, one, "k1", None).await.0, 404);
    assert_eq!(
        send(&running, Method::POST, path, "k1", Some(&next))
            .await
            .0,
        400
    );

    // resp_2 is there still, for three days to the second.
    next["previous_response_id"] = "resp_2".into();
    for (now, status) in [(NOW + 259_199, 200), (NOW + 259_200, 400)] {
        clock.store(now, Ordering::Relaxed);
        let (got, text) = send(&running, Method::POST, path, "k1", Some(&next)).await;
        assert_eq!(got, status, "{text}");
    }
}

#[tokio::test]
async fn the_five_captured_requests_are_answered() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let called = ["mcp_list_tools", "mcp_call", "message"];
    let first = good(post(&running, &captured(0, &server.url)).await);
    assert_eq!(kinds(&first), called);
    assert_eq!(first["output"][1]["output"], MEMORY);
    assert!(!first["tools"].to_string().contains("vendor-token"));

    let path = "/responses";
    let streamed = captured(1, &server.url);
    let (status, text) = send(&running, Method::POST, path, KEY, Some(&streamed)).await;
    assert_eq!(status, 200);
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");

    let asked = good(post(&running, &captured(2, &server.url)).await);
    assert_eq!(kinds(&asked), ["mcp_list_tools", "mcp_approval_request"]);
    assert_eq!(asked["id"], "resp_3");

    let mut reply = captured(3, &server.url);
    reply["input"][0]["approval_request_id"] = asked["output"][1]["id"].clone();
    assert_eq!(kinds(&good(post(&running, &reply).await)), called);
    assert_eq!(
        kinds(&good(post(&running, &captured(4, &server.url)).await)),
        called
    );
}

/// Field for field: what a request did not set is not there.
#[tokio::test]
async fn a_response_repeats_what_was_set_and_nothing_else() {
    let running = stand_in().await;
    let plain = good(
        post(
            &running,
            &json!({"model": "m", "input": "x", "temperature": null}),
        )
        .await,
    );
    let fields = |answer: &Value| -> Vec<String> {
        let mut fields: Vec<_> = answer.as_object().unwrap().keys().cloned().collect();
        fields.sort();
        fields
    };
    let always = [
        "caching",
        "created_at",
        "expire_at",
        "id",
        "model",
        "object",
        "output",
        "service_tier",
        "status",
        "store",
        "tools",
        "usage",
    ];
    assert_eq!(fields(&plain), always);
    assert_eq!(
        plain["usage"].to_string(),
        r#"{"input_tokens":0,"output_tokens":0,"total_tokens":0,"input_tokens_details":{"cached_tokens":0},"output_tokens_details":{"reasoning_tokens":0}}"#
    );

    let set = json!({
        "instructions": "be brief", "max_output_tokens": 64, "parallel_tool_calls": true,
        "reasoning": {"effort": "low"}, "service_tier": "fast", "temperature": 0.5,
        "text": {"format": {"type": "text"}}, "thinking": {"type": "disabled"}, "top_p": 0.7,
        "max_tool_calls": 3, "tool_choice": "auto", "expire_at": NOW + 60,
        "prompt_cache_key": "k", "safety_identifier": "s",
    });
    let mut request = json!({"model": "m", "input": "x", "session": {"id": "s"}, "include": []});
    request
        .as_object_mut()
        .unwrap()
        .extend(set.as_object().unwrap().clone());
    let answer = good(post(&running, &request).await);
    for (field, value) in set.as_object().unwrap() {
        assert_eq!(&answer[field], value, "{field}");
    }
    assert_eq!(answer.get("session"), None);
}
