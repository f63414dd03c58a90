//! Errors: the shape, the codes, and which parameter is to blame.

use super::*;

#[tokio::test]
async fn an_error_is_exactly_arks_object() {
    let running = stand_in().await;
    let post = reqwest::Method::POST;
    let answer = |body: Value, key: &'static str| {
        let (running, post) = (&running, post.clone());
        async move { send(running, post, "/responses", key, Some(&body)).await }
    };
    assert_eq!(
        answer(json!({"model": "m"}), "wrong").await,
        (401, r#"{"error":{"code":"AuthenticationError","message":"The API key or AK/SK in the request is missing or invalid. Request id: standin-1","param":"","type":"Unauthorized"}}"#.to_owned())
    );
    assert_eq!(
        answer(json!({"model": "m"}), KEY).await,
        (400, r#"{"error":{"code":"MissingParameter","message":"The request failed because it is missing `input` parameter. Request id: standin-2","param":"input","type":"BadRequest"}}"#.to_owned())
    );
    assert_eq!(
        answer(json!({"model": "m", "input": "x", "max_tool_calls": 11}), KEY).await,
        (400, r#"{"error":{"code":"InvalidParameter","message":"The parameter `max_tool_calls` specified in the request are not valid: must be a number from 1 to 10. Request id: standin-3","param":"max_tool_calls","type":"BadRequest"}}"#.to_owned())
    );
    assert_eq!(
        answer(json!({"model": "m", "input": "x", "previous_response_id": "resp_9\u{202e}"}), KEY).await,
        (400, "{\"error\":{\"code\":\"InvalidParameter.PreviousResponseNotFound\",\"message\":\"Previous response with id resp_9\u{fffd} not found. Request id: standin-4\",\"param\":\"previous_response_id\",\"type\":\"BadRequest\"}}".to_owned())
    );
    let get = reqwest::Method::GET;
    assert_eq!(
        send(&running, get.clone(), "/responses/resp_9", KEY, None).await,
        (404, r#"{"error":{"code":"NotFound.Response","message":"The specified response resp_9 is not found. Request id: standin-5","param":"","type":"NotFound"}}"#.to_owned())
    );
    for (method, path) in [
        (get, "/responses"),
        (post.clone(), "/responses/x"),
        (post, "/chat"),
    ] {
        let (status, text) = send(&running, method, path, KEY, None).await;
        assert_eq!(status, 404, "{text}");
        assert!(text.contains(r#""code":"NotFound","#), "{text}");
    }
}

/// Asks with each, and expects that parameter to be blamed.
async fn blamed(running: &Running, cases: Vec<(Value, &str)>) {
    for (request, param) in cases {
        let (status, answer) = post(running, &request).await;
        let error = &answer["error"];
        assert_eq!((status, &error["param"]), (400, &json!(param)), "{answer}");
        assert_eq!(error["type"], "BadRequest");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("Request id: standin-"), "{message}");
    }
}

#[tokio::test]
async fn each_wrong_parameter_is_named() {
    let running = stand_in().await;
    let with =
        |field: &str, value: Value| body("http://127.0.0.1:1/mcp", "x", json!({field: value}));
    let cases = vec![
        (json!([]), ""),
        (with("model", json!(null)), "model"),
        (with("model", json!(7)), "model"),
        (with("input", json!([])), "input"),
        (with("input", json!("")), "input"),
        (with("input", json!([{"role": "user"}])), "input[0].content"),
        (with("stream", json!("yes")), "stream"),
        (with("store", json!("yes")), "store"),
        (with("caching", json!({"type": "disabled"})), "caching"),
        (with("max_tool_calls", json!(0)), "max_tool_calls"),
        (with("max_tool_calls", json!(11)), "max_tool_calls"),
        (with("expire_at", json!(NOW)), "expire_at"),
        (with("expire_at", json!(NOW + 604_801)), "expire_at"),
        (with("temperature", json!(2.1)), "temperature"),
        (with("top_p", json!("1")), "top_p"),
        (with("instructions", json!({})), "instructions"),
        (with("parallel_tool_calls", json!(1)), "parallel_tool_calls"),
        (with("max_output_tokens", json!(0)), "max_output_tokens"),
        (with("service_tier", json!("slow")), "service_tier"),
        (with("thinking", json!(true)), "thinking"),
        (
            json!({"model": "m", "input": "x", "caching": {"type": "enabled"}}),
            "caching",
        ),
    ];
    blamed(&running, cases).await;
}

#[tokio::test]
async fn each_wrong_tool_and_choice_is_named() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let url = server.url.as_str();
    let with = |field: &str, value: Value| body(url, "my trip?", json!({field: value}));
    let tools = |tools: Value| with("tools", tools);
    let tool = |more: Value| tools(json!(entry(url, more)));
    let twice = [entry(url, json!({})), entry(url, json!({}))].concat();
    let mcp = |more: Value| {
        let mut choice = json!({"type": "mcp", "server_label": "agentkeys"});
        for (field, value) in more.as_object().unwrap() {
            choice[field] = value.clone();
        }
        with("tool_choice", choice)
    };
    let cases = vec![
        (tools(json!({})), "tools"),
        (tools(json!([7])), "tools[0].type"),
        (tools(json!([{"type": "web_search"}])), "tools[0].type"),
        (tools(json!([{"type": "doubao_app"}])), "tools[0].type"),
        (
            tools(json!([{"type": "function", "name": "a.b"}])),
            "tools[0].name",
        ),
        (
            tools(json!([{"type": "mcp", "server_label": "a"}])),
            "tools[0].server_url",
        ),
        (tools(json!(twice)), "tools[1].server_label"),
        (
            tool(json!({"server_url": "ftp://h/"})),
            "tools[0].server_url",
        ),
        (tool(json!({"headers": {"X": "小明"}})), "tools[0].headers"),
        (
            tool(json!({"headers": {"X": "1", "x": "2"}})),
            "tools[0].headers",
        ),
        (
            tool(json!({"allowed_tools": "all"})),
            "tools[0].allowed_tools",
        ),
        (
            tool(json!({"require_approval": "maybe"})),
            "tools[0].require_approval",
        ),
        (
            tool(json!({"require_approval": {"never": 1}})),
            "tools[0].require_approval.never",
        ),
        (with("tool_choice", json!("must")), "tool_choice"),
        (
            with("tool_choice", json!({"type": "function", "name": "f"})),
            "tool_choice",
        ),
        (
            mcp(json!({"server_label": null})),
            "tool_choice.server_label",
        ),
        (
            mcp(json!({"server_label": "other"})),
            "tool_choice.server_label",
        ),
        (mcp(json!({"name": "x"})), "tool_choice.name"),
        (
            json!({"model": "m", "input": "x", "tool_choice": "required"}),
            "tool_choice",
        ),
    ];
    blamed(&running, cases).await;
    // Only the forced tool's name needed the server to be asked.
    let lists = server
        .order()
        .iter()
        .filter(|o| *o == "POST tools/list")
        .count();
    assert_eq!(lists, 1);
}

#[tokio::test]
async fn mcp_needs_the_beta_header_and_a_credential_is_never_quoted() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let call = |body: Value| {
        let url = format!("{}/responses", running.base_url());
        http()
            .post(url)
            .bearer_auth(KEY)
            .body(body.to_string())
            .send()
    };
    let answer = call(body(&server.url, "my trip?", json!({})))
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("ark-beta-mcp: true"));
    let answer = call(json!({"model": "m", "input": "hi"})).await.unwrap();
    assert_eq!(answer.status(), 200);

    let secret = entry(
        &server.url,
        json!({"headers": {"Authorization": "Bearer s3cret小"}}),
    );
    let (status, answer) = post(&running, &body("", "x", json!({"tools": secret}))).await;
    assert_eq!(status, 400);
    assert!(!answer.to_string().contains("s3cret"), "{answer}");
}

#[tokio::test]
async fn our_client_reads_the_refusals() {
    let running = stand_in().await;
    let ask = |base: String, key: &str| {
        let client = ArkClient::new(&base, Secret::new(key.to_owned())).unwrap();
        async move {
            let request = Request::prompt("m", "x", Vec::new());
            client.respond(&request).await.unwrap_err()
        }
    };
    let error = ask(running.base_url().to_owned(), "wrong").await;
    assert_eq!(
        (error.http_status(), error.server_code()),
        (Some(401), Some("AuthenticationError"))
    );
    let error = ask(format!("{}/x", running.base_url()), KEY).await;
    assert_eq!(error.http_status(), Some(404));
}

#[tokio::test]
async fn the_callers_request_id_comes_back() {
    let running = stand_in().await;
    for (sent, back) in [("20261120-ab", true), (&*"x".repeat(129), false)] {
        let answer = http()
            .get(format!("{}/responses/x", running.base_url()))
            .header("x-client-request-id", sent)
            .send()
            .await
            .unwrap();
        let got = answer.headers().get("x-client-request-id");
        assert_eq!(
            got.map(HeaderValue::as_bytes),
            back.then_some(sent.as_bytes())
        );
    }
}

#[tokio::test]
async fn without_a_key_any_will_do_but_only_by_the_name_of_this_machine() {
    let clock = Arc::new(NOW.into());
    let running = started(standin(None, &clock)).await;
    let ask = |host: &'static str, key: &'static str| {
        let call = http()
            .post(format!("{}/responses", running.base_url()))
            .header("host", host)
            .header("authorization", key)
            .body(r#"{"model":"m","input":"hi"}"#);
        async move { call.send().await.unwrap().status().as_u16() }
    };
    for (host, key, status) in [
        ("127.0.0.1:1", "Bearer anything", 200),
        ("localhost", "Bearer anything", 200),
        ("[::1]:80", "Bearer anything", 200),
        ("127.0.0.1", "Bearer ", 401),
        ("127.0.0.1", "anything", 401),
        ("rebound.example.com", "Bearer anything", 403),
        ("127.0.0.1.example.com", "Bearer anything", 403),
        ("10.0.0.1", "Bearer anything", 403),
    ] {
        assert_eq!(ask(host, key).await, status, "{host} {key}");
    }
    // Others could reach this one.
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = standin(None, &clock).start(listener).unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}

/// Ark's SDKs send a body with a DELETE, in a packet of its own, and use the connection again.
#[tokio::test]
async fn a_refused_body_leaves_the_connection_whole() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let running = stand_in().await;
    let host = running.base_url().split('/').nth(2).unwrap();
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for line in [
        "DELETE /api/v3/responses/resp_1",
        "POST /api/v3/chat",
        "POST /api/v3/responses",
    ] {
        let head = format!("{line} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        // Others who come later have their answers, and this one waits for its body.
        for _ in 0..5 {
            send(&running, reqwest::Method::GET, "/responses/x", KEY, None).await;
        }
        let early = socket.try_read(&mut [0]).map_err(|e| e.kind());
        assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "{line}");
        socket.write_all(b"{}").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}}") {
            answer.push(socket.read_u8().await.unwrap());
        }
    }
}
