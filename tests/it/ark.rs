//! The stand-in for Ark as a process, Ark's own SDKs as clients of it, and what their plans are made
//! of. `tests/sdk/ark_sdk.py` does what a plan says.

use super::sdk::interpreter;
use super::support::{BIN, Server, command, json_of, text};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

pub(super) const KEY: &str = "ark-key-of-the-test";

/// One SDK, and what it calls the items.
pub(super) struct Sdk {
    pub(super) python: &'static str,
    pub(super) module: &'static str,
    pub(super) is_async: bool,
    pub(super) list: &'static str,
    pub(super) request: &'static str,
    pub(super) call: &'static str,
    pub(super) message: &'static str,
}

/// The one that Ark's documents name.
pub(super) const RUNTIME: Sdk = Sdk {
    python: ".venv/ark/bin/python",
    module: "volcenginesdkarkruntime",
    is_async: false,
    list: "McpListTools",
    request: "McpApprovalRequest",
    call: "McpCall",
    message: "ResponseOutputMessage",
};
pub(super) const RUNTIME_ASYNC: Sdk = Sdk {
    is_async: true,
    ..RUNTIME
};
/// Its successor.
pub(super) const NEWEST: Sdk = Sdk {
    python: ".venv/ark-newest/bin/python",
    module: "arkruntime",
    is_async: false,
    list: "ItemFunctionMcpListTools",
    request: "ItemFunctionMcpApprovalRequest",
    call: "ItemFunctionMcpCall",
    message: "ItemOutputMessage",
};
pub(super) const SDKS: [Sdk; 3] = [RUNTIME, RUNTIME_ASYNC, NEWEST];

/// Our stand-in for Ark as its own process. Killed when dropped.
pub(super) struct Ark {
    child: Child,
    pub(super) base_url: String,
    _temp: tempfile::TempDir,
}

impl Ark {
    /// One for a key, that plays this prompt table, or the built-in one.
    pub(super) fn start(prompts: Option<&Value>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let key = temp.path().join("ark.key");
        std::fs::write(&key, KEY).unwrap();
        let mut words = vec!["--key-file".to_owned(), key.display().to_string()];
        if let Some(prompts) = prompts {
            let rows = temp.path().join("rows.json");
            std::fs::write(&rows, prompts.to_string()).unwrap();
            words.extend(["--prompts".to_owned(), rows.display().to_string()]);
        }
        Self::spawn(temp, &words)
    }

    /// One for any key.
    pub(super) fn for_all() -> Self {
        let listen = ["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        Self::spawn(tempfile::tempdir().unwrap(), &listen)
    }

    fn spawn(temp: tempfile::TempDir, words: &[String]) -> Self {
        let mut command = command(temp.path());
        assert_eq!(command.get_program(), BIN);
        let mut child = command
            .args(["rails", "ark-standin", "--json"])
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["via"], "stand-in, scripted model");
        Self {
            base_url: ready["base_url"].as_str().unwrap().to_owned(),
            child,
            _temp: temp,
        }
    }

