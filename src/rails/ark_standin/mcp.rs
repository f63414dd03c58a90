//! The stand-in as an MCP client: rmcp over streamable HTTP with exactly the tool entry's headers. No
//! redirect is followed, nothing is repeated, and rmcp bounds what it reads of one answer.
//!
//! Which protocol version Ark's cloud offers is not public; rmcp's newest with `initialize` is used.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation,
    PaginatedRequestParams, Tool,
};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError, ServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::NeverRetry;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransportConfig, StreamableHttpError,
};
use serde_json::{Map, Value};

use super::reach::Reach;
use super::tools::Server;
use crate::rails::{CaFile, wire};
use crate::text::clean_to;

/// How it dials.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    /// A further certificate authority to trust.
    pub(super) ca: CaFile,
    pub(super) reach: Reach,
    pub(super) deadlines: Deadlines,
}

/// How long a server may take, and a response in all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// To connect and list.
    pub(super) open: Duration,
    /// One call.
    pub(super) call: Duration,
    /// A whole response; our own client waits three minutes.
    pub(super) response: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(10),
            call: Duration::from_secs(30),
            response: Duration::from_mins(2),
        }
    }
}

/// What a response can carry of one tool's answer, in bytes.
const MAX_OUTPUT: usize = 1024 * 1024;
/// What a model can be shown of one server.
const MAX_TOOLS: usize = 128;
const MAX_LIST: usize = 1024 * 1024;

/// A connection to one MCP server, for one response.
pub(super) struct Session {
    running: RunningService<RoleClient, ClientConfig>,
    deadline: Duration,
}

/// Connects and lists every page; the error is the text that the `mcp_list_tools` item carries.
pub(super) async fn open(server: &Server, dial: &Dial) -> Result<(Session, Vec<Tool>), String> {
    let deadline = dial.deadlines.open;
    tokio::time::timeout(deadline, connect(server, dial))
        .await
        .unwrap_or_else(|_| {
            Err(format!(
                "the MCP server did not answer within {} s",
                deadline.as_secs_f32()
            ))
        })
}

async fn connect(server: &Server, dial: &Dial) -> Result<(Session, Vec<Tool>), String> {
    dial.reach.check(&server.url).map_err(|e| e.to_string())?;
    let http = wire::builder(&server.url, dial.deadlines.open, &dial.ca);
    let http = wire::built(http.dns_resolver(dial.reach)).map_err(|e| e.to_string())?;
    let headers: HashMap<_, _> = server.headers.iter().cloned().collect();
    let mut config =
        StreamableHttpClientTransportConfig::with_uri(server.url.as_str()).custom_headers(headers);
    // A repeated request could hide the first answer.
    config = config.reinit_on_expired_session(false);
    config.retry_config = Arc::new(NeverRetry::default());
    let transport = StreamableHttpClientTransport::with_client(http, config);
    let me = ClientConfig::new(
        ClientCapabilities::default(),
        Implementation::new("agentkeys-ark-standin", env!("CARGO_PKG_VERSION")),
    );
    let running = me.serve(transport).await.map_err(|e| why_not_open(&e))?;
    let session = Session {
        running,
        deadline: dial.deadlines.call,
    };
    match session.list().await {
        Ok(tools) => Ok((session, tools)),
        Err(error) => {
            session.close().await;
            Err(error)
        }
    }
}

impl Session {
    /// Every page, as long as there is room for what they hold.
    async fn list(&self) -> Result<Vec<Tool>, String> {
        let (mut tools, mut bytes, mut cursor) = (Vec::new(), 0, None);
        loop {
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.running.list_tools(Some(params)).await;
            let page = page.map_err(|e| why_not_served(&e))?;
            if page.tools.is_empty() && page.next_cursor.is_some() {
                return Err("the MCP server lists an empty page and says there is more".to_owned());
            }
            bytes += page.tools.iter().map(size).sum::<usize>();
            tools.extend(page.tools);
            if tools.len() > MAX_TOOLS || bytes > MAX_LIST {
                return Err(format!(
                    "the MCP server lists more than {MAX_TOOLS} tools or {MAX_LIST} bytes"
                ));
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
    }

    /// Calls a tool once. `Ok` is the text blocks' text, joined exactly as received; `Err` is what
    /// an `mcp_call` item carries as `error`.
    pub(super) async fn call(
        &self,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<String, String> {
        let params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        let result = tokio::time::timeout(self.deadline, self.running.call_tool(params))
            .await
            .map_err(|_| {
                let seconds = self.deadline.as_secs_f32();
                format!("the tool did not answer within {seconds} s")
            })?
            .map_err(|e| why_not_served(&e))?;
        let text: String = result
            .content
            .iter()
            .filter_map(|block| block.as_text())
            .map(|block| block.text.as_str())
            .collect();
        if text.len() > MAX_OUTPUT {
            return Err(format!(
                "the tool's answer is larger than {MAX_OUTPUT} bytes"
            ));
        }
        if result.is_error == Some(true) {
            Err(text)
        } else {
            Ok(text)
        }
    }

    pub(super) async fn close(self) {
        // The server has answered everything asked; how the connection ends changes nothing.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.running.cancel()).await;
    }
}

pub(super) fn size(tool: &Tool) -> usize {
    serde_json::to_string(tool).map_or(MAX_LIST, |text| text.len())
}

fn why_not_open(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => transport(error.error.as_ref()),
        ClientInitializeError::JsonRpcError(error) => clean_to(
            &format!("MCP error {}: {}", error.code.0, error.message),
            300,
        ),
        other => clean_to(&other.to_string(), 300),
    }
}

fn why_not_served(error: &ServiceError) -> String {
    match error {
        ServiceError::TransportSend(error) => transport(error.error.as_ref()),
        ServiceError::McpError(error) => clean_to(
            &format!("MCP error {}: {}", error.code.0, error.message),
            300,
        ),
        other => clean_to(&other.to_string(), 300),
    }
}

/// rmcp wraps the HTTP failure several times; the status or the network's words are what helps.
fn transport(error: &(dyn std::error::Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(http) = e.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            let text = match http {
                StreamableHttpError::AuthRequired(_) => {
                    "the MCP server answered HTTP 401 Unauthorized".to_owned()
                }
                StreamableHttpError::InsufficientScope(_) => {
                    "the MCP server answered HTTP 403 Forbidden".to_owned()
                }
                StreamableHttpError::Client(e) => {
                    format!("the MCP server cannot be reached: {}", wire::chain(e))
                }
                other => format!("the MCP server's answer cannot be used: {other}"),
            };
            return clean_to(&text, 400);
        }
        next = e.source();
    }
    clean_to(&error.to_string(), 400)
}
