//! The items of a response's output, field for field as Ark's SDK types them (`formats/ark.md`
//! §2.3). An `mcp_call` has neither a status nor the id of its approval.

use rmcp::model::Tool;
use serde_json::{Value, json};

pub(super) fn list_tools(id: &str, label: &str, tools: &[Tool], error: Option<&str>) -> Value {
    let tools: Vec<Value> = tools.iter().map(listed).collect();
    let mut item = json!({
        "type": "mcp_list_tools", "id": id, "server_label": label, "tools": tools,
    });
    set(&mut item, "error", error);
    item
}

fn listed(tool: &Tool) -> Value {
    let mut out = json!({"name": tool.name});
    set(&mut out, "description", tool.description.as_deref());
    out["input_schema"] = Value::Object(tool.input_schema.as_ref().clone());
    let annotations = tool.annotations.as_ref();
    if let Some(annotations) = annotations.and_then(|a| serde_json::to_value(a).ok()) {
        out["annotations"] = annotations;
    }
    out
}

pub(super) fn approval_request(id: &str, label: &str, tool: &str, arguments: &str) -> Value {
    json!({
        "type": "mcp_approval_request", "id": id, "name": tool, "arguments": arguments,
        "server_label": label,
    })
}

/// A call that is over; the answer is the tool's words, or what went wrong.
pub(super) fn call(
    id: &str,
    label: &str,
    tool: &str,
    arguments: &str,
    answer: Result<&str, &str>,
) -> Value {
    let mut item = json!({
        "type": "mcp_call", "id": id, "name": tool, "arguments": arguments, "server_label": label,
    });
    set(&mut item, "output", answer.ok());
    set(&mut item, "error", answer.err());
    item
}

/// A call that begins: its arguments are streamed, so they are absent.
pub(super) fn call_begun(id: &str, label: &str, tool: &str) -> Value {
    json!({"type": "mcp_call", "id": id, "name": tool, "server_label": label})
}

/// The model's words.
pub(super) fn message(id: &str, text: &str) -> Value {
    json!({
        "type": "message", "role": "assistant", "content": [part(text)], "status": "completed",
        "id": id,
    })
}

/// A message that begins.
pub(super) fn message_begun(id: &str) -> Value {
    json!({
        "type": "message", "role": "assistant", "content": [], "status": "in_progress", "id": id,
    })
}

/// The one part of a message.
pub(super) fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text})
}

fn set(item: &mut Value, field: &str, text: Option<&str>) {
    if let Some(text) = text {
        item[field] = text.into();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tool(described: bool) -> Tool {
        let mut tool = json!({
            "name": "agentkeys_memory_get",
            "inputSchema": {"type": "object", "properties": {}, "required": []},
        });
        if described {
            tool["description"] = "Reads.".into();
            tool["annotations"] = json!({"readOnlyHint": true});
        }
        serde_json::from_value(tool).unwrap()
    }

    #[test]
    fn each_item_is_exactly_what_arks_sdk_types() {
        let cases = [
            (
                list_tools("mcpl_1", "agentkeys", &[tool(true), tool(false)], None),
                concat!(
                    r#"{"type":"mcp_list_tools","id":"mcpl_1","server_label":"agentkeys","tools":["#,
                    r#"{"name":"agentkeys_memory_get","description":"Reads.","#,
                    r#""input_schema":{"type":"object","properties":{},"required":[]},"annotations":{"readOnlyHint":true}},"#,
                    r#"{"name":"agentkeys_memory_get","input_schema":{"type":"object","properties":{},"required":[]}}]}"#,
                ),
            ),
            (
                list_tools("mcpl_1", "agentkeys", &[], Some("HTTP 401")),
                r#"{"type":"mcp_list_tools","id":"mcpl_1","server_label":"agentkeys","tools":[],"error":"HTTP 401"}"#,
            ),
            (
                approval_request(
                    "mcpr_1",
                    "agentkeys",
                    "agentkeys_memory_get",
                    r#"{"a":"火"}"#,
                ),
                r#"{"type":"mcp_approval_request","id":"mcpr_1","name":"agentkeys_memory_get","arguments":"{\"a\":\"火\"}","server_label":"agentkeys"}"#,
            ),
            (
                call("mcp_1", "agentkeys", "t", "{}", Ok("火锅\n")),
                r#"{"type":"mcp_call","id":"mcp_1","name":"t","arguments":"{}","server_label":"agentkeys","output":"火锅\n"}"#,
            ),
            (
                call("mcp_1", "agentkeys", "t", "{}", Err("no")),
                r#"{"type":"mcp_call","id":"mcp_1","name":"t","arguments":"{}","server_label":"agentkeys","error":"no"}"#,
            ),
            (
                call_begun("mcp_1", "agentkeys", "t"),
                r#"{"type":"mcp_call","id":"mcp_1","name":"t","server_label":"agentkeys"}"#,
            ),
            (
                message("msg_1", "hi"),
                r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}],"status":"completed","id":"msg_1"}"#,
            ),
            (
                message_begun("msg_1"),
                r#"{"type":"message","role":"assistant","content":[],"status":"in_progress","id":"msg_1"}"#,
            ),
        ];
        for (item, exact) in cases {
            assert_eq!(item.to_string(), exact);
        }
    }
}
