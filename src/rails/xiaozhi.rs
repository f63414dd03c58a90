//! Drives an MCP server exactly as rail 1 of xiaozhi-server does (its Python `mcp==1.22.0` over
//! `httpx` 0.28.1): the same ids, order, bodies byte for byte, and headers.
//!
//! Two things are left out on purpose. `Accept-Encoding: gzip, deflate` is not sent, since nothing
//! here could read such an answer. Redirects, which `httpx` follows with the token, are errors.

mod names;
mod settings;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio_util::task::AbortOnDropHandle;

pub use names::{Finding, ToolSeen, sanitise};
pub use settings::Settings;

use super::{RailError, wire};
use crate::text::clean_to;

/// Connect and list together (`mcp_manager.py`).
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// One call (`tool_call_timeout`).
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// What the SDK offers, and what it accepts in return.
const OFFERED: &str = "2025-06-18";
const ACCEPTED: [&str; 3] = ["2024-11-05", "2025-03-26", "2025-06-18"];

const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";

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
        link.set(VERSION, &version)?;
        if let Some(id) = hello.session {
            link.headers.remove(VERSION);
            link.set(SESSION, &id)?;
            link.set(VERSION, &version)?;
            link.session = true;
        }
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

/// An answer to a request.
struct Answer {
    result: Value,
    status: u16,
    session: Option<String>,
}

/// The HTTP side of the session.
#[derive(Debug)]
struct Link {
    http: reqwest::Client,
    url: reqwest::Url,
    headers: HeaderMap,
    session: bool,
}

impl Link {
    fn new(settings: &Settings) -> Result<Self, RailError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            "user-agent",
            HeaderValue::from_static("python-httpx/0.28.1"),
        );
        headers.insert(
            "accept",
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in &settings.headers {
            let bad = |cause: &str| RailError::Input {
                what: format!("entry `{}`", settings.entry),
                cause: format!("header `{name}` {cause}"),
            };
            let key: HeaderName = name.parse().map_err(|_| bad("has an invalid name"))?;
            let mut value: HeaderValue = value
                .expose()
                .parse()
                .map_err(|_| bad("has a value that HTTP cannot carry"))?;
            value.set_sensitive(true);
            // Append: two keys of the file that differ in case are two headers there as well.
            headers.append(key, value);
        }
        Ok(Self {
            http: wire::client(&settings.url, settings.timeout, &settings.ca)?,
            url: settings.url.clone(),
            headers,
            session: false,
        })
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), RailError> {
        let value = value.parse().map_err(|_| RailError::Protocol {
            what: "initialize".to_owned(),
            cause: format!("the answer's {name} cannot be sent back"),
        })?;
        self.headers.insert(name, value);
        Ok(())
    }

    fn builder(&self, method: Method) -> RequestBuilder {
        self.http
            .request(method, self.url.clone())
            .headers(self.headers.clone())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, RailError> {
        request
            .send()
            .await
            .map_err(|e| wire::unreachable(&self.url, &e))
    }

    /// One JSON-RPC request. The key order of the body is the Python SDK's.
    async fn request(
        &self,
        method: &str,
        params: Option<Value>,
        id: u64,
    ) -> Result<Answer, RailError> {
        let mut response = self
            .post(method, &message(method, params, Some(id)))
            .await?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(method, &mut response).await);
        }
        if status == StatusCode::ACCEPTED {
            return Err(protocol(
                method,
                "202 to a request: this host waits until its deadline",
            ));
        }
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        let session = header(SESSION);
        let kind = header("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let reply = if kind.starts_with("application/json") {
            let bytes = wire::body(method, &self.url, &mut response).await?;
            serde_json::from_slice(&bytes).map_err(|e| {
                protocol(
                    method,
                    &format!("the answer is not JSON ({e}): this host waits until its deadline"),
                )
            })?
        } else if kind.starts_with("text/event-stream") {
            let ours = |v: &Value| v.get("id").is_some() && v.get("method").is_none();
            wire::sse_until(method, &self.url, &mut response, ours).await?
        } else {
            return Err(protocol(
                method,
                &format!(
                    "content type `{}`: this host waits until its deadline",
                    clean_to(&kind, 80)
                ),
            ));
        };
        Ok(Answer {
            result: unwrap_reply(method, reply, id)?,
            status: status.as_u16(),
            session,
        })
    }

    async fn notify(&self, method: &str) -> Result<(), RailError> {
        let mut response = self.post(method, &message(method, None, None)).await?;
        if response.status().is_success() || response.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(self.refusal(method, &mut response).await)
    }

    async fn post(&self, method: &str, body: &Value) -> Result<Response, RailError> {
        let bytes = serde_json::to_vec(body).map_err(|e| protocol(method, &e.to_string()))?;
        self.send(self.builder(Method::POST).body(bytes)).await
    }

    /// The stream for the server's own messages. The SDK starts it between `initialized` and the
    /// list; waiting shortly for its headers keeps that order without hanging on a silent server.
    async fn open_stream(&self) -> Option<AbortOnDropHandle<()>> {
        let mut request = self
            .builder(Method::GET)
            .header("cache-control", "no-store");
        // The SDK really sends two `Accept` headers here.
        request = request.header("accept", "text/event-stream");
        let request = request.build().ok()?;
        let http = self.http.clone();
        let (seen, headers_seen) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let answer = http.execute(request).await;
            let _ = seen.send(());
            if let Ok(mut response) = answer
                && response.status().is_success()
            {
                while let Ok(Some(_)) = response.chunk().await {}
            }
        });
        let _ = tokio::time::timeout(Duration::from_secs(1), headers_seen).await;
        Some(AbortOnDropHandle::new(task))
    }

    async fn refusal(&self, what: &str, response: &mut Response) -> RailError {
        let status = response.status().as_u16();
        if response.status().is_redirection() {
            return RailError::Http {
                what: what.to_owned(),
                status,
                message: "a redirect; xiaozhi-server would follow it with the token".to_owned(),
                code: None,
            };
        }
        let bytes = wire::body(what, &self.url, response)
            .await
            .unwrap_or_default();
        let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let error = json.get("error");
        let message = error
            .and_then(|e| e.get("message"))
            .and_then(Value::as_str)
            .map_or_else(
                || String::from_utf8_lossy(&bytes).into_owned(),
                str::to_owned,
            );
        RailError::Http {
            what: what.to_owned(),
            status,
            message: clean_to(&message, 300),
            code: data_code(error),
        }
    }
}

