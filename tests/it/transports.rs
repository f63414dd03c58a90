//! The refusal matrix on the doors that are not HTTP: a cause × a tool × a kind of token × a
//! transport, each with its code and exactly one row about the same actor, vendor and reason.

use super::support::{House, Server, TRAVEL_AND_SPEND, command, spawn, wait};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const TOOLS: [&str; 10] = [
    "agentkeys.identity.whoami",
    "agentkeys.memory.get",
    "agentkeys.memory.put",
    "agentkeys.permission.check",
    "agentkeys.cap.mint",
    "agentkeys.cap.revoke",
    "agentkeys.audit.append",
    "agentkeys.delegation.grant",
    "agentkeys.delegation.revoke",
    "agentkeys.approval.request",
];

/// What kind of token a door is knocked at with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pinned,
    Jwt,
    Endpoint,
}

/// A way in that is not HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Stdio,
    Remote,
    Endpoint,
}

impl Transport {
    /// The kinds of token that may speak through it.
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Stdio | Self::Remote => &[Kind::Pinned, Kind::Jwt],
            Self::Endpoint => &[Kind::Endpoint, Kind::Jwt],
        }
    }

    const fn door(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Remote => "http",
            Self::Endpoint => "relay",
        }
    }
}

const TRANSPORTS: [Transport; 3] = [Transport::Stdio, Transport::Remote, Transport::Endpoint];

/// A token, its id and the actor it speaks for.
struct Made {
    token: String,
    id: String,
    actor: String,
}

fn make(house: &House, kind: Kind, label: &str, ttl: &str) -> Made {
    let word = |v: &Value, key: &str| v[key].as_str().unwrap().to_owned();
    let words: Vec<&str> = match kind {
        Kind::Jwt => {
            let words = [
                "vendor", "device", "register", "--vendor", "toys", "--device", label,
            ];
            let made = house.ok(&[&words[..], &["--parent", "O_kevin_001"]].concat());
            return Made {
                token: word(&made, "jwt"),
                id: word(&made, "token_id"),
                actor: word(&made, "actor_omni"),
            };
        }
        Kind::Pinned => vec![],
        Kind::Endpoint => vec!["--endpoint"],
    };
    let create = [
        "vendor", "token", "create", "--vendor", "toys", "--ttl", ttl,
    ];
    let made = house.ok(&[&create[..], &["--actor", "O_kevin_001"], &words].concat());
    Made {
        token: word(&made, "token"),
        id: word(&made, "token_id"),
        actor: word(&made, "actor_omni"),
    }
}

type Says = SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>;
type Heard = Result<Message, Error>;

/// One conversation, whatever carries it.
enum Talk {
    Pipe(Child, Option<ChildStdin>, BufReader<ChildStdout>),
    Socket(Box<Says>, mpsc::UnboundedReceiver<Heard>),
}

