//! The live feed: at once, resumable, ended with its token, blanked for viewers.

use super::support::{Server, wait};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Reads events of a stream as they come.
struct Reader {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    rest: String,
}

impl Reader {
    fn open(server: &Server, token: &str, query: &str, last: Option<u64>) -> Self {
        let url = format!("{}/v1/audit/stream{query}", server.base);
        let mut request = server.http.get(url).bearer_auth(token);
        if let Some(seq) = last {
            request = request.header("last-event-id", seq);
        }
        let response = wait(request.send()).unwrap();
        assert_eq!(response.status(), 200);
        let mut reader = Self {
            body: response.bytes_stream().boxed(),
            rest: String::new(),
        };
        assert_eq!(reader.frame().as_deref(), Some(": open"));
        reader
    }

    /// The next frame; none when the stream ended.
    fn frame(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.rest.split_once("\n\n") {
                let frame = frame.to_owned();
                self.rest = rest.to_owned();
                return Some(frame);
            }
            let chunk = wait(tokio_timeout(self.body.next()))?;
            let Ok(bytes) = chunk else { return None };
            self.rest.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    fn event(&mut self) -> Option<(u64, Value)> {
        loop {
            let frame = self.frame()?;
            if frame.starts_with(':') {
                continue;
            }
            let mut lines = frame.lines();
            let id = lines.next()?.strip_prefix("id: ")?.parse().ok()?;
            assert_eq!(lines.next(), Some("event: audit"));
            let data = lines.next()?.strip_prefix("data: ")?;
            return Some((id, serde_json::from_str(data).unwrap()));
        }
    }
}

async fn tokio_timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("the feed went silent")
}

#[test]
fn the_feed_is_resumed_without_a_gap_or_a_repeat() {
    let server = Server::demo();
    let token = server.reader("auditor", &[]);
    let mut first = Reader::open(&server, &token, "", None);
    let host = server.host("folotoy");
    host.call("agentkeys_identity_whoami", json!({}));
    let (seq, event) = first.event().unwrap();
    assert_eq!(
        (event["tool"].as_str(), event["seq"].as_u64()),
        (Some("agentkeys.identity.whoami"), Some(seq))
    );
    drop(first);
    for _ in 0..3 {
        host.call("agentkeys_identity_whoami", json!({}));
    }
    let mut second = Reader::open(
        &server,
        &token,
        "?tool=agentkeys.identity.whoami",
        Some(seq),
    );
    let seqs: Vec<_> = (0..3).map(|_| second.event().unwrap().0).collect();
    assert_eq!(seqs, [seq + 1, seq + 2, seq + 3]);
}

#[test]
fn what_the_command_line_does_is_in_the_servers_feed() {
    let server = Server::demo();
    let token = server.reader("auditor", &[]);
    let mut feed = Reader::open(&server, &token, "?tool=vendor.create", None);
    let started = Instant::now();
    server
        .house
        .ok(&["vendor", "create", "late", "--rail", "other"]);
    let (_, event) = feed.event().unwrap();
    assert_eq!(
        (&event["tool"], &event["door"]),
        (&json!("vendor.create"), &json!("cli"))
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_revoked_token_loses_its_open_stream() {
    let server = Server::demo();
    let made = server
        .house
        .ok(&["operator", "token", "create", "--role", "auditor"]);
    let mut feed = Reader::open(
        &server,
        made["token"].as_str().unwrap(),
        "?tool=nothing",
        None,
    );
    server.house.ok(&[
        "operator",
        "token",
        "revoke",
        made["token_id"].as_str().unwrap(),
    ]);
    let revoked = Instant::now();
    assert!(feed.event().is_none());
    assert!(
        revoked.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        revoked.elapsed()
    );
}

#[test]
fn a_viewer_sees_one_actor_and_only_its_namespaces() {
    let server = Server::demo();
    let host = server.host("folotoy");
    for namespace in ["travel", "family"] {
        host.call("agentkeys_memory_get", json!({"namespace": namespace}));
    }
    server.house.ok(&["actor", "create", "O_other"]);
    let token = server.reader(
        "viewer",
        &["--actor", "O_kevin_001", "--namespaces", "travel"],
    );
    let get = |query: &str| {
        let url = format!("{}/v1/audit/events{query}", server.base);
        super::support::send(server.http.get(url).bearer_auth(&token))
    };
    let page = get("?tool=agentkeys.memory.get").json();
    let events = page["events"].as_array().unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["namespace"], "travel");
    assert!(events[0]["content_tag"].is_string());
    for key in ["namespace", "token_id", "content_tag", "envelope_hash"] {
        assert!(
            events[1].get(key).is_none_or(Value::is_null),
            "{key}: {}",
            events[1]
        );
    }
    assert_eq!(get("?namespace=family").json()["events"], json!([]));
    let all = get("").json();
    let actor = json!(server.house.actor());
    assert!(
        all["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|e| e["actor_omni"] == actor)
    );
    let other = server.house.ok(&["actor", "show", "O_other"])["actor_omni"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(get(&format!("?actor={other}")).status, 403);
}

#[test]
fn a_parent_changes_only_its_own_actors() {
    let server = Server::demo();
    server.house.ok(&["actor", "create", "O_other"]);
    let token = server.reader("parent", &["--actor", "O_kevin_001"]);
    let post = |path: &str, body: Value| {
        let url = format!("{}/v1/actors/{path}", server.base);
        super::support::send(server.http.post(url).bearer_auth(&token).json(&body))
    };
    let done = post(
        "O_kevin_001/ungrant",
        json!({"vendor": "magiclick", "scopes": ["payment.*"]}),
    );
    assert_eq!((done.status, &done.json()["scopes"]), (200, &json!([])));
    let said = server.host("magiclick").text(
        "agentkeys.permission.check",
        json!({"scope": "payment.spend", "amount_rmb": 1}),
    );
    assert!(said.starts_with("deny: scope_not_granted"), "{said}");
    let other = post(
        "O_other/grant",
        json!({"vendor": "magiclick", "read": ["travel"]}),
    );
    let nobody = post(
        "O_nobody/grant",
        json!({"vendor": "magiclick", "read": ["travel"]}),
    );
    assert_eq!((other.status, other.body), (404, nobody.body));
    let row = server
        .house
        .events(&["--tool", "actor.ungrant"])
        .pop()
        .unwrap();
    assert_eq!(
        (&row["by"], &row["door"]),
        (&json!("parent"), &json!("http"))
    );
}
