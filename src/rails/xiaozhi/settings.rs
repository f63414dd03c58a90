//! xiaozhi-server's `data/.mcp_server_settings.json`, read by its own rules.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::rails::{CaFile, RailError, wire};
use crate::secret::Secret;

/// The key of the object that holds the entries.
pub const SERVERS: &str = "mcpServers";
/// The key of an entry's address.
pub const URL: &str = "url";
/// The key of an entry's transport.
pub const TRANSPORT: &str = "transport";
/// The transport that is streamable HTTP; anything else but `http` is taken for SSE.
pub const STREAMABLE: &str = "streamable-http";
/// The key of an entry's headers.
pub const HEADERS: &str = "headers";

/// One entry that xiaozhi-server would drive over streamable HTTP.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The entry's name under `mcpServers`.
    pub entry: String,
    /// Where the server is.
    pub url: reqwest::Url,
    /// The headers that go out with each request, in the file's order.
    pub headers: Vec<(String, Secret<String>)>,
    /// Connect time-out (`timeout`, 30 s without).
    pub timeout: Duration,
    /// Whether an issued session is deleted at the end.
    pub terminate_on_close: bool,
    /// Not part of the format: a private certificate authority of ours.
    pub ca: CaFile,
}

impl Settings {
    /// Reads a settings file. `entry` picks one; without it `agentkeys`, else the only entry.
    pub fn from_file(path: &Path, entry: Option<&str>) -> Result<Self, RailError> {
        let what = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| bad(&what, e.to_string()))?;
        Self::parse(&what, &bytes, entry)
    }

    /// Parses the bytes of a settings file; `what` names it in errors.
    ///
    /// Whatever makes xiaozhi-server lose this entry is an error here, in its own terms: it would
    /// otherwise be seen only as "the tools are not there".
    pub fn parse(what: &str, bytes: &[u8], entry: Option<&str>) -> Result<Self, RailError> {
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(bad(
                what,
                "starts with a byte-order mark: xiaozhi-server loads no server from it",
            ));
        }
        let root: Value = serde_json::from_slice(bytes).map_err(|e| {
            bad(
                what,
                format!("is not strict JSON ({e}): xiaozhi-server loads no server from it"),
            )
        })?;
        let Some(servers) = root.get(SERVERS).and_then(Value::as_object) else {
            return Err(bad(
                what,
                "has no object `mcpServers`: xiaozhi-server loads no server from it",
            ));
        };
        for (name, value) in servers {
            if !value.is_object() {
                return Err(bad(
                    what,
                    format!(
                        "`mcpServers.{name}` is not an object: xiaozhi-server aborts all its tool set-up"
                    ),
                ));
            }
        }
        let (name, fields) = pick(what, servers, entry)?;
        one(&format!("{what}, entry `{name}`"), name, fields)
    }

    /// The same settings, trusting a further certificate authority.
    #[must_use]
    pub fn with_ca(mut self, ca: CaFile) -> Self {
        self.ca = ca;
        self
    }
}

fn pick<'a>(
    what: &str,
    servers: &'a Map<String, Value>,
    entry: Option<&str>,
) -> Result<(&'a str, &'a Map<String, Value>), RailError> {
    let found = match entry {
        Some(name) => servers.get_key_value(name),
        None if servers.contains_key("agentkeys") => servers.get_key_value("agentkeys"),
        None if servers.len() == 1 => servers.iter().next(),
        None => None,
    };
    if let Some((name, Value::Object(fields))) = found {
        return Ok((name, fields));
    }
    let names: Vec<&str> = servers.keys().map(String::as_str).collect();
    Err(bad(
        what,
        format!(
            "has no entry `{}`; it has: {}",
            entry.unwrap_or("agentkeys"),
            names.join(", ")
        ),
    ))
}

/// The rules of `core/providers/tools/server_mcp/mcp_client.py` for one entry.
fn one(what: &str, name: &str, fields: &Map<String, Value>) -> Result<Settings, RailError> {
    if fields.contains_key("command") {
        return Err(bad(
            what,
            "has `command`, which wins over `url`: xiaozhi-server starts a local process instead",
        ));
    }
    let Some(url) = fields.get(URL) else {
        return Err(bad(
            what,
            "has neither `command` nor `url`: xiaozhi-server skips it",
        ));
    };
    let url = url
        .as_str()
        .ok_or_else(|| bad(what, "`url` is not a string"))?;
    match fields
        .get(TRANSPORT)
        .map(|t| t.as_str().unwrap_or_default())
    {
        Some(STREAMABLE | "http") => {}
        Some(other) => {
            return Err(bad(
                what,
                format!(
                    "`transport` is `{other}`: xiaozhi-server takes it for SSE and fails; write `streamable-http`"
                ),
            ));
        }
        None => {
            return Err(bad(
                what,
                "`transport` is missing: xiaozhi-server takes it for SSE and fails; write `streamable-http`",
            ));
        }
    }
    let timeout = match fields.get("timeout") {
        None => Duration::from_secs(30),
        Some(value) => value
            .as_f64()
            .and_then(|s| Duration::try_from_secs_f64(s).ok())
            .ok_or_else(|| bad(what, "`timeout` is not a number of seconds"))?,
    };
    Ok(Settings {
        entry: name.to_owned(),
        url: wire::parse_url(what, url)?,
        headers: headers(what, fields)?,
        timeout,
        terminate_on_close: fields.get("terminate_on_close").is_none_or(truthy),
        ca: CaFile::default(),
    })
}

