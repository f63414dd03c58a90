//! Streams: the exact frames, and our own client reading them.

use super::*;
use std::convert::Infallible;

/// The frames of one request, with what differs from run to run taken out.
async fn frames(server: &TestServer, said: &str, more: Value) -> String {
    let running = stand_in().await;
    let mut request = body(&server.url, said, more);
    request["stream"] = true.into();
    let answer = http()
        .post(format!("{}/responses", running.base_url()))
        .bearer_auth(KEY)
        .header("ark-beta-mcp", "true")
        // What Ark's SDK sends even for a stream.
        .header("accept", "application/json")
        .body(request.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let text = answer.text().await.unwrap();
    text.replace(&server.url, "https://mcp.example.com/mcp")
}

#[tokio::test]
async fn a_call_is_streamed_frame_for_frame() {
    let server = TestServer::start(Options::default()).await;
    let more = json!({"tools": entry(&server.url, json!({
        "require_approval": "never", "allowed_tools": ["agentkeys_permission_check"],
    }))});
    let got = frames(&server, "Order hotpot for ¥200", more).await;
    assert_eq!(got, include_str!("call.sse"));
}

#[tokio::test]
async fn an_approval_request_is_streamed_frame_for_frame() {
    let server = TestServer::start(Options::default()).await;
    let more =
        json!({"tools": entry(&server.url, json!({"allowed_tools": ["agentkeys.memory.get"]}))});
    let got = frames(&server, "my trip?", more).await;
    assert_eq!(got, include_str!("approval.sse"));
}

#[tokio::test]
async fn failures_are_streamed_frame_for_frame() {
    let server = TestServer::start(Options {
        refuse: Some(401),
        ..Options::default()
    })
    .await;
    let got = frames(&server, "my trip?", json!({})).await;
    assert_eq!(got, include_str!("list_failed.sse"));

    // What shows to be wrong only when the stream has begun ends it as failed.
    let server = TestServer::start(Options::default()).await;
    let more = json!({
        "tool_choice": {"type": "mcp", "server_label": "agentkeys", "name": "x"},
        "tools": entry(&server.url, json!({"allowed_tools": ["agentkeys.memory.get"]})),
    });
    let got = frames(&server, "my trip?", more).await;
    assert_eq!(got, include_str!("failed.sse"));
}

/// What is wrong with the request itself is an error as always, not a stream.
#[tokio::test]
async fn a_bad_request_for_a_stream_is_refused_before_it() {
    let running = stand_in().await;
    let bad = json!({"model": "m", "input": "x", "stream": true, "previous_response_id": "resp_1"});
    let (status, answer) = post(&running, &bad).await;
    assert_eq!(
        (status, &answer["error"]["param"]),
        (400, &json!("previous_response_id"))
    );
}

#[tokio::test]
async fn our_client_reads_the_stream_to_the_same_response() {
    let server = TestServer::start(Options::default()).await;
    let running = stand_in().await;
    let client = client(&running);
    let mut kinds: Vec<String> = Vec::new();
    let mut pieces = String::new();
    let request = Request::prompt(
        "m",
        "my trip?",
        entry(&server.url, json!({"require_approval": "never"})),
    );
    let streamed = client
        .respond_streamed(&request, |event| {
            kinds.push(event.kind.to_owned());
            if event.kind == "response.output_text.delta" {
                pieces.push_str(event.raw["delta"].as_str().unwrap());
            }
        })
        .await
        .unwrap();
    assert_eq!(streamed.via(), "stand-in, scripted model");
    assert_eq!(
        (
            kinds.first().unwrap().as_str(),
            kinds.last().unwrap().as_str()
        ),
        ("response.created", "response.completed")
    );
    let Item::Message { text } = &streamed.output[2] else {
        panic!("{streamed:?}")
    };
    assert_eq!((text, text.contains(MEMORY)), (&pieces, true));

    // It is kept as it was streamed.
    let (_, kept) = send(
        &running,
        reqwest::Method::GET,
        "/responses/resp_1",
        KEY,
        None,
    )
    .await;
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), streamed.raw);

    let plain = client.respond(&request).await.unwrap();
    let named = |items: &[Item]| format!("{items:?}");
    assert_eq!(named(&plain.output), named(&streamed.output));

    let mut forced = Request::prompt("m", "x", entry(&server.url, json!({})));
    forced.tool_choice = Some(json!({"type": "mcp", "server_label": "agentkeys", "name": "x"}));
    let failed = client.respond_streamed(&forced, |_| {}).await.unwrap();
    assert_eq!(failed.status, "failed");
    assert!(
        failed.failure().unwrap().starts_with("InvalidParameter: "),
        "{failed:?}"
    );
}

/// Ark's own stream may end in an `error` event, or just end.
#[tokio::test]
async fn our_client_does_not_take_half_a_stream_for_a_response() {
    for (stream, words) in [
        (
            "event: error\ndata: {\"type\":\"error\",\"code\":\"InternalServiceError\",\"message\":\"oh\\u001b no\",\"sequence_number\":3}\n\n",
            "InternalServiceError oh\u{fffd} no",
        ),
        (
            "data: {\"type\":\"response.created\",\"response\":{}}\n\ndata: [DONE]\n\n",
            "ended without the answer",
        ),
        (
            "data: {\"type\":\"response.completed\"}\n\n",
            "ended with an error",
        ),
    ] {
        let app = Router::new().fallback(move || async move {
            Body::from_stream(unfold(Some(stream), |rest| async move {
                rest.map(|s| (Ok::<_, Infallible>(Bytes::from(s)), None))
            }))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/api/v3", listener.local_addr().unwrap());
        let task = AbortOnDropHandle::new(tokio::spawn(
            async move { axum::serve(listener, app).await },
        ));
        let client = ArkClient::new(&base, Secret::new(KEY.to_owned())).unwrap();
        let request = Request::prompt("m", "x", Vec::new());
        let error = client.respond_streamed(&request, |_| {}).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        drop(task);
    }
}
