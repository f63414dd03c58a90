//! Client of Ark's Responses API with remote MCP tools. Live Ark and the stand-in differ in base
//! URL and key only; nothing here knows which one answers, except by what the answer says of itself.
//!
//! Ark's own SDK sends an explicit `null` for every option that is not set, and the header
//! `ark-beta-mcp: true` with any MCP tool; so does this. Answers are read by each item's `type`
//! string and tolerate absent fields, since Ark's SDKs disagree about which are there.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::{CaFile, RailError, wire};
use crate::secret::Secret;
use crate::text::clean_to;

const CONNECT: Duration = Duration::from_secs(10);
/// A model may think for long; the SDK waits 600 s, a proof does not want to.
const DEADLINE: Duration = Duration::from_mins(3);
/// The stand-in sets this header, so that no report can take it for Ark.
pub const STANDIN_HEADER: &str = "x-agentkeys-stand-in";

/// A request, field for field and in the order of Ark's SDK; `None` goes out as `null`.
///
/// `Debug` shows no tools: their headers are credentials.
#[derive(Clone, Default, Serialize)]
pub struct Request {
    /// A string, or a list of input items.
    pub input: Value,
    /// Model name or endpoint id.
    pub model: String,
    /// System words.
    pub instructions: Option<String>,
    /// Upper bound of the answer.
    pub max_output_tokens: Option<u64>,
    /// Whether tools may run side by side.
    pub parallel_tool_calls: Option<bool>,
    /// The response that this one continues.
    pub previous_response_id: Option<String>,
    /// Thinking mode.
    pub thinking: Option<Value>,
    /// Whether Ark keeps the response.
    pub store: Option<bool>,
    /// Not possible together with MCP tools.
    pub caching: Option<Value>,
    stream: Option<bool>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Text format.
    pub text: Option<Value>,
    /// `auto`, `none`, `required`, or `{type:"mcp",server_label,name?}`.
    pub tool_choice: Option<Value>,
    /// Tool entries, verbatim.
    pub tools: Vec<Value>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// 1 to 10.
    pub max_tool_calls: Option<u64>,
    /// Context management.
    pub context_management: Option<Value>,
    /// When Ark forgets the response.
    pub expire_at: Option<u64>,
    /// Reasoning options.
    pub reasoning: Option<Value>,
    /// Session options.
    pub session: Option<Value>,
    /// Latency tier.
    pub service_tier: Option<String>,
}

impl Request {
    /// One user message with tools.
    pub fn prompt(model: &str, text: &str, tools: Vec<Value>) -> Self {
        Self {
            input: json!([{"role": "user", "content": [{"type": "input_text", "text": text}]}]),
            model: model.to_owned(),
            tools,
            ..Self::default()
        }
    }

    /// The second turn after a `mcp_approval_request`. Ark keeps no headers, so the tools go again.
    pub fn approval(
        model: &str,
        previous: &str,
        request_id: &str,
        approve: bool,
        tools: Vec<Value>,
    ) -> Self {
        Self {
            input: json!([{
                "type": "mcp_approval_response",
                "approve": approve,
                "approval_request_id": request_id,
            }]),
            model: model.to_owned(),
            previous_response_id: Some(previous.to_owned()),
            tools,
            ..Self::default()
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("model", &self.model)
            .field("tools", &self.tools.len())
            .finish_non_exhaustive()
    }
}

/// One tool of a `mcp_list_tools` item.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedTool {
    /// Its name.
    pub name: String,
    /// Its description, if told.
    pub description: Option<String>,
    /// Its input schema; null if absent.
    pub input_schema: Value,
}

/// One item of a response's output.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// `mcp_list_tools`.
    ListTools {
        /// Which server.
        server_label: String,
        /// Its tools.
        tools: Vec<ListedTool>,
        /// Why there are none.
        error: Option<String>,
    },
    /// `mcp_approval_request`.
    ApprovalRequest {
        /// What an approval response refers to.
        id: String,
        /// Which server.
        server_label: String,
        /// Which tool.
        name: String,
        /// Its arguments, as the JSON text that came.
        arguments: String,
    },
    /// `mcp_call`.
    Call {
        /// Which server.
        server_label: String,
        /// Which tool.
        name: String,
        /// Its arguments, as the JSON text that came.
        arguments: String,
        /// What the tool answered.
        output: Option<String>,
        /// What went wrong.
        error: Option<String>,
    },
    /// `message`: the model's words.
    Message {
        /// All its text parts, joined.
        text: String,
    },
    /// Anything else (`reasoning`, …), kept as it came.
    Other {
        /// Its `type`.
        kind: String,
    },
}

