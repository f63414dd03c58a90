//! The tools, prompts and resources that the scenarios of the MCP conformance suite ask for, mounted
//! behind this server's own doors. What each of them says is in `fixture.json`; here is what needs
//! code: asking back, telling progress, telling changes.
//!
//! It keeps sessions, because before 2026-07-28 a server can ask its client nothing without one.
#![allow(deprecated, reason = "what 2026-07-28 gave up is still spoken")]

use agentkeys::authority::principal::Principal;
use agentkeys::digest::sha256;
use agentkeys::mcp::service::Left;
use agentkeys::server::Behind;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities,
    CompleteRequestParams, CompleteResult, ContentBlock, ErrorCode, ErrorData,
    GetPromptRequestParams, GetPromptResponse, Implementation, InputRequest, InputRequests,
    InputRequiredResult, InputResponses, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, LoggingLevel, LoggingMessageNotificationParam,
    PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion, ReadResourceRequestParams,
    ReadResourceResponse, ServerCapabilities, ServerConfig, ServerRequest, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use tokio::sync::broadcast;

/// What everything says.
static SCRIPT: LazyLock<Script> =
    LazyLock::new(|| serde_json::from_str(include_str!("fixture.json")).unwrap());

#[derive(Deserialize)]
struct Script {
    capabilities: ServerCapabilities,
    tools: Vec<Tool>,
    /// Results by tool.
    answers: BTreeMap<String, Value>,
    /// What a tool or prompt wants to know before it answers.
    asks: BTreeMap<String, Asks>,
    prompts: Value,
    /// Results by prompt.
    messages: BTreeMap<String, Value>,
    resources: Value,
    templates: Value,
    /// Contents by address.
    contents: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Asks {
    /// Requests to the client, by key; the next round comes when all are answered.
    rounds: Vec<BTreeMap<String, Value>>,
    /// Whether the round is kept in a state that the client carries.
    #[serde(default)]
    sealed: bool,
}

/// A list that changed.
#[derive(Clone, Copy)]
enum Changed {
    Tools,
    Prompts,
}

/// The MCP server.
#[derive(Clone)]
struct Fixture {
    changes: broadcast::Sender<Changed>,
}

/// The fixture as what stands behind the doors.
pub(super) fn behind() -> Behind {
    let fixture = Fixture {
        changes: broadcast::channel(16).0,
    };
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(fixture.clone()), sessions, config);
    Behind::fixture(move |request| {
        let service = service.clone();
        async move { service.handle(request).await }
    })
}

/// A piece of the script, with `$word` replaced by the argument of that name.
fn fill<T: DeserializeOwned>(piece: &Value, arguments: &Map<String, Value>) -> T {
    let mut text = piece.to_string();
    for (name, value) in arguments {
        let value = value.as_str().unwrap_or_default();
        text = text.replace(&format!("${name}"), &value.replace('"', "'"));
    }
    serde_json::from_str(&text).unwrap()
}

fn list<T: DeserializeOwned>(items: &Value) -> Vec<T> {
    serde_json::from_value(items.clone()).unwrap()
}

fn said(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text.into())])
}

/// Nothing gets here that the doors did not let in.
fn admitted(context: &RequestContext<RoleServer>) {
    let parts = context.extensions.get::<http::request::Parts>().unwrap();
    assert!(parts.extensions.get::<Principal>().is_some());
    parts.extensions.get::<Left>().unwrap().reached();
}

/// Whether the client said that it can be asked this.
fn can(capabilities: Option<&ClientCapabilities>, method: &str) -> bool {
    capabilities.is_some_and(|c| match method {
        "sampling/createMessage" => c.sampling.is_some(),
        "elicitation/create" => c.elicitation.is_some(),
        _ => c.roots.is_some(),
    })
}

/// The state that stands for a round, which nobody else can make.
fn seal(name: &str, round: usize) -> String {
    static SECRET: LazyLock<[u8; 16]> = LazyLock::new(|| {
        use agentkeys::authority::ports::Entropy as _;
        let mut secret = [0; 16];
        agentkeys::folder::system::SystemEntropy.fill(&mut secret);
        secret
    });
    hex::encode(sha256(&[&*SECRET, name.as_bytes(), &round.to_be_bytes()]))
}

/// What is still to be asked; nothing when all is answered.
fn still_to_ask(
    name: &str,
    asks: &Asks,
    arguments: &Map<String, Value>,
    responses: &InputResponses,
    state: Option<&str>,
    client: Option<&ClientCapabilities>,
) -> Result<Option<InputRequiredResult>, ErrorData> {
    let mut round = match state {
        Some(state) => (0..asks.rounds.len())
            .find(|r| seal(name, *r) == state)
            .ok_or_else(|| ErrorData::invalid_params("that state is not ours", None))?,
        None => 0,
    };
    let answered = |key: &String| responses.get(key).is_some_and(Value::is_object);
    if asks.rounds[round].keys().all(answered) {
        round += 1;
    }
    let Some(wanted) = asks.rounds.get(round) else {
        return Ok(None);
    };
    let method = |ask: &Value| ask["method"].as_str().unwrap().to_owned();
    let requests: InputRequests = wanted
        .iter()
        .filter(|(_, ask)| can(client, &method(ask)))
        .map(|(key, ask)| (key.clone(), fill(ask, arguments)))
        .collect();
    let state = asks.sealed.then(|| seal(name, round));
    Ok(Some(InputRequiredResult::new(Some(requests), state)))
}