fn headers(
    what: &str,
    fields: &Map<String, Value>,
) -> Result<Vec<(String, Secret<String>)>, RailError> {
    let mut out: Vec<(String, Secret<String>)> = Vec::new();
    match fields.get(HEADERS) {
        None => {}
        Some(Value::Object(map)) => {
            for (name, value) in map {
                // The value is a credential, so the message says what is wrong and never what it is.
                let Some(text) = value.as_str() else {
                    return Err(bad(
                        what,
                        format!(
                            "header `{name}` is not a string: the whole server fails in xiaozhi-server"
                        ),
                    ));
                };
                if !text.is_ascii() || !name.is_ascii() {
                    return Err(bad(
                        what,
                        format!(
                            "header `{name}` is not ASCII: the whole server fails in xiaozhi-server"
                        ),
                    ));
                }
                out.push((name.clone(), Secret::new(text.to_owned())));
            }
        }
        Some(_) => return Err(bad(what, "`headers` is not an object")),
    }
    // Deprecated there, still honoured: it replaces the exact key `Authorization`.
    if let Some(token) = fields.get("API_ACCESS_TOKEN").and_then(Value::as_str) {
        out.retain(|(name, _)| name != "Authorization");
        out.push((
            "Authorization".to_owned(),
            Secret::new(format!("Bearer {token}")),
        ));
    }
    Ok(out)
}

/// Python's idea of true, for a key that is used as a condition.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

fn bad(what: &str, cause: impl Into<String>) -> RailError {
    RailError::Input {
        what: what.to_owned(),
        cause: cause.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse("f", text.as_bytes(), None).map_err(|e| e.to_string())
    }

    #[test]
    fn a_good_file_is_read_and_its_token_never_prints() {
        let got = parse(
            r#"{"note":"x","mcpServers":{"agentkeys":{"url":"http://h:1/mcp","transport":"streamable-http",
               "disabled":true,"headers":{"Authorization":"Bearer t1","X-AgentKeys-Actor":"O_kevin_001"}}}}"#,
        )
        .unwrap();
        assert_eq!(got.entry, "agentkeys");
        let names: Vec<&str> = got.headers.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["Authorization", "X-AgentKeys-Actor"]);
        assert!(!format!("{got:?}").contains("t1"));
    }

    #[test]
    fn the_deprecated_token_replaces_the_header() {
        let got = parse(
            r#"{"mcpServers":{"a":{"url":"http://h/","transport":"http","API_ACCESS_TOKEN":"new",
               "headers":{"Authorization":"Bearer old"}}}}"#,
        )
        .unwrap();
        let values: Vec<&str> = got
            .headers
            .iter()
            .map(|(_, v)| v.expose().as_str())
            .collect();
        assert_eq!(values, ["Bearer new"]);
    }

    #[test]
    fn what_fails_in_xiaozhi_fails_here_and_says_how() {
        let entry = |fields: &str| format!(r#"{{"mcpServers":{{"agentkeys":{{{fields}}}}}}}"#);
        let http = r#""url":"http://h/mcp","transport":"streamable-http""#;
        for (text, words) in [
            ("\u{feff}{}".to_owned(), "byte-order mark"),
            (r#"{"mcpServers":{},}"#.to_owned(), "strict JSON"),
            ("{}".to_owned(), "no object `mcpServers`"),
            (r#"{"mcpServers":{"_note":"x"}}"#.to_owned(), "aborts all"),
            (entry(r#""url":"http://h/mcp""#), "`transport` is missing"),
            (
                entry(r#""url":"http://h/mcp","transport":"streamableHttp""#),
                "SSE",
            ),
            (entry(r#""url":"http://h/mcp","type":"http""#), "SSE"),
            (
                entry(r#""command":"npx","url":"http://h""#),
                "local process",
            ),
            (entry(r#""transport":"http""#), "skips it"),
            (
                entry(&format!(r#"{http},"headers":{{"X":"小明"}}"#)),
                "not ASCII",
            ),
            (
                entry(&format!(r#"{http},"headers":{{"X":7}}"#)),
                "not a string",
            ),
            (entry(&format!(r#"{http},"timeout":"30""#)), "`timeout`"),
        ] {
            let got = parse(&text).unwrap_err();
            assert!(got.contains(words), "{text} -> {got}");
            assert!(!got.contains("小明"));
        }
    }
}
