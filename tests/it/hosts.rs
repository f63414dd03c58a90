//! Hosts themselves: Claude Code and Codex read an entry of their settings, start or reach the server
//! it names and list its tools. Nobody is logged in, and a model could not be reached: the only
//! address they have for one is a closed port.

use super::installed::{installed, root, without_proxy};
use super::support::{BIN, House, Server, TRAVEL_AND_SPEND, text};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const HOSTS: &str = "node_modules/agentkeys-hosts";

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A running server, a vendor's token for the demo actor in a file, and a home for a host.
struct Desk {
    server: Server,
    file: PathBuf,
    token: String,
    home: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let house = House::demo();
        house.vendor("desk", TRAVEL_AND_SPEND);
        let file = house.pin("desk");
        let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        let home = house.temp.path().join("home");
        std::fs::create_dir_all(home.join(".codex")).unwrap();
        let server = Server::over(house, &[]);
        Self {
            server,
            file,
            token,
            home,
        }
    }

    fn url(&self) -> String {
        format!("{}/mcp", self.server.base)
    }

    /// A host's program, with nothing of this environment.
    fn host(&self, program: &str) -> Command {
        let program = installed(HOSTS).join("node_modules").join(program);
        let mut command = without_proxy(program);
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&self.home);
        command
    }

    fn claude(&self, words: &[&str]) -> String {
        let mut command = self.host("@anthropic-ai/claude-code-linux-x64/claude");
        command
            .args(words)
            .env("ANTHROPIC_BASE_URL", NOWHERE)
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    fn codex(&self, words: &[&str]) -> Command {
        let program = "@openai/codex/vendor/x86_64-unknown-linux-musl/bin/codex";
        let mut command = self.host(program);
        command.args(words).env("AGENTKEYS_TOKEN", &self.token);
        command
    }

    /// The rows of calls, by door and version.
    fn called(&self) -> Vec<(String, String)> {
        let rows = self.server.house.events(&["--vendor", "desk"]);
        let word = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        rows.iter()
            .filter(|r| r["tool"] == "agentkeys.memory.get")
            .map(|r| (word(r, "door"), word(r, "protocol")))
            .collect()
    }
}

/// The words after the program's name.
fn words(file: &Path, more: &[&str]) -> Vec<String> {
    let words = ["serve", "--transport", "stdio", "--token-file"];
    let all = [&words[..], &[file.to_str().unwrap()], more].concat();
    all.into_iter().map(str::to_owned).collect()
}

/// The entry that our documents show, in this language.
fn documented(language: &str) -> String {
    let page = std::fs::read_to_string(root("docs/hosts.md")).unwrap();
    let section = page.split_once("## Claude Code and Codex").unwrap().1;
    let block = section.split_once(&format!("```{language}\n")).unwrap().1;
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn claude_code_reads_its_settings_and_connects() {
    let desk = Desk::new();
    let (url, dir) = (desk.url(), desk.server.house.dir());
    let wrong = desk.server.house.keep("wrong.token", "akv_wrong");
    let documented: Value = serde_json::from_str(&documented("json")).unwrap();
    let piped = |words: &[String]| {
        let mut entry = documented["mcpServers"]["agentkeys"].clone();
        assert_eq!(entry["args"].as_array().unwrap()[..4], words[..4]);
        entry["command"] = json!(BIN);
        entry["args"] = json!(words);
        entry["env"] = json!({"AGENTKEYS_DIR": dir});
        entry
    };
    let reached = |token: &str| {
        let headers = json!({"Authorization": format!("Bearer {token}")});
        json!({"type": "http", "url": url, "headers": headers})
    };
    for (name, entry) in [
        ("folder", piped(&words(&desk.file, &[]))),
        ("elsewhere", piped(&words(&desk.file, &["--remote", &url]))),
        ("http", reached(&desk.token)),
        ("refused", reached("akv_wrong")),
        ("ended", piped(&words(&wrong, &[]))),
    ] {
        let entry = entry.to_string();
        desk.claude(&["mcp", "add-json", "--scope", "user", name, &entry]);
    }
    // It asks each of them who it is and for its tools.
    let listed = desk.claude(&["mcp", "list"]);
    let line = |name: &str| {
        let start = format!("{name}: ");
        listed.lines().find(|l| l.starts_with(&start)).unwrap()
    };
    for name in ["folder", "elsewhere", "http"] {
        assert!(line(name).ends_with("✔ Connected"), "{listed}");
    }
    // It passes our words on, and the way out with them.
    let refused = line("refused");
    for told in [
        "✘ Failed to connect",
        "agentkeys.auth.token_malformed",
        "copy the whole token",
    ] {
        assert!(refused.contains(told), "{refused}");
    }
    assert!(line("ended").contains("✘ Failed to connect"), "{listed}");
    // The newest way first, then the one before.
    let mut rows = desk.server.house.events(&[]);
    rows.retain(|r| r["reason"] == "token_malformed" && r["door"] == "http");
    let tried: Vec<_> = rows.iter().map(|r| (&r["tool"], &r["protocol"])).collect();
    let newest = (&json!("server/discover"), &json!("2026-07-28"));
    let before = (&json!("initialize"), &json!("2025-11-25"));
    assert_eq!(tried, [newest, before]);
    let got = desk.claude(&["mcp", "get", "folder"]);
    assert!(
        got.contains("Status: ✔ Connected") && got.contains(BIN),
        "{got}"
    );
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn claude_code_leaves_a_projects_entry_to_its_user() {
    let desk = Desk::new();
    let entry = json!({"command": BIN, "args": words(&desk.file, &[])});
    let project = json!({"mcpServers": {"agentkeys": entry}});
    std::fs::write(desk.home.join(".mcp.json"), project.to_string()).unwrap();
    let listed = desk.claude(&["mcp", "list"]);
    assert!(listed.contains("Pending approval"), "{listed}");
}

/// What an editor drives Codex with. Killed when dropped.
struct AppServer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl AppServer {
    fn start(desk: &Desk) -> Self {
        let mut child = desk
            .codex(&["app-server"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            stdin,
            stdout,
        };
        let client = json!({"name": "agentkeys-test", "title": "test", "version": "1"});
        server.ask("initialize", &json!({"clientInfo": client}));
        server.say(&json!({"jsonrpc": "2.0", "method": "initialized"}));
        server
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.stdin, "{message}").unwrap();
    }

    #[track_caller]
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "codex ended before it answered {method}");
            let mut heard: Value = serde_json::from_str(&line).unwrap();
            if heard["id"] == method && heard.get("method").is_none() {
                assert!(heard.get("result").is_some(), "{heard}");
                return heard["result"].take();
            }
        }
    }
}