/// Asks over the session what a client of 2026-07-28 would be asked in a result.
async fn ask(context: &RequestContext<RoleServer>, request: InputRequest) -> String {
    let request = match request {
        InputRequest::CreateMessage(request) => ServerRequest::CreateMessageRequest(request),
        InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
        other => panic!("not asked before 2026-07-28: {other:?}"),
    };
    let answer = context.peer.send_request(request).await.unwrap();
    serde_json::to_string(&answer).unwrap()
}

fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|v| v.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

impl Fixture {
    /// The tools that do something.
    async fn act(
        &self,
        name: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        match name {
            "test_tool_with_logging" => {
                for text in ["started", "at work", "done"] {
                    let line =
                        LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(text));
                    let _ = context.peer.notify_logging_message(line).await;
                }
            }
            "test_tool_with_progress" => {
                for progress in [0.0, 50.0, 100.0] {
                    if let Some(token) = context.meta.get_progress_token() {
                        let told = ProgressNotificationParam::new(token, progress);
                        let _ = context.peer.notify_progress(told.with_total(100.0)).await;
                    }
                }
            }
            "test_missing_capability" => {
                let client = context.client_capabilities();
                if !can(client.as_ref(), "sampling/createMessage") {
                    let wanted = ClientCapabilities::builder().enable_sampling().build();
                    return Err(ErrorData::missing_required_client_capability(wanted));
                }
            }
            // Fails when nobody listens, which is fine.
            "test_trigger_tool_change" => drop(self.changes.send(Changed::Tools)),
            "test_trigger_prompt_change" => drop(self.changes.send(Changed::Prompts)),
            _ => return Err(ErrorData::invalid_params("there is no such tool", None)),
        }
        Ok(said("done"))
    }
}
impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(SCRIPT.capabilities.clone())
            .with_server_info(Implementation::new("fixture", "1"))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        SCRIPT.tools.iter().find(|t| t.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        admitted(&context);
        Ok(ListToolsResult::with_all_items(SCRIPT.tools.clone()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        admitted(&context);
        let name = request.name.as_ref();
        let arguments = request.arguments.unwrap_or_default();
        if let Some(answer) = SCRIPT.answers.get(name) {
            return Ok(fill::<CallToolResult>(answer, &arguments).into());
        }
        let Some(asks) = SCRIPT.asks.get(name) else {
            return self.act(name, &context).await.map(Into::into);
        };
        if is_modern(&context) {
            let (responses, state) = (request.input_responses, request.request_state);
            let client = context.client_capabilities();
            let responses = responses.unwrap_or_default();
            let (state, client) = (state.as_deref(), client.as_ref());
            let more = still_to_ask(name, asks, &arguments, &responses, state, client)?;
            return Ok(more.map_or_else(|| said("thank you").into(), Into::into));
        }
        let mut answers = Vec::new();
        for request in asks.rounds.iter().flat_map(BTreeMap::values) {
            answers.push(ask(&context, fill(request, &arguments)).await);
        }
        Ok(said(answers.join("\n")).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        admitted(&context);
        Ok(ListPromptsResult::with_all_items(list(&SCRIPT.prompts)))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        admitted(&context);
        let unknown = || ErrorData::invalid_params("there is no such prompt", None);
        let messages = SCRIPT.messages.get(&request.name).ok_or_else(unknown)?;
        let arguments = request.arguments.unwrap_or_default();
        if let (Some(asks), true) = (SCRIPT.asks.get(&request.name), is_modern(&context)) {
            let client = context.client_capabilities();
            let (responses, state) = (request.input_responses, request.request_state);
            let responses = responses.unwrap_or_default();
            let (state, client) = (state.as_deref(), client.as_ref());
            let more = still_to_ask(&request.name, asks, &arguments, &responses, state, client)?;
            if let Some(more) = more {
                return Ok(more.into());
            }
        }
        Ok(GetPromptResponse::Complete(fill(messages, &arguments)))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        admitted(&context);
        Ok(ListResourcesResult::with_all_items(list(&SCRIPT.resources)))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        admitted(&context);
        let templates = list(&SCRIPT.templates);
        Ok(ListResourceTemplatesResult::with_all_items(templates))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        admitted(&context);
        let Some(found) = SCRIPT.contents.get(&request.uri) else {
            let uri = json!({"uri": request.uri});
            let code = ErrorCode::RESOURCE_NOT_FOUND;
            return Err(ErrorData::new(code, "there is no such resource", Some(uri)));
        };
        let contents = json!({"resultType": "complete", "contents": [found]});
        Ok(ReadResourceResponse::Complete(fill(&contents, &Map::new())))
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        admitted(&context);
        let completion = json!({"resultType": "complete", "completion": {"values": ["test one"]}});
        Ok(fill(&completion, &Map::new()))
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        admitted(&context);
        Ok(())
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        admitted(&context);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        admitted(&context);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let news = tokio::select! {
                () = context.cancelled() => return Ok(()),
                news = changes.recv() => news,
            };
            // What this client did not ask to hear is not sent to it: an error here, and no harm.
            let _ = match news {
                Ok(Changed::Tools) => context.sink().notify_tool_list_changed().await,
                Ok(Changed::Prompts) => context.sink().notify_prompt_list_changed().await,
                Err(_) => return Ok(()),
            };
        }
    }
}
