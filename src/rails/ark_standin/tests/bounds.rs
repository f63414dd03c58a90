//! What a hostile server, caller or address cannot do to it.

use super::*;
use axum::Json;
use rmcp::model::Tool;

/// What a `tools/list` is answered with, by the number of the page.
type Lists = fn(u64) -> Value;

/// Instead of an answer.
const HANGS: &str = "hangs";

/// An MCP server that answers anything with what `lists` and `says` give, in one era only.
async fn hostile(lists: Lists, says: fn() -> String) -> (String, AbortOnDropHandle<()>) {
    let pages = Arc::new(AtomicU64::new(0));
    let app = Router::new().fallback(move |body: Bytes| {
        let pages = pages.clone();
        async move {
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let result = match asked["method"].as_str().unwrap_or_default() {
                "initialize" => json!({
                    "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "hostile", "version": "1"},
                }),
                "tools/list" => lists(pages.fetch_add(1, Ordering::Relaxed)),
                "tools/call" if says() == HANGS => return std::future::pending().await,
                "tools/call" => json!({"content": [{"type": "text", "text": says()}]}),
                _ => return StatusCode::ACCEPTED.into_response(),
            };
            Json(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})).into_response()
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    (url, AbortOnDropHandle::new(task))
}

fn tool(name: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}})
}

#[tokio::test]
async fn a_server_cannot_list_without_end() {
    let never = || json!({"require_approval": "never"});
    let cases: [(Lists, &str); 3] = [
        (
            |page| json!({"tools": [tool(&format!("t{page}"))], "nextCursor": page.to_string()}),
            "more than 128 tools",
        ),
        (|_| json!({"tools": [], "nextCursor": "x"}), "an empty page"),
        (
            |_| json!({"tools": [tool(&"t".repeat(1_100_000))]}),
            "1048576 bytes",
        ),
    ];
    for (lists, words) in cases {
        let (url, _task) = hostile(lists, String::new).await;
        let items = ask(&url, "my trip?", never()).await;
        assert!(
            matches!(&items[0], Item::ListTools { error: Some(e), tools, .. } if tools.is_empty() && e.contains(words)),
            "{words}: {:?}",
            items[0]
        );
    }
}

#[tokio::test]
async fn a_tools_answer_has_a_bound() {
    let lists: Lists = |_| json!({"tools": [tool("agentkeys.memory.get")]});
    for (says, fits) in [
        ((|| "x".repeat(1024 * 1024)) as fn() -> String, true),
        (|| "x".repeat(1024 * 1024 + 1), false),
    ] {
        let (url, _task) = hostile(lists, says).await;
        let items = ask(&url, "my trip?", json!({"require_approval": "never"})).await;
        let Item::Call { output, error, .. } = &items[1] else {
            panic!("{items:?}")
        };
        assert_eq!((output.is_some(), error.is_none()), (fits, fits));
    }
}

#[tokio::test]
async fn addresses_out_of_reach_are_not_dialled() {
    let running = stand_in().await;
    for url in [
        "http://10.255.255.1/mcp",
        "http://169.254.169.254/latest",
        "http://[fd00::1]/mcp",
    ] {
        let answer = good(post(&running, &body(url, "my trip?", json!({}))).await);
        assert_eq!(
            answer["output"][0]["error"],
            "the stand-in dials only public and loopback addresses, unless started with --dial-private"
        );
    }
}

/// One that others can reach does not dial this machine, neither by address nor by name.
#[tokio::test]
async fn a_stand_in_for_others_does_not_dial_its_own_machine() {
    let server = TestServer::start(Options::default()).await;
    let named = server.url.replace("127.0.0.1", "localhost");
    let standin = standin(Some(KEY), &Arc::new(NOW.into()));
    for (dial_private, listed) in [(false, false), (true, true)] {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let standin = standin.clone().dialling_private(dial_private);
        let running = standin.start(listener).unwrap();
        let base = format!("http://127.0.0.1:{port}/api/v3");
        let client = ArkClient::new(&base, Secret::new(KEY.to_owned())).unwrap();
        for url in [&server.url, &named] {
            let tools = entry(url, json!({"require_approval": "never"}));
            let request = Request::prompt("m", "my trip?", tools);
            let response = client.respond(&request).await.unwrap();
            let Item::ListTools { error, .. } = &response.output[0] else {
                panic!("{response:?}")
            };
            assert_eq!(error.is_none(), listed, "{url}: {error:?}");
            let words = error.as_deref().unwrap_or("only public addresses");
            assert!(words.contains("only public addresses"), "{words}");
        }
        running.stop().await;
    }
}

