//! MCP Inspector in its command-line mode, which is what people look at a server with first: over
//! HTTP and started as a process, in each of the two ways MCP opens a conversation.

use super::installed::newer_node;
use super::support::{BIN, House, Server, TRAVEL_AND_SPEND, json_of, text};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};

/// How a conversation is opened: with `initialize`, or never, or as the server likes it.
const ERAS: [(&str, &str); 3] = [
    ("legacy", "2025-11-25"),
    ("modern", "2026-07-28"),
    ("auto", "2026-07-28"),
];

/// A running server, and the Inspector's settings for each way to it.
struct Bench {
    server: Server,
    settings: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let house = House::demo();
        house.vendor("desk", TRAVEL_AND_SPEND);
        let file = house.pin("desk");
        let token = std::fs::read_to_string(&file).unwrap();
        let server = Server::over(house, &[]);
        let url = format!("{}/mcp", server.base);
        let words = ["serve", "--transport", "stdio", "--token-file"];
        let started = |more: &[&str]| {
            let words = [&words[..], &[file.to_str().unwrap()], more].concat();
            let env = json!({"AGENTKEYS_DIR": server.house.dir()});
            json!({"type": "stdio", "command": BIN, "args": words, "env": env})
        };
        let bearer = |token: &str| json!({"Authorization": format!("Bearer {}", token.trim())});
        let settings = json!({"mcpServers": {
            "http": {"type": "streamable-http", "url": url, "headers": bearer(&token)},
            "wrong": {"type": "streamable-http", "url": url, "headers": bearer("akv_wrong")},
            "stdio": started(&[]),
            "remote": started(&["--remote", &url]),
        }});
        let settings = server.house.keep("inspector.json", &settings.to_string());
        Self { server, settings }
    }

    fn inspector(&self, server: &str) -> Command {
        let program = "@modelcontextprotocol/inspector/clients/launcher/build/index.js";
        let mut command = newer_node("node_modules/agentkeys-inspector", program);
        command
            .args(["--cli", "--config"])
            .arg(&self.settings)
            // Else it would open a browser for a login.
            .args(["--server", server, "--stored-auth-only"])
            .args(["--format", "json"])
            .env("HOME", self.server.house.temp.path());
        command
    }

    fn list(&self, server: &str, more: &[&str]) -> Output {
        let mut command = self.inspector(server);
        command.args(["--method", "tools/list"]).args(more);
        command.output().unwrap()
    }

    fn call(&self, server: &str, tool: &str, arguments: &Value, more: &[&str]) -> Output {
        let mut command = self.inspector(server);
        command
            .args(["--method", "tools/call", "--tool-name", tool])
            .args(["--tool-args-json", &arguments.to_string()])
            .args(more);
        command.output().unwrap()
    }

    /// Lists and calls in every era; what is on record is how it came.
    #[track_caller]
    fn lists_and_calls(&self, server: &str, door: &str) {
        for (era, version) in ERAS {
            let era = ["--protocol-era", era];
            let listed = json_of(&self.list(server, &era));
            assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 10);
            let travel = json!({"namespace": "travel"});
            let called = self.call(server, "agentkeys.memory.get", &travel, &era);
            let memory = &json_of(&called)["result"]["structuredContent"];
            assert_eq!(
                memory["content"],
                "Chengdu trip — Apr 12 to 16, hotpot at Yulin."
            );
            let row = self
                .server
                .house
                .events(&["--vendor", "desk"])
                .pop()
                .unwrap();
            assert_eq!(
                (&row["door"], &row["protocol"]),
                (&json!(door), &json!(version))
            );
        }
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn the_inspector_lists_and_calls_over_http() {
    Bench::new().lists_and_calls("http", "http");
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn the_inspector_lists_and_calls_a_process_it_starts() {
    Bench::new().lists_and_calls("stdio", "stdio");
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn the_inspector_lists_and_calls_an_authority_elsewhere() {
    Bench::new().lists_and_calls("remote", "http");
}

/// The exit codes are the Inspector's own: 3 a login is missing, 5 a tool said no.
#[test]
#[ignore = "needs tests/sdk/install"]
fn the_inspector_finds_the_schemas_portable_and_tells_refusals() {
    let bench = Bench::new();
    let strict = bench.list("http", &["--strict"]);
    assert_eq!(strict.status.code(), Some(0), "{}", text(&strict.stderr));
    let profile = json!({"namespace": "profile"});
    for server in ["http", "stdio", "remote"] {
        let failed = bench.call(server, "agentkeys.memory.get", &profile, &[]);
        assert_eq!(failed.status.code(), Some(5), "{}", text(&failed.stderr));
        let said: Value = serde_json::from_slice(&failed.stdout).unwrap();
        let code = &said["result"]["structuredContent"]["error"];
        assert_eq!(code, "agentkeys.memory.namespace_unknown");
    }
    let refused = bench.list("wrong", &[]);
    assert_eq!(refused.status.code(), Some(3));
    let said = text(&refused.stderr);
    assert!(said.contains("agentkeys.auth.token_malformed"), "{said}");
}
