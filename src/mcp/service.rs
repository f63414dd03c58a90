//! The only file that knows rmcp's server types.

use super::hosts::{self, Shown};
use super::tools::{self, TOOLS};
use crate::authority::calls::{Call, InputProblem};
use crate::authority::principal::Principal;
use crate::authority::refusal::Refusal;
use crate::authority::words::HostProfile;
use crate::authority::{Answer, Authority};
use parking_lot::Mutex;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod,
    CompleteRequestParams, CompleteResult, ContentBlock, CustomRequest, CustomResult, ErrorCode,
    ErrorData, Implementation, InitializeRequestParams, InitializeResult, ListPromptsRequestMethod,
    ListPromptsResult, ListResourceTemplatesRequestMethod, ListResourceTemplatesResult,
    ListResourcesRequestMethod, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The name hosts see.
pub const SERVER_NAME: &str = "agentkeys";

/// What a host may tell its model about the server.
pub const INSTRUCTIONS: &str = "AgentKeys says who the user is, what may be remembered and read, and what may be spent. Check before you act, and obey the verdict.";

/// How much of an unknown method is named in the answer, in characters.
const METHOD_SHOWN: usize = 64;

/// The MCP server. Cheap to clone: one is made for each request.
#[derive(Clone)]
pub struct Face {
    authority: Arc<Authority>,
}

/// Where a tool call leaves a refusal that only the HTTP edge can give its status.
#[derive(Clone, Default)]
pub struct Left(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    called: bool,
    refusal: Option<Refusal>,
}

impl Left {
    /// Takes what was left.
    pub fn take(&self) -> Option<Refusal> {
        self.0.lock().refusal.take()
    }

    /// Whether the call reached a tool, and so has its row.
    pub fn called(&self) -> bool {
        self.0.lock().called
    }

    /// The call reached a tool.
    pub fn reached(&self) {
        self.0.lock().called = true;
    }
}

impl Face {
    /// A face for an authority.
    pub const fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }

    /// Answers a plain `tools/call` as the SDK would, without its task and channel per request:
    /// those are made for sessions, which this server does not have (`docs/performance.md`).
    ///
    /// # Errors
    /// A refusal that only the HTTP edge can give its status.
    pub async fn answer_plain(
        &self,
        principal: &Principal,
        id: &Value,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<Vec<u8>, Refusal> {
        let outcome = match self.call(principal, name, arguments).await? {
            Ok(answer) => {
                let shown = hosts::profile(principal.frame().profile).show(&answer);
                Plain::Result(legacy(to_result(shown)))
            }
            Err(error) => Plain::Error(error),
        };
        let reply = Reply {
            jsonrpc: "2.0",
            id,
            outcome,
        };
        let mut message = Vec::with_capacity(USUAL_REPLY);
        Ok(serde_json::to_writer(&mut message, &reply).map_or_else(|_| Vec::new(), |()| message))
    }

    async fn call(
        &self,
        principal: &Principal,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<Result<Answer, ErrorData>, Refusal> {
        let Some(tool) = tools::find(name) else {
            return self.unknown(principal, name).await.map(Err);
        };
        let call = tool.read(arguments);
        let call = call.unwrap_or_else(|problem| Call::Invalid {
            tool: tool.name.to_owned(),
            problem,
        });
        let outcome = self.authority.perform(principal, call).await?;
        Ok(Ok(outcome.answer))
    }

    async fn unknown(&self, principal: &Principal, name: &str) -> Result<ErrorData, Refusal> {
        const CODE: &str = "agentkeys.tool.unknown_tool";
        let tool = crate::text::clean_to(name, 80);
        let problem = InputProblem::new(CODE, "there is no such tool");
        let message = format!("unknown tool: {tool}");
        let call = Call::Invalid { tool, problem };
        self.authority.perform(principal, call).await?;
        let data = serde_json::json!({"code": CODE, "fix": "list the tools with tools/list"});
        Ok(ErrorData::invalid_params(message, Some(data)))
    }
}

/// What most replies are shorter than, in bytes.
const USUAL_REPLY: usize = 1024;

/// A JSON-RPC response.
#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: &'a Value,
    #[serde(flatten)]
    outcome: Plain,
}

