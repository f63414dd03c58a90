//! A connection that is cut after the commit, and the call repeated twice: hosts repeat what was
//! not answered (xiaozhi up to three times), and it must have happened once. A proxy between the
//! host and the real server takes the answer away.

use super::support::{Host, Server, TRAVEL_AND_SPEND, send, wait};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How the host loses its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Closed when the answer begins to arrive.
    Close,
    /// Reset when the answer begins to arrive.
    Reset,
    /// Both sides closed when the request is sent, answered or not.
    AtOnce,
}

/// The answer's first byte proves that everything is committed.
const AFTER_THE_COMMIT: [Cut; 2] = [Cut::Close, Cut::Reset];

/// Sends a request through the proxy; the host that sent it hears nothing but the end.
fn lose(server: &Server, cut: Cut, request: impl FnOnce(&str) -> RequestBuilder) {
    wait(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let upstream = server.base.strip_prefix("http://").unwrap();
        let heard = request(&base).send();
        let (heard, ()) = tokio::join!(heard, forward(listener, upstream, cut));
        assert!(heard.is_err(), "the host was answered: {heard:?}");
    });
}

/// Takes one connection, and no other: a client that tried again by itself would be refused.
async fn forward(listener: TcpListener, upstream: &str, cut: Cut) {
    let (mut host, _) = listener.accept().await.unwrap();
    drop(listener);
    let request = whole_request(&mut host).await;
    let mut server = TcpStream::connect(upstream).await.unwrap();
    server.write_all(&request).await.unwrap();
    if cut != Cut::AtOnce {
        let mut first = [0];
        assert_eq!(server.read(&mut first).await.unwrap(), 1);
    }
    if cut == Cut::Reset {
        host.set_zero_linger().unwrap();
    }
}

/// Reads a request up to its last byte.
async fn whole_request(host: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        assert!(host.read_buf(&mut bytes).await.unwrap() > 0);
        let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let lines = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = lines
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "))
            .expect("a request with a length");
        if bytes.len() == head + 4 + length.parse::<usize>().unwrap() {
            return bytes;
        }
    }
}

/// A host with structured answers that may read and write travel and spend.
fn desk(server: &Server) -> Host<'_> {
    let token = server.house.vendor("desk", TRAVEL_AND_SPEND);
    server.host_of(&token)
}

/// A tool call, cut, and twice the very same call directly: what the two are answered.
fn tool(host: &Host<'_>, cut: Cut, name: &str, arguments: &Value) -> [Value; 2] {
    let params = json!({"name": name, "arguments": arguments});
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let body = body.to_string();
    lose(host.server, cut, |base| {
        host.request(base).body(body.clone())
    });
    [(); 2].map(|()| host.post(body.clone()).json()["result"]["structuredContent"].clone())
}

/// The same for an endpoint that takes caps.
fn spend(host: &Host<'_>, cut: Cut, path: &str, body: &Value) -> [Value; 2] {
    let host = Host {
        path: path.to_owned(),
        ..host.without("x-agentkeys-actor")
    };
    lose(host.server, cut, |base| host.request(base).json(body));
    [(); 2].map(|()| {
        let reply = send(host.request(&host.server.base).json(body));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    })
}

fn versions(server: &Server) -> Vec<u64> {
    let history = server
        .house
        .ok(&["memory", "history", "O_kevin_001", "travel"]);
    let versions = history["versions"].as_array().unwrap().iter();
    versions.map(|v| v["version"].as_u64().unwrap()).collect()
}

fn budget(server: &Server) -> (u64, Vec<Value>) {
    let day = server.house.ok(&["budget", "show", "O_kevin_001"]);
    let spent = day["spent_minor"].as_u64().unwrap();
    (spent, day["reservations"].as_array().unwrap().clone())
}

/// The rows of the last three calls of a tool, each its own.
fn last_rows(server: &Server, tool: &str) -> [Value; 3] {
    let rows = server.house.events(&["--tool", tool, "--vendor", "desk"]);
    let last: [Value; 3] = rows[rows.len() - 3..].to_vec().try_into().unwrap();
    assert!(last.iter().all(|row| row["verdict"] == "accept"));
    for key in ["event_id", "request_id"] {
        assert!(last[0][key] != last[1][key] && last[1][key] != last[2][key]);
    }
    last
}

fn reasons(rows: &[Value; 3]) -> [&str; 3] {
    [0, 1, 2].map(|n| rows[n]["reason"].as_str().unwrap())
}

const PUT: &str = "agentkeys.memory.put";

#[test]
fn a_write_whose_answer_was_lost_is_one_version() {
    let server = Server::demo();
    let desk = desk(&server);
    let mut calls = 0;
    for cut in AFTER_THE_COMMIT {
        for mode in ["replace", "append"] {
            let before = versions(&server);
            let next = before[0] + 1;
            let content = format!("{mode} and {cut:?} 🐼");
            let put = json!({"namespace": "travel", "content": content, "mode": mode});
            for answer in tool(&desk, cut, PUT, &put) {
                assert_eq!(answer["unchanged"], true, "{answer}");
                assert_eq!(answer["version"], next);
            }
            let mut after = before;
            after.insert(0, next);
            assert_eq!(versions(&server), after);
            let memory = desk.structured("agentkeys.memory.get", json!({"namespace": "travel"}));
            let text = memory["content"].as_str().unwrap();
            assert_eq!(text.matches(&content).count(), 1, "{text}");
            let rows = last_rows(&server, PUT);
            let once = ["default_allow_memory", "unchanged", "unchanged"];
            assert_eq!(reasons(&rows), once);
            assert!(rows.iter().all(|row| row["version"] == next));
            calls += 3;
            let all = server.house.events(&["--tool", PUT, "--vendor", "desk"]);
            assert_eq!(all.len(), calls);
        }
    }
}

