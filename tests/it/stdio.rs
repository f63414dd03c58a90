//! MCP over standard input and output: the local folder's authority, and one elsewhere.

use super::support::{House, Server, TRAVEL_AND_SPEND, command, text};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A token of a vendor of its own, pinned to the demo actor, in a file.
fn pinned(house: &House) -> PathBuf {
    house.vendor("desk", TRAVEL_AND_SPEND);
    house.pin("desk")
}

/// The process a host starts.
struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Piped {
    fn start(house: &House, token: &PathBuf, more: &[&str]) -> Self {
        let mut child = command(&house.dir())
            .args(["serve", "--transport", "stdio", "--token-file"])
            .arg(token)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdin,
            stdout,
        }
    }

    fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn ask(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.say(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
        let heard = self.hear();
        assert_eq!(heard["id"], id, "{heard}");
        heard
    }

    fn call(&mut self, id: i64, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.ask(id, "tools/call", params)["result"]["structuredContent"].take()
    }

    fn open(&mut self, version: &str) -> Value {
        let params = json!({
            "protocolVersion": version, "capabilities": {},
            "clientInfo": {"name": "claude-code", "version": "2.0.0"},
        });
        let opened = self.ask(0, "initialize", params);
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        opened["result"].clone()
    }

    /// Ends the input; the exit code, and what was on stdout besides what was heard.
    fn close(mut self) -> (Option<i32>, String) {
        drop(self.stdin.take());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

/// What a host does, whichever authority is behind the pipe.
fn converse(pipe: &mut Piped) {
    for version in ["2025-06-18", "2025-11-25"] {
        assert_eq!(pipe.open(version)["protocolVersion"], version);
    }
    assert_eq!(pipe.ask(1, "ping", json!({}))["result"], json!({}));
    let listed = pipe.ask(2, "tools/list", json!({}));
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 10);
    let who = pipe.call(3, "agentkeys.identity.whoami", json!({}));
    assert_eq!(who["alias"], "O_kevin_001");
    let line = "窗边 \u{1f683}\nsecond line";
    let put = json!({"namespace": "travel", "content": line});
    assert_eq!(pipe.call(4, "agentkeys.memory.put", put)["ok"], true);
    let got = pipe.call(5, "agentkeys.memory.get", json!({"namespace": "travel"}));
    assert_eq!(got["content"], line);
    // Another actor is refused, whatever the model says, and the pipe goes on.
    let other = json!({"name": "agentkeys.memory.get",
        "arguments": {"namespace": "travel", "actor": "somebody"}});
    let refused = pipe.ask(6, "tools/call", other);
    assert_eq!(
        refused["error"]["data"]["code"],
        "agentkeys.auth.actor_mismatch"
    );
    pipe.say("{ not json");
    let broken = pipe.hear();
    assert_eq!(
        (&broken["id"], &broken["error"]["code"]),
        (&Value::Null, &json!(400))
    );
    pipe.say("");
    // Whoever answers is not answered, or it would take that for the answer to its own request.
    pipe.say(&json!({"jsonrpc": "2.0", "id": 7, "result": {}}).to_string());
    // 2026-07-28 opens nothing: each message names its version.
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let modern = json!({"name": "agentkeys.memory.get", "arguments": {"namespace": "travel"},
        "_meta": meta});
    let got = pipe.ask(7, "tools/call", modern);
    assert_eq!(got["result"]["structuredContent"]["content"], line, "{got}");
}

#[test]
fn a_host_on_the_same_machine_reaches_the_folder() {
    let house = House::demo();
    let token = pinned(&house);
    let mut pipe = Piped::start(&house, &token, &[]);
    converse(&mut pipe);
    assert_eq!(pipe.close(), (Some(0), String::new()));
    let rows = house.events(&["--vendor", "desk", "--tool", "agentkeys.memory.get"]);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|r| r["door"] == "stdio"), "{rows:?}");
    let spoken: Vec<_> = rows.iter().map(|r| r["protocol"].clone()).collect();
    assert_eq!(spoken, ["2025-11-25", "2025-11-25", "2026-07-28"]);
}

#[test]
fn a_host_reaches_an_authority_elsewhere() {
    let server = Server::demo();
    let token = pinned(&server.house);
    let url = format!("{}/mcp", server.base);
    let mut pipe = Piped::start(&server.house, &token, &["--remote", &url]);
    converse(&mut pipe);
    assert_eq!(pipe.close(), (Some(0), String::new()));
    let rows = server
        .house
        .events(&["--vendor", "desk", "--tool", "agentkeys.memory.get"]);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|r| r["door"] == "http"), "{rows:?}");
    // An address where nobody answers is told in the answer, not by a pipe that breaks.
    let mut pipe = Piped::start(
        &server.house,
        &token,
        &["--remote", "http://127.0.0.1:9/mcp"],
    );
    let answer = pipe.ask(1, "ping", json!({}));
    assert_eq!(
        answer["error"]["data"]["code"],
        "agentkeys.remote.unreachable"
    );
    pipe.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
    let nowhere = format!("{}/nowhere", server.base);
    assert_eq!(pipe.close(), (Some(0), String::new()));
    let mut pipe = Piped::start(&server.house, &token, &["--remote", &nowhere]);
    let answer = pipe.ask(1, "ping", json!({}));
    assert_eq!(answer["error"]["data"]["code"], "agentkeys.remote.not_mcp");
}

