//! A request's `tools`: MCP servers, which the scripted model uses, and functions, which it may be
//! given as well and never chooses.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::error::ArkError;
use super::prompts::same_tool;
use super::request::set;

/// No account has use for more servers in one response.
const MAX_SERVERS: usize = 8;
/// With functions.
const MAX_TOOLS: usize = 64;
/// Of a name, a label, a header, in bytes.
const MAX_WORD: usize = 8 * 1024;

/// One tool entry of type `mcp`.
pub(super) struct Server {
    pub(super) label: String,
    pub(super) url: reqwest::Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    allowed: Option<Vec<String>>,
    approval: Approval,
}

#[derive(Debug, PartialEq)]
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

/// What `tools` says.
pub(super) struct Tools {
    pub(super) servers: Vec<Server>,
    /// The entries as the response repeats them: without headers, which Ark says it does not keep.
    pub(super) echo: Vec<Value>,
}

/// Reads `tools`.
pub(super) fn read(tools: Option<&Value>) -> Result<Tools, ArkError> {
    let mut out = Tools {
        servers: Vec::new(),
        echo: Vec::new(),
    };
    let list = match tools {
        None => return Ok(out),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ArkError::invalid("tools", "is not a list")),
    };
    if list.len() > MAX_TOOLS {
        let why = format!("holds more than {MAX_TOOLS} tools");
        return Err(ArkError::invalid("tools", &why));
    }
    for (i, tool) in list.iter().enumerate() {
        let at = format!("tools[{i}]");
        match tool.get("type").and_then(Value::as_str) {
            Some("mcp") => {
                let server = server(tool, &at)?;
                if out.servers.iter().any(|s| s.label == server.label) {
                    let at = format!("{at}.server_label");
                    return Err(ArkError::invalid(&at, "appears twice"));
                }
                out.servers.push(server);
            }
            Some("function") => function(tool, &at)?,
            Some("doubao_app") => {
                let why = "doubao_app cannot be used with other tools";
                return Err(ArkError::invalid(&format!("{at}.type"), why));
            }
            _ => {
                let why = "the stand-in knows only tools of type `mcp` and `function`";
                return Err(ArkError::invalid(&format!("{at}.type"), why));
            }
        }
        out.echo.push(echo(tool));
    }
    if out.servers.len() > MAX_SERVERS {
        let why = format!("the stand-in takes at most {MAX_SERVERS} servers");
        return Err(ArkError::invalid("tools", &why));
    }
    Ok(out)
}

fn echo(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if let Value::Object(fields) = &mut tool {
        fields.retain(|name, value| name != "headers" && !value.is_null());
    }
    tool
}

/// Ark's rule for the names of functions.
fn function(tool: &Value, at: &str) -> Result<(), ArkError> {
    let at = format!("{at}.name");
    let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(ArkError::missing(&at));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() > 64 || !name.chars().all(fits) {
        let why =
            "must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64";
        return Err(ArkError::invalid(&at, why));
    }
    Ok(())
}

fn server(tool: &Value, at: &str) -> Result<Server, ArkError> {
    let text = |field: &str| {
        let at = format!("{at}.{field}");
        match set(tool, field).and_then(Value::as_str) {
            None | Some("") => Err(ArkError::missing(&at)),
            Some(text) if text.len() > MAX_WORD => Err(ArkError::invalid(&at, "is too long")),
            Some(text) => Ok(text),
        }
    };
    let label = text("server_label")?.to_owned();
    let url = reqwest::Url::parse(text("server_url")?)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https") && u.host_str().is_some());
    let not_a_url = || ArkError::invalid(&format!("{at}.server_url"), "is not an http(s) URL");
    let field = |field: &str| format!("{at}.{field}");
    Ok(Server {
        label,
        url: url.ok_or_else(not_a_url)?,
        headers: headers(set(tool, "headers"), &field("headers"))?,
        allowed: match set(tool, "allowed_tools") {
            None => None,
            Some(value) => Some(names(value, &field("allowed_tools"))?),
        },
        approval: approval(set(tool, "require_approval"), &field("require_approval"))?,
    })
}

