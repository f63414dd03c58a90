//! xiaozhi's MCP endpoint, both sides: hosted here, as an unmodified xiaozhi-server uses it, and
//! dialled out to a relay. The relay is a stand-in, written after mcp-endpoint-server v0.0.6
//! (`formats/xiaozhi.md` §3): the real one cannot be had here.

use super::support::{House, Server, command, text, wait};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

fn word<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap()
}

/// xiaozhi-server's side: hand-written JSON-RPC over a WebSocket, one for each device.
struct Robot(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Robot {
    fn open(url: &str) -> Self {
        let opened = wait(tokio_tungstenite::connect_async(url));
        Self(opened.unwrap_or_else(|e| panic!("{url}: {e}")).0)
    }

    fn say(&mut self, message: &Value) {
        let text = Message::text(message.to_string());
        wait(self.0.send(text)).unwrap();
    }

    /// The next message.
    fn hear(&mut self) -> Value {
        match self.next() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn next(&mut self) -> Message {
        loop {
            let next = wait(self.0.next()).expect("the socket ended").unwrap();
            if !matches!(next, Message::Ping(_) | Message::Pong(_)) {
                return next;
            }
        }
    }

    /// The code and reason it was closed with.
    fn closed(&mut self) -> (u16, String) {
        match self.next() {
            Message::Close(Some(CloseFrame { code, reason })) => (code.into(), reason.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// All that xiaozhi sends when a device connects, without waiting in between.
    fn shake_hands(&mut self) -> Vec<String> {
        self.say(
            &json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2024-11-05",
            "capabilities": {"roots": {"listChanged": true}, "sampling": {}},
            "clientInfo": {"name": "XiaozhiMCPEndpointClient", "version": "1.0.0"}}}),
        );
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized", "params": {}}));
        self.say(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": null}));
        let opened = self.hear();
        assert_eq!(
            opened["result"]["protocolVersion"], "2024-11-05",
            "{opened}"
        );
        let listed = self.hear();
        let tools = listed["result"]["tools"].as_array().unwrap();
        tools.iter().map(|t| word(t, "name").to_owned()).collect()
    }

    fn call(&mut self, id: Value, tool: &str, arguments: Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}}));
        let answer = self.hear();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// What xiaozhi takes of a result.
    fn sentence(&mut self, id: Value, tool: &str, arguments: Value) -> String {
        let answer = self.call(id, tool, arguments);
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        assert!(answer["result"].get("structuredContent").is_none());
        word(&answer["result"]["content"][0], "text").to_owned()
    }
}

/// The address xiaozhi dials, made of the pasted one as it does: `/mcp/` becomes `/call/`.
fn dialled(server: &Server, token: &str) -> String {
    let pasted = format!("{}/mcp_endpoint/mcp/?token={token}", server.base);
    assert!(
        !["key", "call"].iter().any(|w| pasted.contains(w)),
        "{pasted}"
    );
    pasted
        .replacen("http", "ws", 1)
        .replacen("/mcp/", "/call/", 1)
}

#[test]
fn an_unmodified_xiaozhi_needs_no_relay() {
    let server = Server::demo();
    let made = server.house.endpoint_token();
    let token = word(&made, "token");
    let mut robot = Robot::open(&dialled(&server, token));
    let tools = robot.shake_hands();
    assert_eq!(tools.len(), 10);
    // Calls count from 1 again, and strings come back as strings.
    let heard = robot.sentence(
        json!(1),
        "agentkeys.memory.get",
        json!({"namespace": "travel"}),
    );
    assert_eq!(
        heard,
        "Memory travel v1: Chengdu trip — Apr 12 to 16, hotpot at Yulin."
    );
    let denied = robot.sentence(
        json!("8a3c_n_2"),
        "agentkeys.memory.get",
        json!({"namespace": "family"}),
    );
    assert_eq!(
        denied,
        "deny: namespace_violation (family is not allowed here)"
    );
    let check = json!({"scope": "payment.spend", "params": {"amount_rmb": 600}});
    let said = robot.sentence(json!(2), "agentkeys.permission.check", check);
    assert_eq!(
        said,
        "deny: daily_spend_cap_exceeded (cap=500, requested=600, period=daily)"
    );
    // A second device of the same agent, and the same agent's device again.
    let mut other = Robot::open(&dialled(&server, token));
    other.shake_hands();
    robot.shake_hands();
    let rows = server.house.events(&["--vendor", "toys"]);
    let told: Vec<_> = rows
        .iter()
        .filter(|r| r["door"] == "relay")
        .map(|r| (word(r, "tool").to_owned(), word(r, "verdict").to_owned()))
        .collect();
    let expected = [
        ("agentkeys.memory.get", "accept"),
        ("agentkeys.memory.get", "deny"),
        ("agentkeys.permission.check", "deny"),
    ];
    assert_eq!(told, expected.map(|(t, v)| (t.to_owned(), v.to_owned())));
    let relayed = rows.iter().find(|r| r["door"] == "relay").unwrap();
    assert_eq!(relayed["host_profile"], "xiaozhi-endpoint");
    assert_eq!(relayed["protocol"], "2024-11-05");
    assert_eq!(relayed["actor_omni"], server.house.actor());
    // What was granted is read again for each message.
    let words = ["actor", "ungrant", "O_kevin_001", "--vendor", "toys"];
    server
        .house
        .ok(&[&words[..], &["--read", "travel"]].concat());
    let heard = robot.sentence(
        json!(3),
        "agentkeys.memory.get",
        json!({"namespace": "travel"}),
    );
    assert!(heard.starts_with("deny: "), "{heard}");
}

