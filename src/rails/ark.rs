//! Client of Ark's Responses API with remote MCP tools. Live Ark and the stand-in differ in base
//! URL and key only; nothing here knows which one answers, except by what the answer says of itself.
//!
//! Ark's own SDK sends an explicit `null` for every option that is not set, and the header
//! `ark-beta-mcp: true` with any MCP tool; so does this. Answers are read by each item's `type`
//! string and tolerate absent fields, since Ark's SDKs disagree about which are there. A stream is
//! read the same way: by `type`, to the event that carries the whole response.

mod answer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::{CaFile, RailError, wire};
use crate::secret::Secret;
use crate::text::clean_to;
use answer::{read, string};

pub use answer::{Item, ListedTool, Response};

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

    /// The turn after a response that asks for approvals: the same answer to each of them. Ark keeps
    /// no headers, so the tools go again.
    pub fn approval<'a>(
        model: &str,
        previous: &str,
        requests: impl IntoIterator<Item = &'a str>,
        approve: bool,
        tools: Vec<Value>,
    ) -> Self {
        let answer = |id: &str| {
            json!({
                "type": "mcp_approval_response",
                "approve": approve,
                "approval_request_id": id,
            })
        };
        Self {
            input: requests.into_iter().map(answer).collect(),
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
        wire::no_plaintext("base_url", &url, "the API key")?;
        Ok(Self {
            http: wire::client(&url, CONNECT, ca)?,
            url,
            key,
        })
    }

    /// Sends a request and reads the whole response. No retry: a proof shows the first answer.
    pub async fn respond(&self, request: &Request) -> Result<Response, RailError> {
        in_time(async {
            let (mut answer, stand_in) = self.send(request).await?;
            let bytes = wire::body("the response", &self.url, &mut answer).await?;
            let raw = self.veiled(serde_json::from_slice(&bytes).unwrap_or_default());
            if raw.get("object").and_then(Value::as_str) != Some("response") {
                return Err(broken("it is not an object of type `response`".to_owned()));
            }
            Ok(read(raw, stand_in))
        })
        .await
    }

    /// The same as a stream: each event is shown as it comes, and the response is that of the event
    /// that ends it.
    pub async fn respond_streamed(
        &self,
        request: &Request,
        mut seen: impl FnMut(&Event<'_>),
    ) -> Result<Response, RailError> {
        let mut request = request.clone();
        request.stream = Some(true);
        in_time(async {
            let (mut answer, stand_in) = self.send(&request).await?;
            let last = |raw: &Value| {
                let raw = &self.veiled(raw.clone());
                let Some(kind) = raw.get("type").and_then(Value::as_str) else {
                    return false;
                };
                seen(&Event { kind, raw });
                matches!(
                    kind,
                    "error" | "response.completed" | "response.failed" | "response.incomplete"
                )
            };
            let end = wire::sse_until("the stream", &self.url, &mut answer, last).await?;
            let mut end = self.veiled(end);
            match end.get_mut("response").map(Value::take) {
                Some(raw) if raw.is_object() => Ok(read(raw, stand_in)),
                _ => {
                    let words = format!("{} {}", string(&end, "code"), string(&end, "message"));
                    Err(broken(format!(
                        "the stream ended with an error: {}",
                        clean_to(&words, 400)
                    )))
                }
            }
        })
        .await
    }

    /// Sends a request; an answer that is a refusal is an error here. With it: did the stand-in
    /// answer?
    async fn send(&self, request: &Request) -> Result<(reqwest::Response, bool), RailError> {
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
        if !status.is_success() {
            let bytes = wire::body("the response", &self.url, &mut answer).await?;
            // What is no JSON is told as one string.
            let raw = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
            return Err(refusal(status.as_u16(), &self.veiled(raw)));
        }
        let stand_in = answer.headers().contains_key(STANDIN_HEADER);
        Ok((answer, stand_in))
    }

    /// What was answered without our key: whoever answers may repeat it, and this ends in reports.
    fn veiled(&self, raw: Value) -> Value {
        let key = Value::from(self.key.expose().as_str()).to_string();
        let (key, text) = (&key[1..key.len() - 1], raw.to_string());
        // A word that short is no key, and may be any word of an answer.
        if key.len() < 8 || !text.contains(key) {
            return raw;
        }
        serde_json::from_str(&text.replace(key, "•••")).unwrap_or_default()
    }
}

/// One event of a stream.
#[derive(Debug)]
pub struct Event<'a> {
    /// Its `type`, in which Ark's SDKs agree.
    pub kind: &'a str,
    /// All of it.
    pub raw: &'a Value,
}

async fn in_time<T>(work: impl Future<Output = Result<T, RailError>>) -> Result<T, RailError> {
    let late = || RailError::Timeout {
        what: "the response".to_owned(),
        seconds: DEADLINE.as_secs(),
    };
    let done = tokio::time::timeout(DEADLINE, work).await;
    done.unwrap_or_else(|_| Err(late()))
}

fn broken(cause: String) -> RailError {
    RailError::Protocol {
        what: "the response".to_owned(),
        cause,
    }
}

/// `{"error":{"code","message","param","type"}}`, or whatever came instead.
fn refusal(status: u16, raw: &Value) -> RailError {
    let error = raw.get("error");
    let text = |field| error.and_then(|e| e.get(field)).and_then(Value::as_str);
    let whole = || raw.as_str().map_or_else(|| raw.to_string(), str::to_owned);
    let mut message = text("message").map_or_else(whole, str::to_owned);
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