#[test]
fn a_revoked_token_is_refused_on_the_next_message_of_an_open_pipe() {
    let house = House::demo();
    let token = pinned(&house);
    let mut pipe = Piped::start(&house, &token, &[]);
    pipe.open("2025-11-25");
    let who = pipe.call(1, "agentkeys.identity.whoami", json!({}));
    assert_eq!(who["vendor"], "desk");
    let id = text(&std::fs::read(&token).unwrap());
    house.ok(&["vendor", "token", "revoke", id.split('_').nth(1).unwrap()]);
    let params = json!({"name": "agentkeys.identity.whoami", "arguments": {}});
    let refused = pipe.ask(2, "tools/call", params);
    assert_eq!(refused["error"]["code"], 401);
    let row = house.events(&["--vendor", "desk"]).pop().unwrap();
    assert_eq!(
        (&row["door"], &row["reason"]),
        (&json!("stdio"), &json!("token_revoked"))
    );
}

#[test]
fn calls_run_side_by_side_and_all_are_answered_before_the_end() {
    let house = House::demo();
    let token = pinned(&house);
    let mut pipe = Piped::start(&house, &token, &[]);
    for id in 0..50 {
        let params = json!({"name": "agentkeys.memory.get", "arguments": {"namespace": "travel"}});
        pipe.say(
            &json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
                .to_string(),
        );
    }
    let (code, rest) = pipe.close();
    assert_eq!(code, Some(0));
    let answer = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let mut ids: Vec<_> = rest
        .lines()
        .map(|l| answer(l)["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_is_read() {
    let house = House::demo();
    let token = pinned(&house);
    let mut pipe = Piped::start(&house, &token, &[]);
    pipe.say(&"x".repeat(3 * 1024 * 1024));
    let refused = pipe.hear();
    assert_eq!(
        refused["error"]["data"]["code"],
        "agentkeys.http.body_too_large"
    );
    assert_eq!(pipe.ask(1, "ping", json!({}))["result"], json!({}));
    // Bytes that are no text are refused like any broken message.
    pipe.stdin
        .as_mut()
        .unwrap()
        .write_all(b"\xff\xfe{}\n")
        .unwrap();
    assert_eq!(pipe.hear()["error"]["code"], 400);
    assert_eq!(pipe.ask(2, "ping", json!({}))["result"], json!({}));
}

#[test]
fn a_token_that_may_not_speak_ends_the_process_before_it_reads() {
    let house = House::demo();
    let run = |token: &str, mode: u32| {
        let path = house.keep("t", token);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let words = ["serve", "--transport", "stdio", "--token-file"];
        let path = path.to_str().unwrap().to_owned();
        let output = house.run(&[&words[..], &[path.as_str()]].concat());
        assert!(output.stdout.is_empty());
        let said: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
        (
            output.status.code(),
            said["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    // Of a vendor, but of no one actor.
    let code = |token: &str| run(token, 0o600);
    assert_eq!(
        code(&house.token("magiclick")),
        (Some(4), "agentkeys.auth.actor_missing".to_owned())
    );
    assert_eq!(
        code("akv_0000"),
        (Some(4), "agentkeys.auth.token_malformed".to_owned())
    );
    assert_eq!(
        code("two words"),
        (Some(3), "agentkeys.file.no_token".to_owned())
    );
    assert_eq!(
        run(&house.token("magiclick"), 0o644),
        (Some(3), "agentkeys.file.exposed".to_owned())
    );
    let usage = house.run(&["serve", "--transport", "stdio"]);
    assert_eq!(usage.status.code(), Some(2));
    let usage = house.run(&["serve", "--remote", "http://127.0.0.1:9/mcp"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_devices_jwt_names_its_actor_over_a_pipe_too_and_dies_there_when_it_is_revoked() {
    let house = House::demo();
    let words = ["vendor", "device", "register", "--vendor", "magiclick"];
    let bear = house.ok(&[&words[..], &["--device", "bear-01"]].concat());
    let file = house.keep("bear.jwt", bear["jwt"].as_str().unwrap());
    let mut pipe = Piped::start(&house, &file, &[]);
    let who = |pipe: &mut Piped, id| {
        let params = json!({"name": "agentkeys.identity.whoami", "arguments": {}});
        pipe.ask(id, "tools/call", params)
    };
    let told = who(&mut pipe, 1)["result"]["content"][0]["text"].to_string();
    assert!(told.contains("bear-01"), "{told}");
    let id = bear["token_id"].as_str().unwrap();
    house.ok(&["vendor", "token", "revoke", id]);
    let refused = who(&mut pipe, 2);
    assert_eq!(
        refused["error"]["data"]["code"],
        "agentkeys.auth.token_revoked"
    );
    pipe.close();
}