impl Talk {
    fn open(server: &Server, transport: Transport, token: &str) -> Self {
        if transport == Transport::Endpoint {
            let base = server.base.replacen("http", "ws", 1);
            let url = format!("{base}/mcp_endpoint/call/?token={token}");
            let (socket, _) = wait(tokio_tungstenite::connect_async(url)).unwrap();
            let (says, mut comes) = socket.split();
            // What comes is read when it comes: a ping that is answered only when the server has
            // closed breaks the socket before its close frame is seen.
            let (tell, heard) = mpsc::unbounded_channel();
            spawn(async move {
                while let Some(message) = comes.next().await {
                    if tell.send(message).is_err() {
                        return;
                    }
                }
            });
            return Self::Socket(Box::new(says), heard);
        }
        let file = server.house.temp.path().join("pipe.token");
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = command(&server.house.dir());
        command
            .args(["serve", "--transport", "stdio", "--token-file"])
            .arg(&file);
        if transport == Transport::Remote {
            command.arg("--remote").arg(format!("{}/mcp", server.base));
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self::Pipe(child, stdin, stdout)
    }

    /// Says a message; its answer, or how the conversation ended instead.
    fn ask(&mut self, message: &Value) -> Result<Value, String> {
        let text = message.to_string();
        match self {
            Self::Pipe(child, stdin, stdout) => {
                // A process that has ended reads no more; its end is told below.
                let _ = writeln!(stdin.as_mut().unwrap(), "{text}");
                let mut line = String::new();
                stdout.read_line(&mut line).unwrap();
                if line.is_empty() {
                    return Err(format!("{:?}", child.wait().unwrap().code()));
                }
                Ok(serde_json::from_str(&line).unwrap())
            }
            Self::Socket(says, heard) => {
                let _ = wait(says.send(Message::text(text)));
                loop {
                    match wait(heard.recv()) {
                        Some(Ok(Message::Text(text))) => {
                            return Ok(serde_json::from_str(&text).unwrap());
                        }
                        Some(Ok(Message::Close(Some(why)))) => {
                            return Err(format!("{} {}", u16::from(why.code), why.reason));
                        }
                        Some(Ok(_)) => {}
                        ended => return Err(format!("{ended:?}")),
                    }
                }
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value, String> {
        self.ask(&json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}}))
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Self::Pipe(child, stdin, _) = self {
            drop(stdin.take());
            let _ = child.wait();
        }
    }
}

/// Where a code stands in an answer: an error's data, or a result's first words.
fn code(answer: &Value) -> String {
    let data = answer.pointer("/error/data/code").and_then(Value::as_str);
    let text = answer.pointer("/result/content/0/text");
    let text = text
        .and_then(Value::as_str)
        .and_then(|t| t.split(": ").next());
    data.or(text).unwrap_or_default().to_owned()
}

fn rows_since(house: &House, seen: &mut usize) -> Vec<Value> {
    let all = house.events(&[]);
    let of_ours = |row: &&Value| row["door"] != "cli";
    let rows = all[*seen..].iter().filter(of_ours).cloned().collect();
    *seen = all.len();
    rows
}

fn house() -> Server {
    let server = Server::demo();
    server
        .house
        .ok(&["vendor", "create", "toys", "--rail", "xiaozhi"]);
    let grant = ["actor", "grant", "O_kevin_001", "--vendor", "toys"];
    server.house.ok(&[&grant[..], TRAVEL_AND_SPEND].concat());
    server
}

#[test]
fn each_tool_on_each_door_refuses_another_actor_and_a_tool_that_is_none() {
    let server = house();
    let mut cells = 0;
    for transport in TRANSPORTS {
        for kind in transport.kinds() {
            let made = make(&server.house, *kind, &format!("d-{transport:?}"), "1h");
            let mut talk = Talk::open(&server, transport, &made.token);
            assert_eq!(
                talk.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
                    .unwrap()["result"],
                json!({})
            );
            let mut seen = server.house.events(&[]).len();
            for tool in TOOLS {
                let other = json!({"actor": format!("0x{}", "ab".repeat(32))});
                let answer = talk.call(tool, &other).unwrap();
                assert_eq!(
                    code(&answer),
                    "agentkeys.auth.actor_mismatch",
                    "{tool}: {answer}"
                );
                let rows = rows_since(&server.house, &mut seen);
                assert_eq!(rows.len(), 1, "{transport:?} {kind:?} {tool}: {rows:?}");
                let row = &rows[0];
                let told = ["tool", "reason", "vendor", "actor_omni", "token_id", "door"];
                let told = told.map(|key| row[key].as_str().unwrap_or_default().to_owned());
                let expected = [
                    tool,
                    "actor_mismatch",
                    "toys",
                    &made.actor,
                    &made.id,
                    transport.door(),
                ];
                assert_eq!(told, expected.map(str::to_owned));
                assert_eq!(row["status"], 403);
                cells += 1;
            }
            let answer = talk.call("agentkeys.memory.destroy", &json!({})).unwrap();
            assert_eq!(code(&answer), "agentkeys.tool.unknown_tool", "{answer}");
            let rows = rows_since(&server.house, &mut seen);
            assert_eq!(
                (rows.len(), &rows[0]["reason"]),
                (1, &json!("unknown_tool"))
            );
            cells += 1;
        }
    }
    assert_eq!(cells, 66);
}

#[test]
fn each_tool_on_each_door_is_refused_once_the_token_is_revoked() {
    let server = house();
    for transport in TRANSPORTS {
        for kind in transport.kinds() {
            let made = make(&server.house, *kind, &format!("r-{transport:?}"), "1h");
            let mut talk = Talk::open(&server, transport, &made.token);
            talk.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
                .unwrap();
            server.house.ok(&["vendor", "token", "revoke", &made.id]);
            let mut seen = server.house.events(&[]).len();
            for tool in TOOLS {
                match talk.call(tool, &json!({})) {
                    Ok(answer) => {
                        assert_eq!(code(&answer), "agentkeys.auth.token_revoked", "{answer}");
                        let rows = rows_since(&server.house, &mut seen);
                        assert_eq!(rows.len(), 1, "{transport:?} {kind:?} {tool}: {rows:?}");
                        assert_eq!(rows[0]["reason"], "token_revoked");
                        assert_eq!(rows[0]["token_id"], made.id);
                    }
                    // A socket is closed within a second, answered or not.
                    Err(ended) => {
                        assert_eq!(transport, Transport::Endpoint);
                        assert_eq!(ended, "1008 agentkeys.auth.token_revoked");
                        break;
                    }
                }
            }
        }
    }
}

/// What is wrong with a token before anything is said.
#[test]
fn a_token_that_is_over_or_none_opens_no_door() {
    let server = house();
    let unknown = |kind: Kind| {
        let issue = match kind {
            Kind::Endpoint => agentkeys::authority::token::issue_endpoint,
            _ => agentkeys::authority::token::issue,
        };
        issue([7; 8], [7; 32]).1.expose().to_owned()
    };
    for transport in TRANSPORTS {
        for kind in transport.kinds() {
            let label = |what: &str| format!("{what}-{transport:?}");
            let house = &server.house;
            let revoked = make(house, *kind, &label("v"), "1h");
            house.ok(&["vendor", "token", "revoke", &revoked.id]);
            let mut cases = vec![(revoked.token, "token_revoked", Some(revoked.id))];
            match kind {
                Kind::Jwt => {
                    // Registered again: the first JWT is dead.
                    let first = make(house, *kind, &label("again"), "1h");
                    make(house, *kind, &label("again"), "1h");
                    cases.push((first.token, "token_revoked", Some(first.id)));
                    let good = make(house, *kind, &label("cut"), "1h").token;
                    cases.push((good[..good.len() - 4].to_owned(), "token_malformed", None));
                }
                kind => {
                    let expired = make(house, *kind, "", "1ms");
                    cases.push((expired.token, "token_expired", Some(expired.id)));
                    let rotated = make(house, *kind, "", "1h");
                    house.ok(&["vendor", "token", "rotate", &rotated.id, "--overlap", "0s"]);
                    cases.push((rotated.token, "token_expired", Some(rotated.id)));
                    let typo = unknown(*kind).replacen('7', "8", 1);
                    cases.push((typo, "token_malformed", None));
                    cases.push((unknown(*kind), "token_unknown", None));
                }
            }
            for (token, reason, id) in cases {
                let mut seen = house.events(&[]).len();
                let mut talk = Talk::open(&server, transport, &token);
                let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
                let said = match (transport, talk.ask(&ping)) {
                    (Transport::Remote, Ok(answer)) => code(&answer),
                    (Transport::Stdio, Err(exit)) => {
                        assert_eq!(exit, "Some(4)");
                        format!("agentkeys.auth.{reason}")
                    }
                    (Transport::Endpoint, Err(closed)) => {
                        closed.strip_prefix("1008 ").unwrap_or(&closed).to_owned()
                    }
                    (_, other) => panic!("{transport:?} {kind:?} {reason}: {other:?}"),
                };
                assert_eq!(
                    said,
                    format!("agentkeys.auth.{reason}"),
                    "{transport:?} {kind:?}"
                );
                let rows = rows_since(house, &mut seen);
                assert_eq!(rows.len(), 1, "{transport:?} {kind:?} {reason}: {rows:?}");
                assert_eq!(rows[0]["reason"], reason);
                assert_eq!(rows[0]["token_id"], json!(id), "{}", rows[0]);
                assert_eq!(rows[0]["door"], transport.door());
            }
        }
    }
}

#[test]
fn a_rotated_endpoint_token_is_replaced_by_one_of_its_kind() {
    let server = house();
    let old = make(&server.house, Kind::Endpoint, "", "1h");
    let new = server
        .house
        .ok(&["vendor", "token", "rotate", &old.id, "--overlap", "1h"]);
    for token in [old.token.as_str(), new["token"].as_str().unwrap()] {
        let mut talk = Talk::open(&server, Transport::Endpoint, token);
        let answer = talk.call("agentkeys.identity.whoami", &json!({})).unwrap();
        assert_eq!(answer["result"]["isError"], false, "{answer}");
    }
}
