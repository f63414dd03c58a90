//! What a server lists, as a host asks for it.

use serde_json::{Value, json};

use super::client::Client;
use super::mcp::{Ask, USUAL, credentials};
use super::{AcceptError, Trust};

/// The tools of a server's `tools/list`, for a token and, when it is not pinned to one, an actor.
pub async fn tools(
    url: &str,
    trust: &Trust,
    token: &str,
    actor: Option<&str>,
) -> Result<Vec<Value>, AcceptError> {
    let client = Client::new(url, trust, None).await?;
    let (mut headers, body) = USUAL.request(Ask::List, &json!({}), 1);
    headers.extend(credentials(token, actor));
    let mut reply = client.post("/mcp", &headers, &body).await?;
    match reply.json.pointer_mut("/result/tools").map(Value::take) {
        Some(Value::Array(tools)) if reply.status == 200 => Ok(tools),
        _ => Err(AcceptError::protocol("tools/list", reply.told())),
    }
}
