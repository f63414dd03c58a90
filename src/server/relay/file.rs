//! A connection to a relay, as a file: the address has a token in it, so it is kept like a key.

use super::super::socket::MAX_FRAME;
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use serde::Deserialize;
use std::path::Path;

/// What `xiaozhi.me` takes of an answer (`formats/xiaozhi.md` §3).
const MAX_AT_XIAOZHI_ME: usize = 8192;

/// One agent's connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// What it is called in messages: the file's name.
    pub name: String,
    /// `ws://` or `wss://…/mcp_endpoint/mcp/?token=…`.
    pub endpoint: Secret<String>,
    /// Our own token: for which actor this agent speaks.
    pub token: Secret<String>,
    /// The longest answer the relay takes, in bytes.
    pub max_answer: usize,
    /// PEM certificates to trust besides the usual ones.
    pub ca: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    endpoint: String,
    token: String,
    max_answer_bytes: Option<usize>,
}

impl Connection {
    /// Reads `{"endpoint": "wss://…", "token": "…", "max_answer_bytes"?: n}` from a file that only
    /// its owner can read.
    ///
    /// # Errors
    /// When it cannot be read, is not that, or the address is none of a WebSocket.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let shown = path.display();
        let text = crate::folder::private_file(path)?;
        let unusable = |cause: String| {
            Problem::new(
                Exit::Config,
                "agentkeys.relay.file_invalid",
                format!("{shown}: {cause}"),
                "write {\"endpoint\": \"wss://…/mcp_endpoint/mcp/?token=…\", \"token\": \"…\"}",
            )
        };
        let text: Text = serde_json::from_str(text.expose())
            // Place and kind of the mistake; the message could quote what is secret.
            .map_err(|e| unusable(format!("not what is expected at line {}", e.line())))?;
        let uri: http::Uri = text
            .endpoint
            .parse()
            .map_err(|_| unusable("the endpoint is no address".to_owned()))?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if !matches!(uri.scheme_str(), Some("ws" | "wss")) || host.is_empty() {
            return Err(unusable(
                "the endpoint is not a ws:// or wss:// address".to_owned(),
            ));
        }
        let cloud = host == "xiaozhi.me" || host.ends_with(".xiaozhi.me");
        let most = if cloud { MAX_AT_XIAOZHI_ME } else { MAX_FRAME };
        Ok(Self {
            name: path
                .file_stem()
                .map_or_else(|| shown.to_string(), |n| n.to_string_lossy().into_owned()),
            endpoint: Secret::new(text.endpoint),
            token: Secret::new(text.token),
            max_answer: text.max_answer_bytes.unwrap_or(most).min(MAX_FRAME),
            ca: None,
        })
    }

    /// The robots' side of the same relay, when it has one that we can open.
    pub(super) fn other_side(&self) -> Option<Secret<String>> {
        let endpoint = self.endpoint.expose();
        endpoint
            .contains("/mcp_endpoint/mcp/")
            .then(|| Secret::new(endpoint.replacen("/mcp_endpoint/mcp/", "/mcp_endpoint/call/", 1)))
    }
}
