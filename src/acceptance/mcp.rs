//! JSON-RPC requests in the shape of each protocol version, as its clients send them.

use serde_json::{Map, Value, json};

use super::client::{Headers, value};

/// A protocol version with the shape its requests have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handshake {
    pub version: &'static str,
    /// 2026-07-28: no `initialize`, metadata in every request, method and name in headers.
    modern: bool,
}

/// Every version in use.
pub(super) const HANDSHAKES: [Handshake; 5] = [
    legacy("2024-11-05"),
    legacy("2025-03-26"),
    legacy("2025-06-18"),
    legacy("2025-11-25"),
    Handshake {
        version: "2026-07-28",
        modern: true,
    },
];

/// What most hosts speak.
pub(super) const USUAL: Handshake = legacy("2025-06-18");

const fn legacy(version: &'static str) -> Handshake {
    Handshake {
        version,
        modern: false,
    }
}

/// The ten tools, by their canonical names.
pub(super) const TOOLS: [&str; 10] = [
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

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// The first message of a connection: `initialize`, or `server/discover` in the modern shape.
    Hello,
    /// `tools/list`.
    List,
    /// `tools/call` of a tool.
    Tool(&'static str),
}

impl Ask {
    /// In a check's id.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hello => "initialize",
            Self::List => "tools/list",
            Self::Tool(name) => name,
        }
    }
}

impl Handshake {
    /// The headers of the version and the body.
    pub fn request(self, ask: Ask, arguments: &Value, id: u64) -> (Headers, Value) {
        match ask {
            Ask::Hello if self.modern => self.message("server/discover", None, json!({}), id),
            Ask::Hello => self.message(
                "initialize",
                None,
                json!({
                    "protocolVersion": self.version, "capabilities": {},
                    "clientInfo": {"name": "agentkeys-accept", "version": env!("CARGO_PKG_VERSION")},
                }),
                id,
            ),
            Ask::List => self.message("tools/list", None, json!({}), id),
            Ask::Tool(name) => self.call(name, arguments, id),
        }
    }

    /// Whether it has no `initialize`.
    pub const fn is_modern(self) -> bool {
        self.modern
    }

    /// `tools/call` by any name.
    pub fn call(self, tool: &str, arguments: &Value, id: u64) -> (Headers, Value) {
        let params = json!({"name": tool, "arguments": arguments});
        self.message("tools/call", Some(tool), params, id)
    }

    /// Any message.
    pub fn message(
        self,
        method: &'static str,
        name: Option<&str>,
        mut params: Value,
        id: u64,
    ) -> (Headers, Value) {
        let mut headers: Headers = vec![("accept", value("application/json, text/event-stream"))];
        if method != "initialize" {
            headers.push(("mcp-protocol-version", value(self.version)));
        }
        if self.modern {
            headers.push(("mcp-method", value(method)));
            if let Some(name) = name {
                headers.push(("mcp-name", value(name)));
            }
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo":
                    {"name": "agentkeys-accept", "version": env!("CARGO_PKG_VERSION")},
            });
        }
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        (headers, body)
    }
}

/// Arguments with which a tool would do something, so that a refusal is not about them. Nothing
/// is spent or written by them where a binding lacks the right.
pub(super) fn arguments(tool: &str) -> Map<String, Value> {
    let arguments = match tool {
        "agentkeys.memory.get" => json!({"namespace": "travel"}),
        "agentkeys.memory.put" => {
            json!({"namespace": "travel", "content": "refused, so never kept"})
        }
        "agentkeys.permission.check" => {
            json!({"scope": "payment.spend", "params": {"amount_rmb": 0.01}})
        }
        "agentkeys.cap.mint" => {
            json!({"op": "memory_get", "params": {"namespace": "travel"}, "ttl": 1})
        }
        "agentkeys.cap.revoke" => json!({"cap_id": "cap_of_nobody"}),
        "agentkeys.audit.append" => json!({"event": {"kind": "note"}}),
        _ => json!({}),
    };
    match arguments {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The credentials of one request.
pub(super) fn credentials(token: &str, actor: Option<&str>) -> Headers {
    let mut headers = vec![("authorization", value(&format!("Bearer {token}")))];
    if let Some(actor) = actor {
        headers.push(("x-agentkeys-actor", value(actor)));
    }
    headers
}