/// A response.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `resp_…`.
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// `completed`, `failed`, `incomplete`, `in_progress`.
    pub status: String,
    /// Its items, in order.
    pub output: Vec<Item>,
    /// The whole answer as it came.
    pub raw: Value,
    /// True if the answer says that the stand-in made it.
    pub stand_in: bool,
}

impl Response {
    /// The words for a report: who really answered.
    pub const fn via(&self) -> &'static str {
        if self.stand_in {
            "stand-in, scripted model"
        } else {
            "ark"
        }
    }
}

/// A client of one Ark account.
#[derive(Debug, Clone)]
pub struct ArkClient {
    http: reqwest::Client,
    url: reqwest::Url,
    key: Secret<String>,
}

impl ArkClient {
    /// A client for a base URL like `https://ark.cn-beijing.volces.com/api/v3`.
    pub fn new(base_url: &str, key: Secret<String>) -> Result<Self, RailError> {
        Self::with_ca(base_url, key, &CaFile::default())
    }

    /// The same, trusting a further certificate authority.
    pub fn with_ca(base_url: &str, key: Secret<String>, ca: &CaFile) -> Result<Self, RailError> {
        let url = wire::parse_url(
            "base_url",
            &format!("{}/responses", base_url.trim_end_matches('/')),
        )?;
        Ok(Self {
            http: wire::client(&url, CONNECT, ca)?,
            url,
            key,
        })
    }

    /// Sends a request and reads the whole response. No retry: a proof shows the first answer.
    pub async fn respond(&self, request: &Request) -> Result<Response, RailError> {
        let work = self.exchange(request);
        tokio::time::timeout(DEADLINE, work)
            .await
            .unwrap_or_else(|_| {
                Err(RailError::Timeout {
                    what: "the response".to_owned(),
                    seconds: DEADLINE.as_secs(),
                })
            })
    }

    async fn exchange(&self, request: &Request) -> Result<Response, RailError> {
        let mut call = self
            .http
            .post(self.url.clone())
            .bearer_auth(self.key.expose())
            .header("accept", "application/json");
        if request
            .tools
            .iter()
            .any(|t| t.get("type").and_then(Value::as_str) == Some("mcp"))
        {
            call = call.header("ark-beta-mcp", "true");
        }
        let mut answer = call
            .json(request)
            .send()
            .await
            .map_err(|e| wire::unreachable(&self.url, &e))?;
        let status = answer.status();
        let stand_in = answer.headers().contains_key(STANDIN_HEADER);
        let bytes = wire::body("the response", &self.url, &mut answer).await?;
        let raw: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if !status.is_success() {
            return Err(refusal(status.as_u16(), &raw, &bytes));
        }
        if raw.get("object").and_then(Value::as_str) != Some("response") {
            return Err(RailError::Protocol {
                what: "the response".to_owned(),
                cause: "it is not an object of type `response`".to_owned(),
            });
        }
        Ok(read(raw, stand_in))
    }
}

/// `{"error":{"code","message","param","type"}}`, or whatever came instead.
fn refusal(status: u16, raw: &Value, bytes: &[u8]) -> RailError {
    let error = raw.get("error");
    let text = |field| error.and_then(|e| e.get(field)).and_then(Value::as_str);
    let mut message = text("message").map_or_else(
        || String::from_utf8_lossy(bytes).into_owned(),
        str::to_owned,
    );
    if let Some(param) = text("param").filter(|p| !p.is_empty()) {
        message = format!("{message} (param {param})");
    }
    RailError::Http {
        what: "the response".to_owned(),
        status,
        message: clean_to(&message, 400),
        code: text("code").map(|c| clean_to(c, 120)),
    }
}

fn read(raw: Value, stand_in: bool) -> Response {
    let output = raw
        .get("output")
        .and_then(Value::as_array)
        .map(|items| items.iter().map(item).collect())
        .unwrap_or_default();
    Response {
        id: string(&raw, "id"),
        model: string(&raw, "model"),
        status: string(&raw, "status"),
        output,
        raw,
        stand_in,
    }
}

