//! What the stand-in accepts: the part of Ark's request that it plays, and a plain refusal of the rest.

use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::error::ArkError;
use super::input::{self, Past};
use super::tools::{self, Server};

/// How long Ark keeps a response, in seconds, unless told otherwise …
const KEEP: u64 = 3 * 86_400;
/// … and at most.
const KEEP_MOST: u64 = 7 * 86_400;

/// A request that the stand-in can answer.
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) previous: Option<String>,
    /// What this request adds to the conversation.
    pub(super) input: Vec<Past>,
    pub(super) servers: Vec<Server>,
    pub(super) choice: Choice,
    pub(super) max_calls: Option<u64>,
    /// Until when the response is kept, in Unix seconds; `None` if it is not.
    pub(super) keep_until: Option<u64>,
    /// What the response repeats of the request, by field.
    pub(super) echo: Map<String, Value>,
    /// Its tools.
    pub(super) tools: Vec<Value>,
}

/// `tool_choice`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice {
    Auto,
    None,
    Required,
    Mcp { label: String, name: Option<String> },
}

/// Reads the body of a request that came at `now` (Unix seconds).
pub(super) fn read(body: &Value, beta_header: bool, now: u64) -> Result<Asked, ArkError> {
    if !body.is_object() {
        return Err(ArkError::invalid("", "the body is not a JSON object"));
    }
    let model = text(body, "model")?.unwrap_or_default();
    if model.is_empty() {
        return Err(ArkError::missing("model"));
    }
    let echo = echo(body)?;
    let tools = tools::read(set(body, "tools"))?;
    if !tools.servers.is_empty() {
        if !beta_header {
            let why = "MCP tools need the header `ark-beta-mcp: true`";
            return Err(ArkError::invalid("tools", why));
        }
        if set(body, "caching").is_some() {
            return Err(ArkError::invalid(
                "caching",
                "caching is not supported for mcp",
            ));
        }
    }
    if set(body, "caching").is_some_and(|c| c["type"] != "disabled") {
        let why = "the stand-in has no cache; use Ark itself for it";
        return Err(ArkError::invalid("caching", why));
    }
    let store = flag(body, "store")?.unwrap_or(true);
    Ok(Asked {
        model,
        stream: flag(body, "stream")?.unwrap_or_default(),
        previous: text(body, "previous_response_id")?,
        input: input::read(set(body, "input"))?,
        choice: choice(set(body, "tool_choice"), &tools.servers)?,
        max_calls: max_calls(body)?,
        keep_until: keep_until(body, now)?.filter(|_| store),
        servers: tools.servers,
        echo,
        tools: tools.echo,
    })
}

/// Unset in Ark's SDK is an explicit null.
pub(super) fn set<'a>(body: &'a Value, field: &str) -> Option<&'a Value> {
    body.get(field).filter(|v| !v.is_null())
}

fn flag(body: &Value, field: &str) -> Result<Option<bool>, ArkError> {
    let flag = |v: &Value| v.as_bool().ok_or_else(|| not(field, "a boolean"));
    set(body, field).map(flag).transpose()
}

fn text(body: &Value, field: &str) -> Result<Option<String>, ArkError> {
    let text = |v: &Value| {
        v.as_str()
            .map(str::to_owned)
            .ok_or_else(|| not(field, "a string"))
    };
    set(body, field).map(text).transpose()
}

fn not(field: &str, what: &str) -> ArkError {
    ArkError::invalid(field, &format!("must be {what}"))
}

fn max_calls(body: &Value) -> Result<Option<u64>, ArkError> {
    let most = |v: &Value| {
        let most = v.as_u64().filter(|n| (1..=10).contains(n));
        most.ok_or_else(|| not("max_tool_calls", "a number from 1 to 10"))
    };
    set(body, "max_tool_calls").map(most).transpose()
}

