//! The proof passes on a true server, three times in a row, and fails on every kind of false one.
//! The false ones are a proxy that lies, between the demo and a true server.

use super::support::{House, Server, json_of, run_in, text, wait};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use std::process::Output;
use std::sync::Arc;

/// Makes a lie of a true answer: the path asked, what was asked, what was answered.
pub(crate) type Lie = Box<dyn Fn(&str, &str, String) -> String + Send + Sync>;

struct Proxy {
    upstream: String,
    http: reqwest::Client,
    lie: Lie,
}

/// Starts a proxy in front of a server and returns its address.
pub(crate) fn liar(server: &Server, lie: Lie) -> String {
    let state = Arc::new(Proxy {
        upstream: server.base.clone(),
        http: server.http.clone(),
        lie,
    });
    let app = axum::Router::new().fallback(forward).with_state(state);
    wait(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    })
}

async fn forward(State(proxy): State<Arc<Proxy>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = axum::body::to_bytes(body, 1 << 21).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let mut headers = parts.headers;
    headers.remove("host");
    headers.remove("content-length");
    let upstream = proxy
        .http
        .request(parts.method, format!("{}{path}", proxy.upstream))
        .headers(headers)
        .body(asked.clone());
    let answer = upstream.send().await.unwrap();
    let mut reply = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "content-length" && name != "transfer-encoding" {
            reply = reply.header(name, value);
        }
    }
    let asked = String::from_utf8_lossy(&asked).into_owned();
    if path.starts_with("/v1/audit/stream") {
        // It never ends, so it is lied about piece by piece.
        let pieces = futures_util::stream::unfold(answer, move |mut answer| {
            let (proxy, path, asked) = (Arc::clone(&proxy), path.clone(), asked.clone());
            async move {
                let piece = answer.chunk().await.ok()??;
                let said = (proxy.lie)(&path, &asked, text(&piece));
                Some((Ok::<_, std::convert::Infallible>(said), answer))
            }
        });
        return reply.body(Body::from_stream(pieces)).unwrap();
    }
    let said = answer.text().await.unwrap();
    let said = (proxy.lie)(&path, &asked, said);
    reply.body(Body::from(said)).unwrap()
}

pub(crate) fn kit(server: &Server) -> String {
    let dir = server.house.temp.path().join("kit").display().to_string();
    server.house.ok(&["accept", "kit", "--out", &dir]);
    dir
}

fn prove(server: &Server, url: &str, kit: &str) -> Output {
    server
        .house
        .run(&["demo", "cross-rail", "--url", url, "--kit", kit])
}

#[test]
fn the_demo_proves_it_on_a_server_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let proof = json_of(&run_in(&temp.path().join("none"), &["demo", "cross-rail"]));
    assert_eq!(proof["passed"], true);
    assert_eq!(
        proof["rails"]["volcano-ark"]["via"],
        "stand-in, scripted model"
    );
    for rail in ["xiaozhi", "volcano-ark"] {
        assert!(
            !proof["rails"][rail]["event_ids"]
                .as_array()
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(proof["actor_omni"].as_str().unwrap().len(), 66);
    assert!(proof["wallet"].as_str().unwrap().starts_with("0x"));
    assert!(!temp.path().join("none").exists());
}

#[test]
fn three_runs_in_a_row_pass_against_a_running_server_and_restore_it() {
    let server = Server::over(House::demo(), &[]);
    let kit = kit(&server);
    let content = || {
        let actors = server.house.ok(&["actor", "list"]);
        let actors = actors["actors"].as_array().unwrap();
        let alias = actors.iter().map(|a| a["alias"].as_str().unwrap());
        let alias = alias
            .filter(|a| a.starts_with("kit_"))
            .min()
            .unwrap()
            .to_owned();
        server.house.ok(&["memory", "get", &alias, "travel"])["content"].clone()
    };
    let before = content();
    for _ in 0..3 {
        let proof = json_of(&prove(&server, &server.base, &kit));
        assert_eq!(proof["passed"], true);
    }
    assert_eq!(content(), before);
}

/// Runs the demo through a lie and returns the failed steps' ids.
fn failed(lie: Lie) -> Vec<String> {
    let server = Server::over(House::demo(), &[]);
    let kit = kit(&server);
    let url = liar(&server, lie);
    failed_of(&prove(&server, &url, &kit))
}

/// The failed steps' ids of a run that must have failed, and must say which.
pub(crate) fn failed_of(output: &Output) -> Vec<String> {
    assert_eq!(
        output.status.code(),
        Some(6),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let proof: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(proof["passed"], false);
    let steps = proof["steps"].as_array().unwrap().iter();
    let failed = steps.filter(|s| s["status"] == "failed");
    let ids: Vec<_> = failed
        .map(|s| s["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(!ids.is_empty());
    let said = text(&output.stderr);
    assert!(
        ids.iter().any(|id| said.contains(id.as_str())),
        "{said} names none of {ids:?}"
    );
    ids
}

/// Whether a message is a read of memory by rail 2, which lists names with underscores.
fn is_read(asked: &str) -> bool {
    asked.contains("tools/call") && asked.contains("agentkeys_memory_get")
}

#[test]
fn one_changed_byte_is_found() {
    let ids = failed(Box::new(|_, asked, said| {
        if is_read(asked) {
            said.replace('🐼', "🐻")
        } else {
            said
        }
    }));
    assert!(ids.iter().any(|id| id.contains("bytes")), "{ids:?}");
}

#[test]
fn a_missing_row_of_rail_two_is_found() {
    let ids = failed(Box::new(|path, _, said| {
        if !path.starts_with("/v1/audit/events") {
            return said;
        }
        let mut page: Value = serde_json::from_str(&said).unwrap();
        let events = page["events"].as_array_mut().unwrap();
        events.retain(|e| e["rail"] != "volcano-ark");
        page.to_string()
    }));
    assert!(ids.iter().any(|id| id.contains("rail2")), "{ids:?}");
}

#[test]
fn another_actors_omni_in_a_row_is_found() {
    let other = format!("0x{}", "ab".repeat(32));
    let ids = failed(Box::new(move |path, _, said| {
        if !path.starts_with("/v1/audit/events") {
            return said;
        }
        let mut page: Value = serde_json::from_str(&said).unwrap();
        for event in page["events"].as_array_mut().unwrap() {
            if event["rail"] == "volcano-ark" {
                event["actor_omni"] = json!(other);
            }
        }
        page.to_string()
    }));
    assert!(ids.iter().any(|id| id.contains("actor")), "{ids:?}");
}

#[test]
fn a_canned_answer_is_found() {
    let ids = failed(Box::new(|_, asked, said| {
        if !is_read(asked) {
            return said;
        }
        let id = serde_json::from_str::<Value>(asked).unwrap()["id"].clone();
        let canned = json!({"ok": true, "namespace": "travel", "content": "Chengdu trip — Apr 12 to 16, hotpot at Yulin.", "version": 1});
        json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": canned.to_string()}], "structuredContent": canned}}).to_string()
    }));
    assert!(ids.iter().any(|id| id.contains("bytes")), "{ids:?}");
}
