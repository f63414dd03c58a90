//! What the stand-in accepts: the part of Ark's request that it plays, and a plain refusal of the rest.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::ArkError;
use super::prompts::same_tool;

/// No account has use for more servers in one response.
const MAX_SERVERS: usize = 8;

/// A request that the stand-in can answer.
pub(super) struct Asked {
    pub model: String,
    /// The last user text.
    pub said: String,
    pub servers: Vec<Server>,
    pub choice: Choice,
}

/// One tool entry of type `mcp`.
pub(super) struct Server {
    pub label: String,
    pub url: reqwest::Url,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    allowed: Option<Vec<String>>,
    approval: Approval,
}

/// `tool_choice`.
pub(super) enum Choice {
    Auto,
    None,
    Mcp { label: String, name: Option<String> },
}

enum Approval {
    Always,
    Never,
    Named {
        always: Vec<String>,
        never: Vec<String>,
    },
}

impl Server {
    /// Whether `allowed_tools` lets the model see this tool.
    pub(super) fn allows(&self, tool: &str) -> bool {
        self.allowed
            .as_ref()
            .is_none_or(|names| names.iter().any(|n| same_tool(n, tool)))
    }

    /// Whether this tool waits for an approval. Nothing said means yes, as on Ark.
    pub(super) fn needs_approval(&self, tool: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|n| same_tool(n, tool));
        match &self.approval {
            Approval::Always => true,
            Approval::Never => false,
            Approval::Named { always, never } => has(always) || !has(never),
        }
    }
}

/// Reads the body of a request.
pub(super) fn read(body: &Value, beta_header: bool) -> Result<Asked, ArkError> {
    if !body.is_object() {
        return Err(invalid("", "the body is not a JSON object"));
    }
    refuse_what_is_not_built(body)?;
    let model = body
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if model.is_empty() {
        return Err(missing("model"));
    }
    if let Some(most) = set(body, "max_tool_calls")
        && !most.as_u64().is_some_and(|n| (1..=10).contains(&n))
    {
        return Err(invalid("max_tool_calls", "must be a number from 1 to 10"));
    }
    let servers = servers(set(body, "tools"))?;
    if !servers.is_empty() && !beta_header {
        return Err(invalid(
            "tools",
            "MCP tools need the header `ark-beta-mcp: true`",
        ));
    }
    let choice = choice(set(body, "tool_choice"), &servers)?;
    Ok(Asked {
        model: model.to_owned(),
        said: said(set(body, "input"))?,
        servers,
        choice,
    })
}

/// Unset in Ark's SDK is an explicit null.
fn set<'a>(body: &'a Value, field: &str) -> Option<&'a Value> {
    body.get(field).filter(|v| !v.is_null())
}

fn refuse_what_is_not_built(body: &Value) -> Result<(), ArkError> {
    let not_built = |field: &str| {
        invalid(
            field,
            &format!("the stand-in does not do `{field}`; use Ark itself for it"),
        )
    };
    if set(body, "stream").is_some_and(|s| *s != Value::Bool(false)) {
        return Err(not_built("stream"));
    }
    for field in ["previous_response_id", "caching"] {
        if set(body, field).is_some() {
            return Err(not_built(field));
        }
    }
    Ok(())
}

fn servers(tools: Option<&Value>) -> Result<Vec<Server>, ArkError> {
    let list = match tools {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(invalid("tools", "is not a list")),
    };
    if list.len() > MAX_SERVERS {
        return Err(invalid(
            "tools",
            &format!("the stand-in takes at most {MAX_SERVERS} servers"),
        ));
    }
    let mut out: Vec<Server> = Vec::with_capacity(list.len());
    for (i, tool) in list.iter().enumerate() {
        let server = server(tool, &format!("tools[{i}]"))?;
        if out.iter().any(|s| s.label == server.label) {
            return Err(invalid(
                &format!("tools[{i}].server_label"),
                "appears twice",
            ));
        }
        out.push(server);
    }
    Ok(out)
}

fn server(tool: &Value, at: &str) -> Result<Server, ArkError> {
    let kind = tool.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind != "mcp" {
        return Err(invalid(
            &format!("{at}.type"),
            "the stand-in knows only tools of type `mcp`",
        ));
    }
    let text = |field: &str| {
        set(tool, field)
            .and_then(Value::as_str)
            .filter(|s| !s.is_empty())
            .ok_or_else(|| missing(&format!("{at}.{field}")))
    };
    let url = text("server_url")?;
    let url = reqwest::Url::parse(url)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https"))
        .ok_or_else(|| invalid(&format!("{at}.server_url"), "is not an http(s) URL"))?;
    Ok(Server {
        label: text("server_label")?.to_owned(),
        url,
        headers: headers(set(tool, "headers"), &format!("{at}.headers"))?,
        allowed: match set(tool, "allowed_tools") {
            None => None,
            Some(value) => Some(names(value, &format!("{at}.allowed_tools"))?),
        },
        approval: approval(
            set(tool, "require_approval"),
            &format!("{at}.require_approval"),
        )?,
    })
}