fn item(raw: &Value) -> Item {
    let kind = string(raw, "type");
    match kind.as_str() {
        "mcp_list_tools" => Item::ListTools {
            server_label: string(raw, "server_label"),
            tools: raw
                .get("tools")
                .and_then(Value::as_array)
                .map(|tools| tools.iter().map(listed).collect())
                .unwrap_or_default(),
            error: told(raw, "error"),
        },
        "mcp_approval_request" => Item::ApprovalRequest {
            id: string(raw, "id"),
            server_label: string(raw, "server_label"),
            name: string(raw, "name"),
            arguments: string(raw, "arguments"),
        },
        "mcp_call" => Item::Call {
            server_label: string(raw, "server_label"),
            name: string(raw, "name"),
            arguments: string(raw, "arguments"),
            output: told(raw, "output"),
            error: told(raw, "error"),
        },
        "message" => Item::Message { text: words(raw) },
        _ => Item::Other { kind },
    }
}

fn listed(raw: &Value) -> ListedTool {
    ListedTool {
        name: string(raw, "name"),
        description: told(raw, "description"),
        input_schema: raw.get("input_schema").cloned().unwrap_or_default(),
    }
}

fn words(raw: &Value) -> String {
    match raw.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|p| string(p, "text")).collect(),
        _ => String::new(),
    }
}

fn string(raw: &Value, field: &str) -> String {
    raw.get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A string field, or another value's JSON (Ark types `error` as a string; be ready for an object).
fn told(raw: &Value, field: &str) -> Option<String> {
    match raw.get(field) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What Ark's own SDK put on the wire.
    const CAPTURED: &str = include_str!("../../fixtures/ark-wire-example.json");

    fn captured(index: usize) -> Value {
        let all: Value = serde_json::from_str(CAPTURED).unwrap();
        all["requests"][index]["body"].clone()
    }

    #[test]
    fn a_prompt_is_byte_for_byte_what_the_sdk_sends() {
        let body = captured(0);
        let tools = body["tools"].as_array().unwrap().clone();
        let request = Request::prompt(
            "doubao-seed-2-1-pro-260628",
            "What do you remember about my trip?",
            tools,
        );
        assert_eq!(serde_json::to_string(&request).unwrap(), body.to_string());
        // The Content-Length of the capture.
        assert_eq!(serde_json::to_vec(&request).unwrap().len(), 819);
        assert!(!format!("{request:?}").contains("vendor-token-xyz"));
    }

    #[test]
    fn an_approval_is_byte_for_byte_what_the_sdk_sends() {
        let body = captured(3);
        let tools = body["tools"].as_array().unwrap().clone();
        let request = Request::approval("m", "resp_3", "mcpr_1", true, tools);
        assert_eq!(serde_json::to_string(&request).unwrap(), body.to_string());
    }

    #[test]
    fn items_are_read_by_type_and_absent_fields_are_tolerated() {
        let raw = json!({"object":"response","id":"resp_1","output":[
            {"type":"mcp_list_tools","server_label":"a","tools":[{"name":"x"}]},
            {"type":"mcp_list_tools","error":{"code":401}},
            {"type":"mcp_approval_request","id":"mcpr_1","name":"x"},
            {"type":"mcp_call","name":"x","arguments":"{}","output":"火锅 🍲\n"},
            {"type":"message","content":[{"type":"output_text","text":"a"},{"type":"output_text","text":"b"}]},
            {"type":"reasoning","summary":[]},
            {}
        ]});
        let got = read(raw, false);
        assert_eq!(got.via(), "ark");
        assert!(
            matches!(&got.output[0], Item::ListTools { tools, error: None, .. } if tools[0].name == "x")
        );
        assert!(
            matches!(&got.output[1], Item::ListTools { error: Some(e), .. } if e == r#"{"code":401}"#)
        );
        assert!(
            matches!(&got.output[2], Item::ApprovalRequest { id, arguments, .. } if id == "mcpr_1" && arguments.is_empty())
        );
        assert!(
            matches!(&got.output[3], Item::Call { output: Some(o), error: None, .. } if o == "火锅 🍲\n")
        );
        assert_eq!(
            got.output[4],
            Item::Message {
                text: "ab".to_owned()
            }
        );
        assert_eq!(
            got.output[5],
            Item::Other {
                kind: "reasoning".to_owned()
            }
        );
        assert_eq!(
            got.output[6],
            Item::Other {
                kind: String::new()
            }
        );
    }
}