#[test]
fn who_may_not_connect_is_closed_with_1008_and_on_record() {
    let server = Server::demo();
    let made = server.house.endpoint_token();
    let token = word(&made, "token").to_owned();
    let typo = token.replacen(token.get(20..21).unwrap(), "g", 1);
    let unknown = {
        let (_, text, _) = agentkeys::authority::token::issue_endpoint([9; 8], [9; 32]);
        text.expose().to_owned()
    };
    let bearer = server.house.token("magiclick");
    let call = |query: &str| format!("{}/mcp_endpoint/call/{query}", server.base);
    let cases = [
        (call(""), "token_missing"),
        (call("?token="), "token_missing"),
        (
            call(&format!("?token={token}&token={token}")),
            "request_malformed",
        ),
        (call(&format!("?token={typo}")), "token_malformed"),
        (call(&format!("?token={unknown}")), "token_unknown"),
        // A token for a header has no business in a URL.
        (call(&format!("?token={bearer}")), "token_malformed"),
        // Whoever opens the tools' side could shadow ours, whatever token it has.
        (
            call(&format!("?token={token}")).replacen("/call/", "/mcp/", 1),
            "role_forbidden",
        ),
        (
            call(&format!("?token={unknown}")).replacen("/call/", "/mcp/", 1),
            "token_unknown",
        ),
    ];
    for (url, reason) in &cases {
        let mut robot = Robot::open(&url.replacen("http", "ws", 1));
        let (code, said) = robot.closed();
        assert_eq!(code, 1008, "{url}");
        assert!(said.ends_with(&format!(".{reason}")), "{url}: {said}");
        let row = server.house.events(&["--tool", "connect"]).pop().unwrap();
        assert_eq!(
            (&row["door"], &row["tool"]),
            (&json!("relay"), &json!("connect"))
        );
        assert_eq!(row["reason"], *reason, "{url}");
        assert!(!row.to_string().contains(&token), "{row}");
    }
    // And a token that was made to ride in a URL opens no other door.
    let host = server.host_of(&token).without("x-agentkeys-actor");
    assert_eq!(
        host.method("ping", &json!({})).code(),
        "agentkeys.auth.token_malformed"
    );
    // A page of a stranger's gets no socket at all.
    let request = tokio_tungstenite::tungstenite::client::ClientRequestBuilder::new(
        dialled(&server, &token).parse().unwrap(),
    )
    .with_header("origin", "https://evil.example");
    match wait(tokio_tungstenite::connect_async(request)) {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 403),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        server.house.events(&["--tool", "connect"]).pop().unwrap()["reason"],
        "origin_not_allowed"
    );
}

#[test]
fn a_socket_ends_when_its_token_is_revoked_or_it_speaks_no_text() {
    let server = Server::demo();
    let made = server.house.endpoint_token();
    let url = dialled(&server, word(&made, "token"));
    let mut binary = Robot::open(&url);
    wait(binary.0.send(Message::binary(b"{}".to_vec()))).unwrap();
    assert_eq!(binary.closed().0, 1003);
    let mut long = Robot::open(&url);
    let text = Message::text("x".repeat(1024 * 1024 + 1));
    // It may be closed while this is still being sent.
    let _ = wait(long.0.send(text));
    let ended = wait(long.0.next());
    assert!(!matches!(ended, Some(Ok(Message::Text(_)))), "{ended:?}");
    let mut broken = Robot::open(&url);
    wait(broken.0.send(Message::text("{ not json"))).unwrap();
    assert_eq!(broken.hear()["error"]["code"], 400);
    let mut robot = Robot::open(&url);
    robot.shake_hands();
    server
        .house
        .ok(&["vendor", "token", "revoke", word(&made, "token_id")]);
    let closed = server.within(std::time::Duration::from_secs(1), || robot.closed());
    assert_eq!(closed, (1008, "agentkeys.auth.token_revoked".to_owned()));
    let (code, said) = Robot::open(&url).closed();
    assert_eq!(
        (code, said.as_str()),
        (1008, "agentkeys.auth.token_revoked")
    );
}

