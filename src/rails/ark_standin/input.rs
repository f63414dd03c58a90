//! A request's `input`: what it adds to the conversation, and the approvals it answers. Items of a
//! kept response go through the same reading, so that a conversation carried by hand and one
//! carried by `previous_response_id` are the same to the scripted model.

use serde_json::{Map, Value};

use super::error::ArkError;
use super::store::MOST_ITEMS;

/// One thing that was said or done, as far as the scripted model needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Past {
    /// A user's words.
    User(String),
    /// A call that waits, or waited, for an approval.
    Request(Request),
    /// An approval answered.
    Reply(Reply),
    /// A call made.
    Call { tool: String },
}

/// A `mcp_approval_request`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) tool: String,
    /// JSON text.
    pub(super) arguments: String,
}

/// A `mcp_approval_response`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) request: String,
    pub(super) approve: bool,
    pub(super) reason: Option<String>,
}

/// An approval of this request, with the call it is about.
#[derive(Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) label: String,
    pub(super) tool: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) approve: bool,
    pub(super) reason: Option<String>,
}

impl Past {
    /// Bytes it holds, for the store's bound.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::User(text) => text.len(),
                Self::Request(r) => r.label.len() + r.tool.len() + r.arguments.len(),
                Self::Reply(r) => r.reason.as_ref().map_or(0, String::len),
                Self::Call { tool } => tool.len(),
            }
    }

    /// What an item of an output leaves behind.
    pub(super) fn of_output(items: &[Value]) -> Vec<Self> {
        let read = |item| past(item, "").ok().flatten();
        items.iter().filter_map(read).collect()
    }
}

/// Reads `input`.
pub(super) fn read(input: Option<&Value>) -> Result<Vec<Past>, ArkError> {
    let items = match input {
        None => return Err(ArkError::missing("input")),
        Some(Value::String(text)) if text.is_empty() => return Err(ArkError::missing("input")),
        Some(Value::String(text)) => return Ok(vec![Past::User(text.clone())]),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(ArkError::invalid("input", "is neither a string nor a list")),
    };
    if items.len() > MOST_ITEMS {
        let why = format!("holds more than {MOST_ITEMS} items");
        return Err(ArkError::invalid("input", &why));
    }
    let mut out = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        out.extend(past(item, &format!("input[{i}]"))?);
    }
    Ok(out)
}

fn past(item: &Value, at: &str) -> Result<Option<Past>, ArkError> {
    if !item.is_object() {
        return Err(ArkError::invalid(at, "is not an object"));
    }
    let text = |field: &str| {
        let value = item.get(field).and_then(Value::as_str);
        value
            .map(str::to_owned)
            .ok_or_else(|| ArkError::missing(&format!("{at}.{field}")))
    };
    let kind = match item.get("type") {
        None => "message",
        Some(kind) => kind.as_str().unwrap_or_default(),
    };
    Ok(Some(match kind {
        "message" => return message(item, at),
        "mcp_approval_request" => Past::Request(Request {
            id: text("id").unwrap_or_default(),
            label: text("server_label")?,
            tool: text("name")?,
            arguments: text("arguments")?,
        }),
        "mcp_approval_response" => Past::Reply(Reply {
            request: text("approval_request_id")?,
            approve: item
                .get("approve")
                .and_then(Value::as_bool)
                .ok_or_else(|| ArkError::missing(&format!("{at}.approve")))?,
            reason: text("reason").ok(),
        }),
        "mcp_call" => Past::Call {
            tool: text("name")?,
        },
        // They change nothing that the scripted model does.
        "mcp_list_tools"
        | "function_call"
        | "function_call_output"
        | "reasoning"
        | "item_reference" => return Ok(None),
        _ => {
            let at = format!("{at}.type");
            return Err(ArkError::invalid(&at, "is no item that the stand-in knows"));
        }
    }))
}

