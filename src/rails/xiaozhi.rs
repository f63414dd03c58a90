//! Drives an MCP server exactly as rail 1 of xiaozhi-server does (its Python `mcp==1.22.0` over
//! `httpx` 0.28.1): the same ids, order, bodies byte for byte, and headers.
//!
//! Two things are left out on purpose. `Accept-Encoding: gzip, deflate` is not sent, since nothing
//! here could read such an answer. Redirects, which `httpx` follows with the token, are errors.

mod endpoint;
mod link;
mod names;
mod settings;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio_util::task::AbortOnDropHandle;

pub use endpoint::EndpointHost;
pub use names::{Finding, ToolSeen, sanitise};
pub use settings::{HEADERS, SERVERS, STREAMABLE, Settings, TRANSPORT, URL};

use super::RailError;
use crate::text::clean_to;
use link::{Link, protocol};

/// Connect and list together (`mcp_manager.py`).
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// One call (`tool_call_timeout`).
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// What the SDK offers, and what it accepts in return.
const OFFERED: &str = "2025-06-18";
const ACCEPTED: [&str; 3] = ["2024-11-05", "2025-03-26", "2025-06-18"];

/// How the connection was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Connected {
    /// The version both sides now speak.
    pub protocol_version: String,
    /// The server's `serverInfo`.
    pub server_info: Value,
    /// Whether the server issued a session id.
    pub session: bool,
    /// Status of the `initialize` answer.
    pub http_status: u16,
    /// Milliseconds from the first byte to the list in hand.
    pub ms: u64,
}

/// One call and its first answer.
#[derive(Debug, Clone, PartialEq)]
pub struct CallSeen {
    /// The name the model used.
    pub tool: String,
    /// The name that went on the wire.
    pub wire_name: String,
    /// The JSON-RPC `result`, unchanged.
    pub result: Value,
    /// The text of the first text block, unchanged; empty without one.
    pub text: String,
    /// `isError`; absent is false.
    pub is_error: bool,
    /// Status of the answer.
    pub http_status: u16,
    /// Milliseconds until the answer was read.
    pub ms: u64,
}

/// One device session of xiaozhi-server.
///
/// xiaozhi-server executes a failed call up to three times, with a new `initialize` between. This
/// does not repeat anything: a proof must show the first answer, and a second attempt could hide a
/// failure or, worse, double an effect that the proof then counts.
#[derive(Debug)]
pub struct XiaozhiHost {
    link: Link,
    connected: Connected,
    tools: Vec<ToolSeen>,
    findings: Vec<Finding>,
    next_id: AtomicU64,
    terminate_on_close: bool,
    /// Holds the server's stream open, as the SDK does; what arrives there only goes to its log.
    _stream: Option<AbortOnDropHandle<()>>,
}

impl XiaozhiHost {
    /// Connects and lists the tools (first page only), within xiaozhi-server's 10 s.
    pub async fn connect(settings: &Settings) -> Result<Self, RailError> {
        within(
            "connecting and listing tools",
            CONNECT_DEADLINE,
            Self::open(settings),
        )
        .await
    }

    async fn open(settings: &Settings) -> Result<Self, RailError> {
        let started = Instant::now();
        let mut link = Link::new(settings)?;
        let params = json!({
            "protocolVersion": OFFERED,
            "capabilities": {},
            "clientInfo": {"name": "mcp", "version": "0.1.0"},
        });
        let hello = link.request("initialize", Some(params), 0).await?;
        let version = negotiated(&hello.result)?;
        link.settle(hello.session.as_deref(), &version)?;
        link.notify("notifications/initialized").await?;
        let stream = if link.session {
            link.open_stream().await
        } else {
            None
        };
        let list = link.request("tools/list", None, 1).await?;
        let (tools, findings) = names::read(&list.result).map_err(|cause| RailError::Protocol {
            what: "tools/list".to_owned(),
            cause,
        })?;
        let connected = Connected {
            protocol_version: version,
            server_info: hello.result.get("serverInfo").cloned().unwrap_or_default(),
            session: link.session,
            http_status: hello.status,
            ms: millis(started),
        };
        Ok(Self {
            link,
            connected,
            tools,
            findings,
            next_id: AtomicU64::new(2),
            terminate_on_close: settings.terminate_on_close,
            _stream: stream,
        })
    }