/// A stand-in that waits hardly at all.
async fn hasty(more: impl Fn(&mut Deadlines)) -> Running {
    let mut standin = standin(Some(KEY), &Arc::new(NOW.into()));
    more(&mut standin.deadlines);
    started(standin).await
}

#[tokio::test]
async fn nobody_is_waited_for_without_end() {
    const SHORT: Duration = Duration::from_millis(50);
    // A server that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let running = hasty(|d| d.open = SHORT).await;
    let answer = good(post(&running, &body(&silent_url, "my trip?", json!({}))).await);
    let words = "the MCP server did not answer within 0.05 s";
    assert_eq!(answer["output"][0]["error"], words);

    // A tool that never answers.
    let lists: Lists = |_| json!({"tools": [tool("agentkeys.memory.get")]});
    let (url, _task) = hostile(lists, || HANGS.to_owned()).await;
    let running = hasty(|d| d.call = SHORT).await;
    let answer = good(post(&running, &body(&url, "my trip?", json!({}))).await);
    assert_eq!(answer["status"], "completed");
    let words = "the tool did not answer within 0.05 s";
    assert_eq!(answer["output"][1]["error"], words);

    // A response of which each part is quick enough, and all of it is not. Calls may have been made,
    // so it is no error to try again.
    let running = hasty(|d| d.response = SHORT).await;
    let mut request = body(&url, "my trip?", json!({}));
    let answer = good(post(&running, &request).await);
    assert_eq!(answer["status"], "failed");
    assert_eq!(answer["error"]["code"], "InternalServiceError");
    request["stream"] = true.into();
    let path = "/responses";
    let (_, text) = send(&running, reqwest::Method::POST, path, KEY, Some(&request)).await;
    let end: Vec<_> = text.lines().filter(|l| l.starts_with("event: ")).collect();
    assert_eq!(*end.last().unwrap(), "event: response.failed");
    assert!(text.ends_with("data: [DONE]\n\n"));
    // What failed is not kept.
    let get = reqwest::Method::GET;
    assert_eq!(
        send(&running, get, "/responses/resp_1", KEY, None).await.0,
        404
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let running = stand_in().await;
    let large = json!({"model": "m", "input": "x".repeat(MAX_BODY)});
    let (status, answer) = post(&running, &large).await;
    assert_eq!(status, 400);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("1048576 bytes")
    );
}

/// Whoever is one too many hears so at once, and a place is free again when a reader goes away.
#[tokio::test]
async fn only_so_many_responses_are_made_at_once() {
    // A server that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let running = stand_in().await;
    let mut request = body(&url, "my trip?", json!({}));
    request["stream"] = true.into();
    let ask = || {
        http()
            .post(format!("{}/responses", running.base_url()))
            .bearer_auth(KEY)
            .header("ark-beta-mcp", "true")
            .body(request.to_string())
            .send()
    };
    let mut held = Vec::new();
    for _ in 0..MOST_AT_ONCE {
        let answer = ask().await.unwrap();
        assert_eq!(answer.status(), 200);
        held.push(answer);
    }
    let refused = ask().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("RequestBurstTooFast")
    );
    held.pop();
    // The place is free when the server has seen the connection end, which nobody is told of.
    let free = async {
        while ask().await.unwrap().status() == 429 {
            tokio::task::yield_now().await;
        }
    };
    // Before the silent server would be given up, which frees every place.
    tokio::time::timeout(Duration::from_secs(5), free)
        .await
        .unwrap();
}

#[test]
fn a_listed_tools_size_is_that_of_its_json() {
    let tool: Tool = serde_json::from_value(tool("a")).unwrap();
    assert_eq!(
        super::super::mcp::size(&tool),
        r#"{"name":"a","inputSchema":{"type":"object"}}"#.len()
    );
}
