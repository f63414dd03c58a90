//! A STAND-IN for Volcano Ark, for proofs and tests without an Ark account. It is not Ark, and says
//! so in every answer (header `x-agentkeys-stand-in`, and the words of its messages).
//!
//! What is real: Ark's request and answer shapes, and that it is itself an MCP client of the
//! entry's `server_url` with the entry's own headers, so the server under proof meets a stranger
//! over HTTP. What is scripted: the model. It chooses by a table of words (`Prompts`), only among
//! the tools that the server listed, and it says so when it knows no answer.
//!
//! It dials whatever address a caller with its key names, so it belongs on loopback.

mod mcp;
mod prompts;
mod request;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rmcp::model::Tool;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use prompts::{Prompts, Row};

use super::ark::STANDIN_HEADER;
use super::{CaFile, RailError};
use crate::secret::{Secret, same};
use mcp::Session;
use prompts::same_tool;
use request::{Asked, Choice, Server};

const MAX_BODY: usize = 1024 * 1024;

/// The stand-in before it listens.
#[derive(Debug, Clone)]
pub struct Standin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    key: Secret<String>,
    prompts: Prompts,
    ca: CaFile,
    count: AtomicU64,
}

impl Standin {
    /// A stand-in that takes this API key, plays this table, and trusts this further certificate
    /// authority when it dials MCP servers.
    pub fn new(key: Secret<String>, prompts: Prompts, ca: CaFile) -> Self {
        Self(Arc::new(Inner {
            key,
            prompts,
            ca,
            count: AtomicU64::new(0),
        }))
    }

    /// `POST /api/v3/responses`, and nothing else.
    pub fn router(&self) -> Router {
        let not_found = || async {
            ArkError::new(
                StatusCode::NOT_FOUND,
                "NotFound",
                "NotFound",
                "the stand-in has only POST /api/v3/responses",
                "",
            )
        };
        Router::new()
            .route("/api/v3/responses", post(respond).fallback(not_found))
            .fallback(not_found)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.clone())
    }

    /// Serves on a bound listener until stopped or dropped.
    pub fn start(&self, listener: TcpListener) -> Result<Running, RailError> {
        let address = listener.local_addr().map_err(|e| RailError::Input {
            what: "the listener".to_owned(),
            cause: e.to_string(),
        })?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        // Nagle would cost each answer 40 ms.
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        let router = self.router();
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await;
        });
        Ok(Running {
            base_url: format!("http://{address}/api/v3"),
            stop,
            task: AbortOnDropHandle::new(task),
        })
    }
}

/// A listening stand-in; dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    base_url: String,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Running {
    /// What goes into an Ark client as base URL.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Finishes the answers under way, for at most two seconds, and ends.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), self.task).await;
    }
}

/// Ark's error shape.
#[derive(Debug)]
struct ArkError {
    status: StatusCode,
    code: &'static str,
    kind: &'static str,
    message: String,
    param: String,
}

impl ArkError {
    fn new(
        status: StatusCode,
        code: &'static str,
        kind: &'static str,
        message: &str,
        param: &str,
    ) -> Self {
        Self {
            status,
            code,
            kind,
            message: message.to_owned(),
            param: param.to_owned(),
        }
    }
}

impl IntoResponse for ArkError {
    fn into_response(self) -> Response {
        let body = json!({"error": {
            "code": self.code, "message": self.message, "param": self.param, "type": self.kind,
        }});
        (self.status, mark(), Json(body)).into_response()
    }
}

fn mark() -> [(HeaderName, HeaderValue); 1] {
    [(
        HeaderName::from_static(STANDIN_HEADER),
        HeaderValue::from_static("ark, scripted model"),
    )]
}

async fn respond(
    State(standin): State<Standin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ArkError> {
    let given = headers
        .get("authorization")
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let key = given.strip_prefix(b"Bearer ").unwrap_or_default();
    if !same(key, standin.0.key.expose().as_bytes()) {
        return Err(ArkError::new(
            StatusCode::UNAUTHORIZED,
            "AuthenticationError",
            "Unauthorized",
            "the API key in the request is missing or invalid",
            "",
        ));
    }
    let body = body.map_err(|e| request::invalid("", &e.body_text()))?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|e| request::invalid("", &format!("the body is not JSON: {e}")))?;
    let asked = request::read(&body, request::beta(&headers))?;
    let number = standin.0.count.fetch_add(1, Ordering::Relaxed) + 1;
    let turn = Turn::play(&standin.0, &asked, number).await?;
    Ok((mark(), Json(turn.response(&asked))).into_response())
}

/// One response being made.
struct Turn {
    number: u64,
    items: Vec<Value>,
    calls: Map<String, Value>,
}

/// A server that answered, with the tools the model may see.
struct Open<'a> {
    server: &'a Server,
    session: Session,
    tools: Vec<Tool>,
}

impl Turn {
    async fn play(standin: &Inner, asked: &Asked, number: u64) -> Result<Self, ArkError> {
        let mut turn = Self {
            number,
            items: Vec::new(),
            calls: Map::new(),
        };
        let mut open = Vec::new();
        for server in &asked.servers {
            open.extend(turn.list(server, &standin.ca).await);
        }
        let done = turn.act(standin, asked, &open).await;
        for one in open {
            one.session.close().await;
        }
        done.map(|()| turn)
    }