#[test]
fn a_server_that_stops_says_so() {
    let server = Server::demo();
    let made = server.house.endpoint_token();
    let mut robot = Robot::open(&dialled(&server, word(&made, "token")));
    robot.shake_hands();
    let stopped = std::thread::spawn(move || server.stop());
    assert_eq!(robot.closed().0, 1001);
    assert_eq!(stopped.join().unwrap().code(), Some(0));
}

/// What the relay does with the next tool side that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Passes messages on.
    Fair,
    /// Takes the socket and has forgotten it: the zombie registration.
    Forgets,
    /// Refuses the address.
    Refuses,
    /// Lets another tool side take the place at once.
    Replaces,
}

type Frames = mpsc::UnboundedSender<Message>;

/// What the relay knows: the tool side, and the robots by the ids it gave them.
#[derive(Default)]
struct Known {
    moods: Vec<Mood>,
    tools: Option<Frames>,
    robots: Vec<Frames>,
    /// How often a tool side came.
    came: usize,
    /// The code the last one closed with.
    closed: watch::Sender<Option<u16>>,
}

/// mcp-endpoint-server's stand-in.
struct Relay {
    base: String,
    known: Arc<Mutex<Known>>,
}

impl Relay {
    fn start(moods: &[Mood]) -> Self {
        let known = Arc::new(Mutex::new(Known {
            moods: moods.iter().rev().copied().collect(),
            ..Known::default()
        }));
        let listener = wait(TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("ws://{}/mcp_endpoint", listener.local_addr().unwrap());
        let shared = Arc::clone(&known);
        wait(async {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(meet(stream, Arc::clone(&shared)));
                }
            });
        });
        Self { base, known }
    }

    /// Ends the tool side's socket without a word, as a relay that is killed does.
    fn drop_tools(&self) {
        self.known.lock().unwrap().tools = None;
    }
}

async fn meet(stream: TcpStream, known: Arc<Mutex<Known>>) {
    let mut path = String::new();
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let note = |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut path);
        assert_eq!(request.uri().query(), Some("token=T%2B1"));
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, note).await;
    let (mut sink, mut source) = socket.unwrap().split();
    let is_tools = path == "/mcp_endpoint/mcp/";
    let (send, mut queue) = mpsc::unbounded_channel();
    let mut number = 0;
    {
        let mut known = known.lock().unwrap();
        if is_tools {
            known.came += 1;
            let close = |code: u16, why: &'static str| {
                let frame = CloseFrame {
                    code: code.into(),
                    reason: why.into(),
                };
                send.send(Message::Close(Some(frame))).unwrap();
            };
            match known.moods.pop().unwrap_or(Mood::Fair) {
                Mood::Fair => known.tools = Some(send),
                Mood::Forgets => known.tools = None,
                Mood::Refuses => close(1008, "token解密失败"),
                Mood::Replaces => close(1000, "新连接替换"),
            }
        } else {
            number = known.robots.len();
            known.robots.push(send);
        }
    }
    loop {
        tokio::select! {
            out = queue.recv() => match out {
                Some(message) => sink.send(message).await.unwrap(),
                // Forgotten: the socket stays open, and pings are answered. Dropped: it ends.
                None if is_tools && known.lock().unwrap().came == 1 => {
                    while let Some(Ok(_)) = source.next().await {}
                    return;
                }
                None => return,
            },
            came = source.next() => {
                let Some(Ok(Message::Text(text))) = came else {
                    if matches!(came, Some(Ok(Message::Ping(_) | Message::Pong(_)))) { continue }
                    if is_tools {
                        // RFC 6455 §7.4.1: 1006 stands for an end without a close frame.
                        let code = match came {
                            Some(Ok(Message::Close(Some(frame)))) => frame.code.into(),
                            _ => 1006,
                        };
                        let mut known = known.lock().unwrap();
                        known.closed.send_replace(Some(code));
                        known.tools = None;
                    }
                    return;
                };
                pass(&known, is_tools, number, &text);
            }
        }
    }
}