fn headers(value: Option<&Value>, at: &str) -> Result<Vec<(HeaderName, HeaderValue)>, ArkError> {
    let map = match value {
        None => return Ok(Vec::new()),
        Some(Value::Object(map)) if map.len() <= 32 => map,
        Some(Value::Object(_)) => return Err(ArkError::invalid(at, "holds more than 32")),
        Some(_) => return Err(ArkError::invalid(at, "is not an object")),
    };
    let mut out = Vec::with_capacity(map.len());
    for (name, value) in map {
        // The value is a credential: told is only which one it is.
        let bad = || ArkError::invalid(at, &format!("header `{name}` cannot be sent"));
        let key: HeaderName = name.parse().map_err(|_| bad())?;
        let sendable = |s: &&str| s.is_ascii() && s.len() <= MAX_WORD;
        let text = value.as_str().filter(sendable).ok_or_else(bad)?;
        let mut value: HeaderValue = text.parse().map_err(|_| bad())?;
        value.set_sensitive(true);
        if out.iter().any(|(seen, _)| *seen == key) {
            return Err(ArkError::invalid(
                at,
                &format!("header `{name}` appears twice"),
            ));
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
    names.ok_or_else(|| ArkError::invalid(at, "is not a list of tool names"))
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
        Some(_) => Err(ArkError::invalid(
            at,
            "is neither `always`, `never` nor a filter",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn one(more: &Value) -> Server {
        let mut tool = json!({
            "type": "mcp", "server_label": "l", "server_url": "https://mcp.example.com/mcp",
        });
        for (name, value) in more.as_object().unwrap() {
            tool[name] = value.clone();
        }
        let mut tools = read(Some(&json!([tool])))
            .map_err(|e| format!("{e:?}"))
            .unwrap();
        tools.servers.remove(0)
    }

    #[test]
    fn approval_is_always_unless_this_tool_is_named_as_never() {
        for (approval, get, put) in [
            (json!(null), true, true),
            (json!("always"), true, true),
            (json!("never"), false, false),
            (json!({}), true, true),
            (
                json!({"never": {"tool_names": ["memory.get"]}}),
                false,
                true,
            ),
            (
                json!({"never": ["memory_get"], "always": ["memory.get"]}),
                true,
                true,
            ),
            (
                json!({"always": {"tool_names": ["memory.put"]}}),
                true,
                true,
            ),
        ] {
            let server = one(&json!({"require_approval": approval}));
            assert_eq!(server.needs_approval("memory_get"), get, "{approval}");
            assert_eq!(server.needs_approval("memory_put"), put, "{approval}");
        }
    }

    #[test]
    fn allowed_tools_are_a_list_or_a_filter_and_absent_means_all() {
        for (allowed, get, put) in [
            (json!(null), true, true),
            (json!([]), false, false),
            (json!(["memory.get"]), true, false),
            (json!({"tool_names": ["memory_get"]}), true, false),
        ] {
            let server = one(&json!({"allowed_tools": allowed}));
            assert_eq!(server.allows("memory_get"), get, "{allowed}");
            assert_eq!(server.allows("memory_put"), put, "{allowed}");
        }
    }

    #[test]
    fn the_echo_holds_no_header_and_no_null() {
        let tools = json!([
            {"type": "mcp", "server_label": "l", "server_url": "https://h/", "headers": {"Authorization": "Bearer s"},
             "allowed_tools": null, "require_approval": "never"},
            {"type": "function", "name": "f-1_X"},
        ]);
        let tools = read(Some(&tools)).map_err(|e| format!("{e:?}")).unwrap();
        assert_eq!(
            Value::Array(tools.echo).to_string(),
            r#"[{"type":"mcp","server_label":"l","server_url":"https://h/","require_approval":"never"},{"type":"function","name":"f-1_X"}]"#
        );
    }
}