    /// The `mcp_list_tools` item, whatever came of it.
    async fn list<'a>(&mut self, server: &'a Server, ca: &CaFile) -> Option<Open<'a>> {
        let (open, tools, error) = match mcp::open(server, ca).await {
            Ok((session, mut tools)) => {
                tools.retain(|t| server.allows(&t.name));
                let listed: Vec<Value> = tools.iter().map(listed).collect();
                (
                    Some(Open {
                        server,
                        session,
                        tools,
                    }),
                    listed,
                    None,
                )
            }
            Err(error) => (None, Vec::new(), Some(error)),
        };
        let mut item = json!({"type": "mcp_list_tools", "id": self.id("mcpl"), "server_label": server.label, "tools": tools});
        if let Some(error) = error {
            item["error"] = error.into();
        }
        self.items.push(item);
        open
    }

    async fn act(
        &mut self,
        standin: &Inner,
        asked: &Asked,
        open: &[Open<'_>],
    ) -> Result<(), ArkError> {
        let row = match &asked.choice {
            Choice::None => {
                self.say("the caller's tool_choice is none, so no tool is called.");
                return Ok(());
            }
            Choice::Mcp {
                name: Some(name), ..
            } => standin.prompts.forced(&asked.said, name),
            Choice::Auto | Choice::Mcp { name: None, .. } => standin.prompts.choose(&asked.said),
        };
        // A forced tool needs no row: the caller has chosen, and no arguments are known.
        let (wanted, arguments) = match (&asked.choice, row) {
            (_, Some(row)) => (row.tool.as_str(), row.arguments.clone()),
            (
                Choice::Mcp {
                    name: Some(name), ..
                },
                None,
            ) => (name.as_str(), Map::new()),
            (_, None) => {
                self.say(
                    "the scripted model knows no answer to this: no row of its prompt table fits.",
                );
                return Ok(());
            }
        };
        let found = open
            .iter()
            .filter(
                |o| !matches!(&asked.choice, Choice::Mcp { label, .. } if *label != o.server.label),
            )
            .find_map(|o| {
                o.tools
                    .iter()
                    .find(|t| same_tool(&t.name, wanted))
                    .map(|t| (o, t.name.to_string()))
            });
        match found {
            Some((open, tool)) => self.use_tool(open, &tool, arguments).await,
            None if matches!(asked.choice, Choice::Mcp { name: Some(_), .. })
                && !open.is_empty() =>
            {
                return Err(request::invalid(
                    "tool_choice.name",
                    "names a tool that the server does not list",
                ));
            }
            None => self.say(&format!(
                "the scripted model would call {wanted}, but no server lists it."
            )),
        }
        Ok(())
    }

    async fn use_tool(&mut self, open: &Open<'_>, tool: &str, arguments: Map<String, Value>) {
        let text = Value::Object(arguments.clone()).to_string();
        let label = &open.server.label;
        if open.server.needs_approval(tool) {
            let id = self.id("mcpr");
            self.items.push(json!({
                "type": "mcp_approval_request", "id": id, "server_label": label, "name": tool, "arguments": text,
            }));
            return;
        }
        let answer = open.session.call(tool, arguments).await;
        let id = self.id("mcp");
        let mut item = json!({
            "type": "mcp_call", "id": id, "server_label": label, "name": tool, "arguments": text,
        });
        let said = match answer {
            Ok(output) => {
                let said = format!("{tool} answered: {output}");
                item["output"] = output.into();
                said
            }
            Err(error) => {
                let said = format!("{tool} failed: {error}");
                item["error"] = error.into();
                said
            }
        };
        self.items.push(item);
        self.calls.insert(label.clone(), 1.into());
        self.say(&said);
    }

    fn say(&mut self, words: &str) {
        let id = self.id("msg");
        self.items.push(json!({
            "type": "message", "role": "assistant", "status": "completed", "id": id,
            "content": [{"type": "output_text", "text": format!("[stand-in] {words}")}],
        }));
    }

    /// From a counter, so that two runs of a proof differ in nothing that matters.
    fn id(&self, kind: &str) -> String {
        format!("{kind}_{}_{}", self.number, self.items.len() + 1)
    }

    fn response(self, asked: &Asked) -> Value {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        json!({
            "id": format!("resp_{}", self.number),
            "object": "response",
            "created_at": now,
            "model": asked.model,
            "status": "completed",
            "output": self.items,
            // Ark returns the entries; their headers are credentials, which it says it does not keep.
            "tools": asked.servers.iter().map(|s| json!({
                "type": "mcp", "server_label": s.label, "server_url": s.url.as_str(),
            })).collect::<Vec<_>>(),
            "usage": {
                "input_tokens": 0, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 0, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 0,
                "tool_usage": {"mcp": self.calls.len()},
                "tool_usage_details": {"mcp": self.calls},
            },
        })
    }
}

fn listed(tool: &Tool) -> Value {
    let mut out = json!({"name": tool.name, "input_schema": *tool.input_schema});
    if let Some(description) = &tool.description {
        out["description"] = description.as_ref().into();
    }
    if let Some(annotations) = tool
        .annotations
        .as_ref()
        .and_then(|a| serde_json::to_value(a).ok())
    {
        out["annotations"] = annotations;
    }
    out
}