    /// Does what the plan says; a complaint of the SDK is a failure even when it went on.
    #[track_caller]
    pub(super) fn play(&self, sdk: &Sdk, key: &str, plan: &[Value]) -> Value {
        let mut command = interpreter(sdk.python, "ark_sdk.py");
        if sdk.is_async {
            command.env("ARK_ASYNC", "1");
        }
        let mut child = command
            .env("ARK_SDK", sdk.module)
            .env("ARK_BASE_URL", &self.base_url)
            .env("ARK_API_KEY", key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let plan = Value::Array(plan.to_vec()).to_string();
        stdin.write_all(plan.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let out = json_of(&output);
        assert_eq!(text(&output.stderr), "", "{} complained", sdk.module);
        out
    }

    /// Asks each prompt; what it was answered.
    #[track_caller]
    pub(super) fn ask(&self, server: &Server, prompts: &[&str]) -> Value {
        let tools = tools(server, json!({"require_approval": "never"}));
        let plan: Vec<_> = prompts
            .iter()
            .map(|p| create(p, p, json!({"tools": tools})))
            .collect();
        self.play(&RUNTIME, KEY, &plan)
    }

    /// Lets the model make one call of `calls.json`; the call's item as the SDK read it.
    #[track_caller]
    pub(super) fn call(server: &Server, tool: &str, arguments: &Value) -> Value {
        let rows = json!([{"match": ["go"], "tool": tool, "arguments": arguments}]);
        let out = Self::start(Some(&rows)).ask(server, &["go"]);
        called(&out["go"]).clone()
    }
}

impl Drop for Ark {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An object with more fields.
pub(super) fn with(mut base: Value, more: &Value) -> Value {
    for (field, value) in more.as_object().unwrap() {
        base[field] = value.clone();
    }
    base
}

/// A step that asks a prompt.
pub(super) fn create(name: &str, prompt: &str, more: Value) -> Value {
    let input = json!([{"role": "user", "content": [{"type": "input_text", "text": prompt}]}]);
    let base = json!({"model": "doubao-seed-2-1-pro-260628", "input": input});
    json!({"as": name, "do": "create", "with": with(base, &more)})
}

/// A step that answers the approval another one asks for.
pub(super) fn reply(name: &str, to: &str, approve: bool, tools: &Value) -> Value {
    let answer = json!([{
        "type": "mcp_approval_response", "approval_request_id": format!("${to}?"),
        "approve": approve, "reason": "so says the test",
    }]);
    let more = json!({"input": answer, "previous_response_id": format!("${to}"), "tools": tools});
    create(name, "", more)
}

/// The same step as a stream.
pub(super) fn streamed(mut step: Value) -> Value {
    step["do"] = "stream".into();
    step
}

/// A step about a response.
pub(super) fn about(name: &str, what: &str, id: &str) -> Value {
    json!({"as": name, "do": what, "with": {"response_id": id}})
}

/// The entry of our server, as the second demo vendor has it.
pub(super) fn tools(server: &Server, more: Value) -> Value {
    let tool = json!({
        "type": "mcp",
        "server_label": "agentkeys",
        "server_url": format!("{}/mcp", server.base),
        "headers": {
            "Authorization": format!("Bearer {}", server.house.token("folotoy")),
            "X-AgentKeys-Actor": server.house.actor(),
        },
    });
    json!([with(tool, &more)])
}

/// The tools that our record says this vendor called, in order.
pub(super) fn on_record(server: &Server) -> Vec<String> {
    let mut rows = server.house.events(&["--vendor", "folotoy"]);
    rows.retain(|r| r["door"] == "http");
    let tool = |r: &Value| r["tool"].as_str().unwrap().replace("agentkeys.", "");
    rows.iter().map(tool).collect()
}

/// An item of a response.
#[track_caller]
pub(super) fn item(step: &Value, index: usize) -> &Value {
    let item = &step["response"]["output"][index];
    assert!(item.is_object(), "no item {index}: {step}");
    item
}

/// The model's words.
#[track_caller]
pub(super) fn words(step: &Value) -> &str {
    let output = step["response"]["output"].as_array().unwrap();
    output.last().unwrap()["content"][0]["text"]
        .as_str()
        .unwrap()
}

/// The `mcp_call` item of a response that lists, calls once and speaks.
#[track_caller]
pub(super) fn called(step: &Value) -> &Value {
    let wanted = json!([RUNTIME.list, RUNTIME.call, RUNTIME.message]);
    assert_eq!(step["class"], wanted, "{step}");
    assert_eq!(step["mcp_calls"], 1);
    let listed = item(step, 0);
    assert_eq!(listed["error"], Value::Null, "{listed}");
    let tools = listed["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 10);
    // Ark's rule for function names (`formats/ark.md` §2.2).
    for tool in tools {
        let name = tool["name"].as_str().unwrap();
        let allowed = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.len() <= 64 && name.chars().all(allowed), "{name}");
        assert_eq!(tool["input_schema"]["type"], "object");
    }
    let call = item(step, 1);
    assert_eq!(
        (&call["type"], &call["server_label"]),
        (&json!("mcp_call"), &json!("agentkeys"))
    );
    call
}

/// What a call's item carries as its output.
#[track_caller]
pub(super) fn output(call: &Value) -> Value {
    assert_eq!(call["error"], Value::Null, "{call}");
    serde_json::from_str(call["output"].as_str().unwrap()).unwrap()
}
