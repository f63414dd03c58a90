//! A small MCP server on loopback for this room's tests; it writes down every request it sees.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

/// Bytes that any trimming, escaping or re-encoding would change.
pub const MEMORY: &str = "  Chengdu trip — Apr 12 to 16, hotpot at Yulin.\n成都火锅 🍲👩‍👩‍👧 \u{200d}é e\u{301} \"q\" \\n\t ";

pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Clone, Copy, Default)]
pub struct Options {
    /// Issue session ids and answer with SSE.
    pub sessions: bool,
    /// Answer everything with this status.
    pub refuse: Option<u16>,
    /// List tools with underscores instead of dots.
    pub underscores: bool,
}

pub struct TestServer {
    pub url: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    _task: AbortOnDropHandle<()>,
}

impl TestServer {
    pub async fn start(options: Options) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let factory = move || Ok(Handler { options });
        let config = StreamableHttpServerConfig::default();
        let app = if options.sessions {
            Router::new().route_service(
                "/mcp",
                StreamableHttpService::new(
                    factory,
                    Arc::new(LocalSessionManager::default()),
                    config,
                ),
            )
        } else {
            let config = config
                .with_legacy_session_mode(false)
                .with_json_response(true);
            Router::new().route_service(
                "/mcp",
                StreamableHttpService::new(
                    factory,
                    Arc::new(NeverSessionManager::default()),
                    config,
                ),
            )
        };
        let app = app.layer(from_fn_with_state((seen.clone(), options.refuse), record));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            seen,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// `METHOD rpc-method`, in order of arrival.
    pub fn order(&self) -> Vec<String> {
        self.seen
            .lock()
            .iter()
            .map(|s| {
                let body: serde_json::Value = serde_json::from_str(&s.body).unwrap_or_default();
                format!(
                    "{} {}",
                    s.method,
                    body["method"].as_str().unwrap_or_default()
                )
                .trim()
                .to_owned()
            })
            .collect()
    }
}

type Record = (Arc<Mutex<Vec<Seen>>>, Option<u16>);

async fn record(State((seen, refuse)): State<Record>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes: Bytes = body.collect().await.unwrap().to_bytes();
    seen.lock().push(Seen {
        method: parts.method.clone(),
        headers: parts.headers.clone(),
        body: String::from_utf8(bytes.to_vec()).unwrap(),
    });
    if let Some(status) = refuse {
        let status = StatusCode::from_u16(status).unwrap();
        let body = json!({"jsonrpc":"2.0","id":0,"error":{"code":status.as_u16(),"message":"no","data":{"code":"agentkeys.auth.token_unknown"}}});
        let challenge = if status == StatusCode::UNAUTHORIZED {
            "Bearer realm=\"agentkeys\""
        } else {
            ""
        };
        let mut answer = (status, axum::Json(body)).into_response();
        if !challenge.is_empty() {
            answer
                .headers_mut()
                .insert("www-authenticate", challenge.parse().unwrap());
        }
        if status.is_redirection() {
            answer
                .headers_mut()
                .insert("location", "http://127.0.0.1:1/mcp".parse().unwrap());
        }
        return answer;
    }
    next.run(Request::from_parts(parts, Body::from(bytes)))
        .await
}

#[derive(Clone)]
struct Handler {
    options: Options,
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("test-server", "1"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({"type":"object","properties":{},"required":[]});
        let schema = Arc::new(schema.as_object().cloned().unwrap());
        let tools = [
            "agentkeys.memory.get",
            "agentkeys.memory.put",
            "agentkeys.permission.check",
            "agentkeys.identity.whoami",
        ]
        .map(|name| {
            let name: Cow<'static, str> = if self.options.underscores {
                name.replace('.', "_").into()
            } else {
                name.into()
            };
            Tool::new(name, "a tool", schema.clone())
        });
        Ok(ListToolsResult::with_all_items(tools.to_vec()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments =
            serde_json::Value::Object(request.arguments.unwrap_or_default()).to_string();
        match request.name.replace('.', "_").as_str() {
            "agentkeys_memory_get" => {
                let (head, tail) = MEMORY.split_at(20);
                Ok(CallToolResult::success(vec![
                    ContentBlock::text(head),
                    ContentBlock::text(tail),
                ])
                .into())
            }
            "agentkeys_permission_check" => {
                Ok(CallToolResult::success(vec![ContentBlock::text(arguments)]).into())
            }
            "agentkeys_memory_put" => {
                Ok(CallToolResult::error(vec![ContentBlock::text(arguments)]).into())
            }
            _ => Err(ErrorData::internal_error(
                "broken on purpose",
                Some(json!({"code":"agentkeys.test.broken"})),
            )),
        }
    }
}