impl Drop for AppServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn codex_reads_its_settings_connects_and_calls() {
    let desk = Desk::new();
    let quoted = |words: &[String]| serde_json::to_string(words).unwrap();
    let (url, dir) = (desk.url(), desk.server.house.dir());
    let settings = format!(
        r#"
model_provider = "nowhere"

[model_providers.nowhere]
name = "nowhere"
base_url = "{NOWHERE}"

{folder}
env = {{ AGENTKEYS_DIR = "{dir}" }}

[mcp_servers.elsewhere]
command = "{BIN}"
args = {elsewhere}

[mcp_servers.http]
url = "{url}"
bearer_token_env_var = "AGENTKEYS_TOKEN"
"#,
        folder = documented("toml")
            .replace("[mcp_servers.agentkeys]", "[mcp_servers.folder]")
            .replace("\"agentkeys\"", &format!("\"{BIN}\""))
            .replace(
                "/home/me/.agentkeys/desk.token",
                desk.file.to_str().unwrap()
            ),
        elsewhere = quoted(&words(&desk.file, &["--remote", &url])),
        dir = dir.display(),
    );
    std::fs::write(desk.home.join(".codex/config.toml"), settings).unwrap();
    let servers = ["elsewhere", "folder", "http"];

    let listed = desk.codex(&["mcp", "list", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["name"])
        .collect();
    assert_eq!(names, servers);

    // That only reads. This connects: a thread, in which nothing is ever said to a model.
    let mut codex = AppServer::start(&desk);
    let status = codex.ask("mcpServerStatus/list", &json!({}));
    for (server, name) in status["data"].as_array().unwrap().iter().zip(servers) {
        assert_eq!(server["name"], name);
        assert_eq!(server["tools"].as_object().unwrap().len(), 10, "{server}");
    }
    let started = json!({"cwd": desk.home, "ephemeral": true});
    let thread = codex.ask("thread/start", &started)["thread"]["id"].take();
    for name in servers {
        let call = json!({"threadId": thread, "server": name, "tool": "agentkeys.memory.get",
            "arguments": {"namespace": "travel"}});
        let memory = codex.ask("mcpServer/tool/call", &call);
        assert_eq!(
            memory["structuredContent"]["content"], "Chengdu trip — Apr 12 to 16, hotpot at Yulin.",
            "{memory}"
        );
    }
    let called = ["http", "stdio", "http"].map(|door| (door.to_owned(), "2025-06-18".to_owned()));
    assert_eq!(desk.called(), called);
}