    /// How the connection was made.
    pub const fn connected(&self) -> &Connected {
        &self.connected
    }

    /// The tools as this host lists them, in the server's order.
    pub fn tools(&self) -> &[ToolSeen] {
        &self.tools
    }

    /// What about the list will surprise: clashes, names that can never be called, lost pages.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Calls a tool by the name the model sees, once, within xiaozhi-server's 30 s.
    pub async fn call(
        &self,
        tool: &str,
        arguments: &Map<String, Value>,
    ) -> Result<CallSeen, RailError> {
        let known = self.find(tool)?;
        let what = format!("the call of {tool}");
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let params = json!({
            "name": known.wire_name,
            "arguments": arguments,
            "_meta": {"progressToken": id},
        });
        let started = Instant::now();
        let request = self.link.request("tools/call", Some(params), id);
        let answer = within(&what, CALL_DEADLINE, request).await?;
        let seen = CallSeen {
            tool: tool.to_owned(),
            wire_name: known.wire_name.clone(),
            text: first_text(&what, &answer.result)?,
            is_error: answer.result.get("isError") == Some(&Value::Bool(true)),
            http_status: answer.status,
            ms: millis(started),
            result: answer.result,
        };
        if known.has_output_schema
            && !seen.is_error
            && seen
                .result
                .get("structuredContent")
                .is_none_or(Value::is_null)
        {
            return Err(RailError::Protocol {
                what,
                cause: "the tool has an output schema and the result no structured content: this host takes it for a failure".to_owned(),
            });
        }
        Ok(seen)
    }

    /// The last listed wins, as in the host's own `name_mapping`.
    fn find(&self, tool: &str) -> Result<&ToolSeen, RailError> {
        let missing = |cause: &str| RailError::UnknownTool {
            tool: tool.to_owned(),
            cause: cause.to_owned(),
        };
        if tool.starts_with("mcp_") {
            return Err(missing(
                "it strips the prefix `mcp_` from the name before it looks",
            ));
        }
        self.tools
            .iter()
            .rev()
            .find(|t| t.tool == tool)
            .ok_or_else(|| missing("the server did not list it under this name"))
    }

    /// Ends the device session: a DELETE, only if the server issued a session id.
    pub async fn close(self) -> Result<(), RailError> {
        if !self.link.session || !self.terminate_on_close {
            return Ok(());
        }
        let send = async {
            // Whatever the status, the SDK only logs it.
            self.link
                .send(self.link.builder(Method::DELETE))
                .await
                .map(|_| ())
        };
        within("ending the session", CONNECT_DEADLINE, send).await
    }
}

fn negotiated(result: &Value) -> Result<String, RailError> {
    let version = result
        .get("protocolVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if ACCEPTED.contains(&version) {
        return Ok(version.to_owned());
    }
    Err(protocol(
        "initialize",
        &format!(
            "Unsupported protocol version from the server: {}",
            clean_to(version, 40)
        ),
    ))
}

/// The first text block. `content` is required by the host's types, and may be empty.
fn first_text(what: &str, result: &Value) -> Result<String, RailError> {
    let blocks = result
        .get("content")
        .and_then(Value::as_array)
        .ok_or_else(|| {
            protocol(
                what,
                "the result has no list `content`: this host takes it for a failure",
            )
        })?;
    let text = blocks
        .iter()
        .find(|b| b.get("type").and_then(Value::as_str) == Some("text"))
        .and_then(|b| b.get("text"))
        .and_then(Value::as_str);
    Ok(text.unwrap_or_default().to_owned())
}

async fn within<T>(
    what: &str,
    deadline: Duration,
    work: impl Future<Output = Result<T, RailError>>,
) -> Result<T, RailError> {
    tokio::time::timeout(deadline, work)
        .await
        .unwrap_or_else(|_| {
            Err(RailError::Timeout {
                what: what.to_owned(),
                seconds: deadline.as_secs(),
            })
        })
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