fn message(method: &str, params: Option<Value>, id: Option<u64>) -> Value {
    let mut out = Map::new();
    out.insert("method".to_owned(), method.into());
    if let Some(params) = params {
        out.insert("params".to_owned(), params);
    }
    out.insert("jsonrpc".to_owned(), "2.0".into());
    if let Some(id) = id {
        out.insert("id".to_owned(), id.into());
    }
    Value::Object(out)
}

/// The `result` of a reply to `id`.
fn unwrap_reply(method: &str, mut reply: Value, id: u64) -> Result<Value, RailError> {
    if reply.get("id").and_then(Value::as_u64) != Some(id) {
        return Err(protocol(
            method,
            &format!("the answer's id is not the number {id}: this host waits until its deadline"),
        ));
    }
    if let Some(error) = reply.get("error") {
        return Err(RailError::Rpc {
            what: method.to_owned(),
            code: error
                .get("code")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            message: clean_to(
                error
                    .get("message")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
                300,
            ),
            data_code: data_code(Some(error)),
        });
    }
    match reply.get_mut("result").map(Value::take) {
        Some(result @ Value::Object(_)) => Ok(result),
        _ => Err(protocol(method, "the answer has no object `result`")),
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

fn data_code(error: Option<&Value>) -> Option<String> {
    error?
        .get("data")?
        .get("code")?
        .as_str()
        .map(|c| clean_to(c, 120))
}

fn protocol(what: &str, cause: &str) -> RailError {
    RailError::Protocol {
        what: what.to_owned(),
        cause: cause.to_owned(),
    }
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