fn message(item: &Value, at: &str) -> Result<Option<Past>, ArkError> {
    let role = item.get("role").and_then(Value::as_str).unwrap_or_default();
    if !matches!(role, "user" | "assistant" | "system" | "developer") {
        let why = "invalid value, supported values are: `system`, `assistant`, `user`, `developer`";
        return Err(ArkError::invalid(&format!("{at}.role"), why));
    }
    let said = match item.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter(|p| p.get("type").and_then(Value::as_str) == Some("input_text"))
            .filter_map(|p| p.get("text").and_then(Value::as_str))
            .collect::<Vec<_>>()
            .join("\n"),
        _ => return Err(ArkError::missing(&format!("{at}.content"))),
    };
    Ok((role == "user" && !said.is_empty()).then_some(Past::User(said)))
}

/// The approvals that the newest input answers, each with its request from anywhere before it.
pub(super) fn answered(before: &[Past], new: &[Past]) -> Result<Vec<Answered>, ArkError> {
    let mut out = Vec::new();
    for (i, past) in new.iter().enumerate() {
        let Past::Reply(reply) = past else { continue };
        let known = || before.iter().chain(&new[..i]);
        let bad = |why: &str| ArkError::invalid("input.approval_request_id", why);
        let request = known().find_map(|p| match p {
            Past::Request(r) if !r.id.is_empty() && r.id == reply.request => Some(r),
            _ => None,
        });
        let request =
            request.ok_or_else(|| bad("names no approval request of this conversation"))?;
        if known().any(|p| matches!(p, Past::Reply(r) if r.request == reply.request)) {
            return Err(bad("is answered already"));
        }
        let arguments = serde_json::from_str(&request.arguments)
            .map_err(|_| ArkError::invalid("input.arguments", "is not a JSON object"))?;
        out.push(Answered {
            label: request.label.clone(),
            tool: request.tool.clone(),
            arguments,
            approve: reply.approve,
            reason: reply.reason.clone(),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn every_documented_item_is_read_and_nothing_else() {
        let input = json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image"}, {"type": "input_text", "text": "b"}]},
            {"type": "message", "role": "assistant", "content": "yes", "id": "msg_1", "status": "completed"},
            {"type": "mcp_list_tools", "server_label": "l", "tools": []},
            {"type": "mcp_call", "server_label": "l", "name": "t"},
            {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "l", "name": "t", "arguments": "{}"},
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": false, "reason": "no", "id": null},
            {"type": "function_call_output", "call_id": "c", "output": "o"},
            {"type": "reasoning", "status": "completed"},
        ]);
        let past = read(Some(&input)).unwrap();
        assert_eq!(past.len(), 4, "{past:?}");
        assert_eq!(past[0], Past::User("a\nb".to_owned()));
        assert_eq!(
            answered(&[], &past).unwrap(),
            [Answered {
                label: "l".to_owned(),
                tool: "t".to_owned(),
                arguments: Map::new(),
                approve: false,
                reason: Some("no".to_owned()),
            }]
        );
        for wrong in [
            json!(7),
            json!([7]),
            json!([{"type": "computer_call"}]),
            json!([{"type": null}]),
            json!([{"role": "robot", "content": "x"}]),
            json!([{"role": "user"}]),
            json!([{"type": "mcp_approval_response", "approval_request_id": "mcpr_1"}]),
            json!([{"type": "mcp_approval_response", "approve": true}]),
            Value::Array(vec![
                json!({"role": "user", "content": "x"});
                MOST_ITEMS + 1
            ]),
        ] {
            assert!(read(Some(&wrong)).is_err());
        }
        assert!(read(None).is_err());
    }

    #[test]
    fn an_approval_answers_a_request_of_the_conversation_once() {
        let request = Past::Request(Request {
            id: "mcpr_1".to_owned(),
            label: "l".to_owned(),
            tool: "t".to_owned(),
            arguments: r#"{"a":1}"#.to_owned(),
        });
        let reply = Past::Reply(Reply {
            request: "mcpr_1".to_owned(),
            approve: true,
            reason: None,
        });
        let new = [reply.clone()];
        assert_eq!(
            answered(std::slice::from_ref(&request), &new)
                .unwrap()
                .len(),
            1
        );
        assert!(answered(&[], &new).is_err());
        assert!(answered(&[request.clone(), reply.clone()], &new).is_err());
        assert!(answered(&[], &[request, reply.clone(), reply]).is_err());
    }
}