fn keep_until(body: &Value, now: u64) -> Result<Option<u64>, ArkError> {
    let Some(asked) = set(body, "expire_at") else {
        return Ok(Some(now + KEEP));
    };
    let until = asked
        .as_u64()
        .filter(|t| (now + 1..=now + KEEP_MOST).contains(t));
    let why = "a time in Unix seconds at most 7 days from now";
    until.map(Some).ok_or_else(|| not("expire_at", why))
}

/// What a field may be; the scripted model does nothing with any of them.
enum Kind {
    Text,
    OneOf(&'static [&'static str]),
    Flag,
    Count,
    Number(f64),
    Object,
}

/// Fields that a response repeats when they were set.
const REPEATED: &[(&str, Kind)] = &[
    ("instructions", Kind::Text),
    ("max_output_tokens", Kind::Count),
    ("max_tool_calls", Kind::Count),
    ("parallel_tool_calls", Kind::Flag),
    ("previous_response_id", Kind::Text),
    ("prompt_cache_key", Kind::Text),
    ("reasoning", Kind::Object),
    ("safety_identifier", Kind::Text),
    ("service_tier", Kind::OneOf(&["auto", "default", "fast"])),
    ("temperature", Kind::Number(2.0)),
    ("text", Kind::Object),
    ("thinking", Kind::Object),
    ("top_p", Kind::Number(1.0)),
];

fn echo(body: &Value) -> Result<Map<String, Value>, ArkError> {
    let mut out = Map::new();
    out.insert("service_tier".to_owned(), "default".into());
    out.insert("caching".to_owned(), json!({"type": "disabled"}));
    for (field, kind) in REPEATED {
        if let Some(value) = set(body, field) {
            kind.check(field, value)?;
            out.insert((*field).to_owned(), value.clone());
        }
    }
    if let Some(choice) = set(body, "tool_choice") {
        out.insert("tool_choice".to_owned(), choice.clone());
    }
    Ok(out)
}

impl Kind {
    fn check(&self, field: &str, value: &Value) -> Result<(), ArkError> {
        let (fits, what) = match self {
            Self::Text => (value.is_string(), "a string".to_owned()),
            Self::OneOf(words) => (
                value.as_str().is_some_and(|v| words.contains(&v)),
                format!("one of {}", words.join(", ")),
            ),
            Self::Flag => (value.is_boolean(), "a boolean".to_owned()),
            Self::Count => (
                value.as_u64().is_some_and(|n| n > 0),
                "a positive number".to_owned(),
            ),
            Self::Number(most) => (
                value.as_f64().is_some_and(|n| (0.0..=*most).contains(&n)),
                format!("a number from 0 to {most}"),
            ),
            Self::Object => (value.is_object(), "an object".to_owned()),
        };
        if fits { Ok(()) } else { Err(not(field, &what)) }
    }
}

fn choice(value: Option<&Value>, servers: &[Server]) -> Result<Choice, ArkError> {
    let Some(value) = value else {
        return Ok(Choice::Auto);
    };
    match value.as_str() {
        Some("auto") => return Ok(Choice::Auto),
        Some("none") => return Ok(Choice::None),
        Some("required") if servers.is_empty() => {
            let why = "required needs a tool that the model can call";
            return Err(ArkError::invalid("tool_choice", why));
        }
        Some("required") => return Ok(Choice::Required),
        _ => {}
    }
    if value.get("type").and_then(Value::as_str) != Some("mcp") {
        let why = "the stand-in does not know this choice";
        return Err(ArkError::invalid("tool_choice", why));
    }
    let at = "tool_choice.server_label";
    let Some(label) = set(value, "server_label").and_then(Value::as_str) else {
        return Err(ArkError::missing(at));
    };
    if !servers.iter().any(|s| s.label == label) {
        return Err(ArkError::invalid(at, "names no server of `tools`"));
    }
    Ok(Choice::Mcp {
        label: label.to_owned(),
        name: set(value, "name")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}

/// Whether the beta header is set as the SDK sets it.
pub(super) fn beta(headers: &HeaderMap) -> bool {
    headers
        .get("ark-beta-mcp")
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"true"))
}
