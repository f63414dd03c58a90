//! What a server lists, as a host asks for it.

use serde_json::{Value, json};

use super::answer::besides;
use super::client::Client;
use super::mcp::{Ask, USUAL, credentials};
use super::{AcceptError, Trust};

/// What a list holds: no second page of it, and nothing besides that a model may be shown.
pub(super) const LIST: &[&str] = &["cacheScope", "resultType", "tools", "ttlMs"];

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
    if let Some(more) = besides(&reply.json["result"], LIST) {
        return Err(AcceptError::protocol("tools/list", more));
    }
    match reply.json.pointer_mut("/result/tools").map(Value::take) {
        Some(Value::Array(tools)) if reply.status == 200 => Ok(tools),
        _ => Err(AcceptError::protocol("tools/list", reply.told())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_no_second_page_and_nothing_besides() {
        let list = |key: &str| json!({"tools": [], "ttlMs": 0, key: "x"});
        assert_eq!(besides(&list("cacheScope"), LIST), None);
        for more in ["nextCursor", "_meta", "instructions"] {
            assert!(besides(&list(more), LIST).is_some_and(|m| m.contains(more)));
        }
    }
}