fn headers(value: Option<&Value>, at: &str) -> Result<Vec<(HeaderName, HeaderValue)>, ArkError> {
    let map = match value {
        None => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(invalid(at, "is not an object")),
    };
    let mut out = Vec::with_capacity(map.len());
    for (name, value) in map {
        // The value is a credential: told is only which one it is.
        let bad = || invalid(at, &format!("header `{name}` cannot be sent"));
        let key: HeaderName = name.parse().map_err(|_| bad())?;
        let text = value.as_str().filter(|s| s.is_ascii()).ok_or_else(bad)?;
        let mut value: HeaderValue = text.parse().map_err(|_| bad())?;
        value.set_sensitive(true);
        if out.iter().any(|(seen, _)| *seen == key) {
            return Err(invalid(at, &format!("header `{name}` appears twice")));
        }
        out.push((key, value));
    }
    Ok(out)
}

/// A list of names, bare or under `tool_names`.
fn names(value: &Value, at: &str) -> Result<Vec<String>, ArkError> {
    let list = value.get("tool_names").unwrap_or(value);
    let names: Option<Vec<String>> = list
        .as_array()
        .and_then(|list| list.iter().map(|n| n.as_str().map(str::to_owned)).collect());
    names.ok_or_else(|| invalid(at, "is not a list of tool names"))
}

fn approval(value: Option<&Value>, at: &str) -> Result<Approval, ArkError> {
    let list = |value: &Value, side: &str| match set(value, side) {
        None => Ok(Vec::new()),
        Some(names_of) => names(names_of, &format!("{at}.{side}")),
    };
    match value {
        None => Ok(Approval::Always),
        Some(Value::String(word)) if word == "always" => Ok(Approval::Always),
        Some(Value::String(word)) if word == "never" => Ok(Approval::Never),
        Some(filter @ Value::Object(_)) => Ok(Approval::Named {
            always: list(filter, "always")?,
            never: list(filter, "never")?,
        }),
        Some(_) => Err(invalid(at, "is neither `always`, `never` nor a filter")),
    }
}

fn choice(value: Option<&Value>, servers: &[Server]) -> Result<Choice, ArkError> {
    match value {
        None => Ok(Choice::Auto),
        // A scripted model that knows no answer cannot be made to call a tool by `required`.
        Some(Value::String(word)) if matches!(word.as_str(), "auto" | "required") => {
            Ok(Choice::Auto)
        }
        Some(Value::String(word)) if word == "none" => Ok(Choice::None),
        Some(choice) if choice.get("type").and_then(Value::as_str) == Some("mcp") => {
            let label = choice
                .get("server_label")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !servers.iter().any(|s| s.label == label) {
                return Err(invalid(
                    "tool_choice.server_label",
                    "names no server of `tools`",
                ));
            }
            Ok(Choice::Mcp {
                label: label.to_owned(),
                name: set(choice, "name")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            })
        }
        Some(_) => Err(invalid(
            "tool_choice",
            "the stand-in does not know this choice",
        )),
    }
}

/// The last user text of the input.
fn said(input: Option<&Value>) -> Result<String, ArkError> {
    let items = match input {
        None => return Err(missing("input")),
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(invalid("input", "is neither a string nor a list")),
    };
    let typed = |item: &Value, kind: &str| item.get("type").and_then(Value::as_str) == Some(kind);
    if items.iter().any(|i| typed(i, "mcp_approval_response")) {
        return Err(invalid(
            "input",
            "the stand-in does not do `mcp_approval_response`; use Ark itself for it",
        ));
    }
    let user = |item: &&Value| item.get("role").and_then(Value::as_str) == Some("user");
    let last = items
        .iter()
        .rev()
        .find(user)
        .and_then(|item| match item.get("content") {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Array(parts)) => parts
                .iter()
                .rev()
                .find(|p| typed(p, "input_text"))
                .and_then(|p| p.get("text"))
                .and_then(Value::as_str)
                .map(str::to_owned),
            _ => None,
        });
    last.ok_or_else(|| invalid("input", "holds no user text"))
}

pub(super) fn invalid(param: &str, message: &str) -> ArkError {
    ArkError::new(
        StatusCode::BAD_REQUEST,
        "InvalidParameter",
        "BadRequest",
        message,
        param,
    )
}

fn missing(param: &str) -> ArkError {
    ArkError::new(
        StatusCode::BAD_REQUEST,
        "MissingParameter",
        "BadRequest",
        &format!("the parameter `{param}` is missing"),
        param,
    )
}

/// Whether the beta header is set as the SDK sets it.
pub(super) fn beta(headers: &HeaderMap) -> bool {
    headers
        .get("ark-beta-mcp")
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"true"))
}