#[derive(Serialize)]
enum Plain {
    #[serde(rename = "result")]
    Result(CallToolResult),
    #[serde(rename = "error")]
    Error(ErrorData),
}

/// A result as every version before 2026-07-28 knows it.
fn legacy(mut result: CallToolResult) -> CallToolResult {
    result.result_type = None;
    result
}

fn to_result(shown: Shown) -> CallToolResult {
    let content = vec![ContentBlock::text(shown.text)];
    let mut result = if shown.is_error {
        CallToolResult::error(content)
    } else {
        CallToolResult::success(content)
    };
    result.structured_content = shown.structured;
    result
}

/// A result object for a refusal that may not travel as an HTTP status.
pub fn refusal_result(profile: HostProfile, refusal: &Refusal) -> Value {
    let result = to_result(hosts::profile(profile).show_refusal(refusal));
    serde_json::to_value(legacy(result)).unwrap_or_default()
}

/// The listed tools by profile, built once.
static LISTED: LazyLock<HashMap<HostProfile, Vec<Tool>>> = LazyLock::new(|| {
    let list = |profile: HostProfile| {
        let dotted = hosts::profile(profile).dotted;
        TOOLS.iter().map(|t| listed(t, dotted)).collect()
    };
    HostProfile::ALL.iter().map(|p| (*p, list(*p))).collect()
});

/// The tools as `tools/list` shows them to a host of this profile, in JSON.
pub fn listed_to(profile: HostProfile) -> Vec<Value> {
    let tools = LISTED.get(&profile).into_iter().flatten();
    tools
        .map(|tool| serde_json::to_value(tool).unwrap_or_default())
        .collect()
}

fn listed(tool: &tools::Tool, dotted: bool) -> Tool {
    let name = if dotted {
        tool.name.to_owned()
    } else {
        tool.alias()
    };
    let destructive = tool.name == "agentkeys.memory.put";
    let mut out = Tool::new(name, tool.about, tool.schema());
    out.title = Some(tool.title.to_owned());
    out.annotations = Some(ToolAnnotations::from_raw(
        None,
        Some(tool.read_only),
        Some(destructive),
        Some(tool.idempotent),
        Some(false),
    ));
    out
}

fn parts(context: &RequestContext<RoleServer>) -> Option<&http::request::Parts> {
    context.extensions.get::<http::request::Parts>()
}

fn principal(context: &RequestContext<RoleServer>) -> Result<&Principal, ErrorData> {
    let found = parts(context).and_then(|p| p.extensions.get::<Principal>());
    // Every door puts the caller there; without one nothing may happen.
    found.ok_or_else(|| ErrorData::internal_error("no caller", None))
}

impl ServerHandler for Face {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(SERVER_NAME, env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    /// rmcp stores the version that was asked for; a later message would then be treated as if
    /// that had been agreed (`formats/mcp.md` P7).
    async fn initialize(
        &self,
        mut request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let result = self.negotiate_initialize(&request)?;
        request.protocol_version = result.protocol_version.clone();
        context.peer.set_peer_info(request);
        Ok(result)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let profile = principal(&context)?.frame().profile;
        let tools = LISTED.get(&profile).cloned().unwrap_or_default();
        let mut result = ListToolsResult::with_all_items(tools);
        // The list depends on the token's vendor, so no shared cache may keep it.
        result.ttl_ms = Some(0);
        result.cache_scope = Some(CacheScope::Private);
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let principal = principal(&context)?;
        let left = parts(&context).and_then(|p| p.extensions.get::<Left>());
        if let Some(left) = left {
            left.reached();
        }
        let arguments = request.arguments.unwrap_or_default();
        match self.call(principal, &request.name, arguments).await {
            Ok(Ok(answer)) => {
                let shown = hosts::profile(principal.frame().profile).show(&answer);
                Ok(to_result(shown).into())
            }
            Ok(Err(error)) => Err(error),
            Err(refusal) => {
                let error = ErrorData::internal_error(refusal.cause.message(), None);
                if let Some(left) = left {
                    left.0.lock().refusal = Some(refusal);
                }
                Err(error)
            }
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<
            ListResourceTemplatesRequestMethod,
        >())
    }

    /// The SDK would send back the whole of what it does not know.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = crate::text::clean_to(&request.method, METHOD_SHOWN);
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None))
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }
}