/// Passes a message on with the id rewritten, as the relay does.
fn pass(known: &Mutex<Known>, from_tools: bool, number: usize, text: &str) {
    let mut message: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    let known = known.lock().unwrap();
    if from_tools {
        // "<robot>_<kind>_<id>": the tool side must echo it to the letter.
        let id = word(&message, "id").to_owned();
        let mut parts = id.splitn(3, '_');
        let robot: usize = parts.next().unwrap().parse().unwrap();
        let number = parts.next() == Some("n");
        let id = parts.next().unwrap();
        message["id"] = if number {
            json!(id.parse::<i64>().unwrap())
        } else {
            json!(id)
        };
        let _ = known.robots[robot].send(Message::text(message.to_string()));
        return;
    }
    let Some(tools) = &known.tools else {
        let error = json!({"jsonrpc": "2.0", "id": message["id"],
            "error": {"code": -32001, "message": "工具端未连接"}});
        let _ = known.robots[number].send(Message::text(error.to_string()));
        return;
    };
    match &message["id"] {
        Value::Number(id) => message["id"] = json!(format!("{number}_n_{id}")),
        Value::String(id) => message["id"] = json!(format!("{number}_s_{id}")),
        _ => {}
    }
    let _ = tools.send(Message::text(message.to_string()));
}

/// `agentkeys relay connect`, and what it says.
struct Dialling {
    child: Child,
    news: BufReader<ChildStdout>,
}