#[test]
fn a_reservation_whose_answer_was_lost_is_made_once() {
    let server = Server::demo();
    let desk = desk(&server);
    let check = "agentkeys.permission.check";
    for (cut, amount, total) in [(Cut::Close, 100, 10_000), (Cut::Reset, 150, 25_000)] {
        let (_, before) = budget(&server);
        let params = json!({"amount_rmb": amount, "reference": format!("order {cut:?}")});
        let asked = json!({"scope": "payment.spend", "params": params});
        let answers = tool(&desk, cut, check, &asked);
        assert!(answers.iter().all(|a| a["verdict"] == "accept"));
        let (spent, reservations) = budget(&server);
        assert_eq!((spent, reservations.len()), (total, before.len() + 1));
        let decision = &reservations.last().unwrap()["decision_id"];
        assert!(answers.iter().all(|a| a["decision_id"] == *decision));
        let rows = last_rows(&server, check);
        assert!(rows.iter().all(|row| row["decision_id"] == *decision));
        assert!(rows.iter().all(|row| row["amount_minor"] == amount * 100));
    }
    let all = server.house.events(&["--tool", check, "--vendor", "desk"]);
    assert_eq!(all.len(), 6);
}

fn mint(host: &Host<'_>, asked: Value) -> Value {
    let minted = host.structured("agentkeys.cap.mint", asked);
    assert_eq!(minted["ok"], true, "{minted}");
    minted["cap"].clone()
}

#[test]
fn a_payment_whose_answer_was_lost_is_made_once() {
    let server = Server::demo();
    let desk = desk(&server);
    for (cut, total) in [(Cut::Close, 10_000), (Cut::Reset, 20_000)] {
        let pay = json!({"op": "payment_spend", "params": {"amount_rmb": 100}});
        let body = json!({"cap": mint(&desk, pay), "amount_rmb": 100});
        let [first, second] = spend(&desk, cut, "/v1/cap/redeem", &body);
        assert_eq!(first, second);
        let (spent, reservations) = budget(&server);
        assert_eq!(spent, total);
        let paid = reservations.last().unwrap();
        assert_eq!(paid["state"], "redeemed");
        assert_eq!(first["decision_id"], paid["decision_id"]);
        let rows = last_rows(&server, "cap.redeem");
        assert_eq!(reasons(&rows), ["redeemed", "repeated", "repeated"]);
        assert_eq!(rows[0]["decision_id"], paid["decision_id"]);
    }
    let all = server.house.events(&["--tool", "cap.redeem"]);
    assert_eq!(all.len(), 6);
}

#[test]
fn a_write_under_a_cap_whose_answer_was_lost_is_one_version() {
    let server = Server::demo();
    let desk = desk(&server);
    for (cut, text) in AFTER_THE_COMMIT.into_iter().zip(["b25l", "dHdv"]) {
        let before = versions(&server);
        let write = json!({"op": "memory_put", "params": {"namespace": "travel"}});
        let body = json!({"cap": mint(&desk, write), "plaintext_b64": text});
        let [first, second] = spend(&desk, cut, "/v1/memory/put", &body);
        assert_eq!(first, second);
        let next = before[0] + 1;
        let mut after = before;
        after.insert(0, next);
        assert_eq!(versions(&server), after);
        assert_eq!(first["version"], next);
        let rows = last_rows(&server, "cap.memory_put");
        assert_eq!(reasons(&rows), ["cap_spent", "repeated", "repeated"]);
        assert_eq!(rows[0]["object_key"], first["s3_key"]);
    }
    let all = server.house.events(&["--tool", "cap.memory_put"]);
    assert_eq!(all.len(), 6);
}

/// Nobody knows how far a call came whose host hung up before the answer: it may be committed,
/// given up, or still under way beside the repeats.
#[test]
fn a_write_whose_host_hung_up_at_once_is_one_version_however_far_it_came() {
    let server = Server::demo();
    let desk = desk(&server);
    for round in 0..8 {
        let next = versions(&server)[0] + 1;
        let mode = ["replace", "append"][round % 2];
        let content = format!("round {round}");
        let put = json!({"namespace": "travel", "content": content, "mode": mode});
        let [first, second] = tool(&desk, Cut::AtOnce, PUT, &put);
        assert_eq!(
            (&first["version"], &second["version"]),
            (&json!(next), &json!(next))
        );
        assert_eq!(second["unchanged"], true);
        assert_eq!(versions(&server)[0], next);
    }
    let history = versions(&server);
    assert_eq!(history.len(), 1 + 8, "{history:?}");
}
