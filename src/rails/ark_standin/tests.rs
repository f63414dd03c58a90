#![allow(clippy::unwrap_used)]
mod bounds;
mod calls;
mod refusals;
mod stream;
mod turns;

use super::*;
use crate::rails::ark::{ArkClient, Item, Request};
use crate::rails::test_server::{MEMORY, Options, TestServer};

const CAPTURED: &str = include_str!("../../../fixtures/ark-wire-example.json");
const KEY: &str = "ark-test-key";
/// When it all happens, unless a test says otherwise.
const NOW: u64 = 1_790_000_000;

fn standin(key: Option<&str>, clock: &Arc<AtomicU64>) -> Standin {
    let key = key.map(|k| Secret::new(k.to_owned()));
    let mut standin = Standin::new(key, Prompts::built_in().unwrap(), CaFile::default());
    let clock = clock.clone();
    standin.clock = Clock(Arc::new(move || clock.load(Ordering::Relaxed)));
    standin
}

async fn started(standin: Standin) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    standin.start(listener).unwrap()
}

async fn stand_in() -> Running {
    started(standin(Some(KEY), &Arc::new(NOW.into()))).await
}

fn client(running: &Running) -> ArkClient {
    ArkClient::new(running.base_url(), Secret::new(KEY.to_owned())).unwrap()
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

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Any request, as Ark's SDK sends it; what came back, as text.
async fn send(
    running: &Running,
    method: reqwest::Method,
    path: &str,
    key: &str,
    body: Option<&Value>,
) -> (u16, String) {
    let mut call = http()
        .request(method, format!("{}{path}", running.base_url()))
        .bearer_auth(key)
        .header("ark-beta-mcp", "true");
    if let Some(body) = body {
        call = call.body(body.to_string());
    }
    let answer = call.send().await.unwrap();
    assert!(answer.headers().contains_key(STANDIN_HEADER));
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Asks for a response; it is JSON whatever its status.
async fn post(running: &Running, body: &Value) -> (u16, Value) {
    let path = "/responses";
    let (status, text) = send(running, reqwest::Method::POST, path, KEY, Some(body)).await;
    (status, serde_json::from_str(&text).unwrap())
}

/// One that must be made.
#[track_caller]
fn good((status, answer): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{answer}");
    answer
}

fn captured(index: usize, url: &str) -> Value {
    let all: Value = serde_json::from_str(CAPTURED).unwrap();
    let mut body = all["requests"][index]["body"].clone();
    body["tools"][0]["server_url"] = url.into();
    body
}

fn kinds(answer: &Value) -> Vec<&str> {
    let items = answer["output"].as_array().unwrap();
    items.iter().map(|i| i["type"].as_str().unwrap()).collect()
}

/// The model's words.
fn words(answer: &Value) -> &str {
    let last = answer["output"].as_array().unwrap().last().unwrap();
    last["content"][0]["text"].as_str().unwrap()
}

/// What every test asks with: a prompt, and one server that may be called at once.
fn body(url: &str, said: &str, more: Value) -> Value {
    let tools = entry(url, json!({"require_approval": "never"}));
    let mut body = json!({"model": "m", "input": said, "tools": tools});
    let Value::Object(more) = more else {
        unreachable!()
    };
    body.as_object_mut().unwrap().extend(more);
    body
}