impl Dialling {
    fn start(house: &House, file: &Path) -> Self {
        let mut child = command(&house.dir())
            .args(["relay", "connect", "--json"])
            .arg(file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let news = BufReader::new(child.stdout.take().unwrap());
        Self { child, news }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.news.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connection(house: &House, relay: &Relay, token: &str) -> PathBuf {
    let path = house.temp.path().join("kevin.json");
    let endpoint = format!("{}/mcp/?token=T%2B1", relay.base);
    std::fs::write(
        &path,
        json!({"endpoint": endpoint, "token": token}).to_string(),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn tools_are_served_through_a_relay_and_again_after_it_was_gone() {
    let house = House::demo();
    let made = house.endpoint_token();
    let relay = Relay::start(&[Mood::Fair]);
    let file = connection(&house, &relay, word(&made, "token"));
    let shown = house.run(&["relay", "status", file.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(8));
    let mut dialling = Dialling::start(&house, &file);
    assert_eq!(
        dialling.next(),
        json!({"event": "serving", "connection": "kevin"})
    );
    let url = format!("{}/call/?token=T%2B1", relay.base);
    let mut robot = Robot::open(&url);
    assert_eq!(robot.shake_hands().len(), 10);
    let travel = json!({"namespace": "travel"});
    let heard = robot.sentence(json!(1), "agentkeys.memory.get", travel.clone());
    assert!(heard.starts_with("Memory travel v1: Chengdu"), "{heard}");
    let heard = robot.sentence(json!("x_y"), "agentkeys.memory.get", travel.clone());
    assert!(heard.starts_with("Memory travel"), "{heard}");
    let status = house.ok(&["relay", "status", file.to_str().unwrap()]);
    assert_eq!(status["findings"][0]["status"], "ok", "{status}");
    // The relay is restarted.
    relay.known.lock().unwrap().came += 1;
    relay.drop_tools();
    let waiting = dialling.next();
    assert_eq!(waiting["event"], "waiting", "{waiting}");
    assert!(waiting["wait_seconds"].as_f64().unwrap() < 5.0, "{waiting}");
    assert_eq!(dialling.next()["event"], "serving");
    let mut robot = Robot::open(&url);
    robot.shake_hands();
    robot.sentence(json!(1), "agentkeys.memory.get", travel);
    let rows = house.events(&["--vendor", "toys", "--tool", "agentkeys.memory.get"]);
    assert!(rows.iter().all(|r| r["door"] == "relay"));
    assert_eq!(rows.len(), 3);
}

#[test]
fn a_relay_that_has_forgotten_its_tool_side_is_found_out_and_dialled_again() {
    let house = House::demo();
    let made = house.endpoint_token();
    let relay = Relay::start(&[Mood::Forgets, Mood::Fair]);
    let file = connection(&house, &relay, word(&made, "token"));
    let mut dialling = Dialling::start(&house, &file);
    let waiting = dialling.next();
    assert_eq!(waiting["code"], "agentkeys.relay.not_reached", "{waiting}");
    assert!(
        word(&waiting, "cause").contains("工具端未连接"),
        "{waiting}"
    );
    assert_eq!(dialling.next()["event"], "serving");
    assert_eq!(relay.known.lock().unwrap().came, 2);
}

#[test]
fn what_dialling_again_would_only_repeat_is_waited_out() {
    let house = House::demo();
    let made = house.endpoint_token();
    let cases = [
        (Mood::Refuses, "agentkeys.relay.refused", "token解密失败"),
        (Mood::Replaces, "agentkeys.relay.replaced", "新连接替换"),
    ];
    for (mood, code, cause) in cases {
        let relay = Relay::start(&[mood]);
        let file = connection(&house, &relay, word(&made, "token"));
        let mut dialling = Dialling::start(&house, &file);
        let waiting = dialling.next();
        assert_eq!(waiting["code"], code, "{waiting}");
        assert!(word(&waiting, "cause").contains(cause), "{waiting}");
        assert!(
            waiting["wait_seconds"].as_f64().unwrap() >= 300.0,
            "{waiting}"
        );
    }
    // A token of ours that is not good is told before anything is dialled.
    let relay = Relay::start(&[]);
    let file = connection(&house, &relay, &house.token("magiclick"));
    let waiting = Dialling::start(&house, &file).next();
    assert_eq!(
        waiting["code"], "agentkeys.auth.token_malformed",
        "{waiting}"
    );
    assert_eq!(relay.known.lock().unwrap().came, 0);
    // Nobody there.
    let gone = Relay {
        base: "ws://127.0.0.1:9/mcp_endpoint".into(),
        known: Arc::default(),
    };
    let file = connection(&house, &gone, word(&made, "token"));
    let waiting = Dialling::start(&house, &file).next();
    assert_eq!(waiting["code"], "agentkeys.relay.unreachable", "{waiting}");
    assert!(!waiting.to_string().contains("T%2B1"), "{waiting}");
}

#[test]
fn serve_keeps_the_relays_of_its_configuration() {
    let house = House::demo();
    let made = house.endpoint_token();
    let relay = Relay::start(&[Mood::Fair]);
    let file = connection(&house, &relay, word(&made, "token"));
    let server = Server::over(
        house,
        &[("AGENTKEYS_RELAY_CONNECT", file.to_str().unwrap())],
    );
    let url = format!("{}/call/?token=T%2B1", relay.base);
    // It is dialled while the server starts; until then the relay says that nobody is there.
    let heard = loop {
        let mut robot = Robot::open(&url);
        let answer = robot.call(
            json!(1),
            "agentkeys.memory.get",
            json!({"namespace": "travel"}),
        );
        if answer["error"]["code"] != -32001 {
            break answer;
        }
    };
    assert!(word(&heard["result"]["content"][0], "text").contains("Chengdu"));
    // A relay that is told knows at once that nobody is there.
    let mut closed = relay.known.lock().unwrap().closed.subscribe();
    assert_eq!(server.stop().code(), Some(0));
    let code = *wait(closed.wait_for(Option::is_some)).unwrap();
    assert_eq!(code, Some(1001));
}

#[test]
fn a_connection_file_is_kept_like_a_key() {
    let house = House::demo();
    let path = house.temp.path().join("x.json");
    let shown = path.to_str().unwrap().to_owned();
    let told = |body: &str, mode: u32| {
        std::fs::write(&path, body).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = house.run(&["relay", "status", &shown]);
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert!(!text(&output.stderr).contains("S3CRET"));
        (
            output.status.code(),
            said["error"]["code"].as_str().unwrap().to_owned(),
        )
    };
    let good =
        r#"{"endpoint": "ws://127.0.0.1:9/mcp_endpoint/mcp/?token=S3CRET", "token": "S3CRET"}"#;
    let invalid = (Some(3), "agentkeys.relay.file_invalid".to_owned());
    assert_eq!(
        told(good, 0o640),
        (Some(3), "agentkeys.file.exposed".to_owned())
    );
    assert_eq!(told(r#"{"endpoint": "S3CRET"}"#, 0o600), invalid);
    assert_eq!(
        told(r#"{"endpoint": "https://S3CRET/", "token": "t"}"#, 0o600),
        invalid
    );
    assert_eq!(
        told(
            r#"{"endpoint": "ws://x/", "token": "t", "S3CRET": 1}"#,
            0o600
        ),
        invalid
    );
    assert_eq!(
        told(good, 0o600),
        (Some(8), "agentkeys.relay.not_reached".to_owned())
    );
}
