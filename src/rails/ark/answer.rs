//! What comes back: items read by their `type` string, with absent fields tolerated, since Ark's SDKs
//! disagree about which are there.

use serde_json::Value;

/// One tool of a `mcp_list_tools` item.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedTool {
    /// Its name.
    pub name: String,
    /// Its description, if told.
    pub description: Option<String>,
    /// Its input schema; null if absent.
    pub input_schema: Value,
}

/// One item of a response's output.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// `mcp_list_tools`.
    ListTools {
        /// Which server.
        server_label: String,
        /// Its tools.
        tools: Vec<ListedTool>,
        /// Why there are none.
        error: Option<String>,
    },
    /// `mcp_approval_request`.
    ApprovalRequest {
        /// What an approval response refers to.
        id: String,
        /// Which server.
        server_label: String,
        /// Which tool.
        name: String,
        /// Its arguments, as the JSON text that came.
        arguments: String,
    },
    /// `mcp_call`.
    Call {
        /// Which server.
        server_label: String,
        /// Which tool.
        name: String,
        /// Its arguments, as the JSON text that came.
        arguments: String,
        /// What the tool answered.
        output: Option<String>,
        /// What went wrong.
        error: Option<String>,
    },
    /// `message`: the model's words.
    Message {
        /// All its text parts, joined.
        text: String,
    },
    /// Anything else (`reasoning`, …), kept as it came.
    Other {
        /// Its `type`.
        kind: String,
    },
}

/// A response.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `resp_…`.
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// `completed`, `failed`, `incomplete`, `in_progress`.
    pub status: String,
    /// Its items, in order.
    pub output: Vec<Item>,
    /// The whole answer as it came.
    pub raw: Value,
    /// True if the answer says that the stand-in made it.
    pub stand_in: bool,
}

impl Response {
    /// The ids of the calls that wait for an approval.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.output.iter().filter_map(|item| match item {
            Item::ApprovalRequest { id, .. } => Some(id.as_str()),
            _ => None,
        })
    }

    /// Why a response with status `failed` failed: Ark's code and words.
    pub fn failure(&self) -> Option<String> {
        let error = self.raw.get("error").filter(|e| e.is_object())?;
        Some(format!(
            "{}: {}",
            string(error, "code"),
            string(error, "message")
        ))
    }

    /// The words for a report: who really answered.
    pub const fn via(&self) -> &'static str {
        if self.stand_in {
            "stand-in, scripted model"
        } else {
            "ark"
        }
    }
}

/// Reads an object of type `response`.
pub(super) fn read(raw: Value, stand_in: bool) -> Response {
    let output = raw
        .get("output")
        .and_then(Value::as_array)
        .map(|items| items.iter().map(item).collect())
        .unwrap_or_default();
    Response {
        id: string(&raw, "id"),
        model: string(&raw, "model"),
        status: string(&raw, "status"),
        output,
        raw,
        stand_in,
    }
}

fn item(raw: &Value) -> Item {
    let kind = string(raw, "type");
    match kind.as_str() {
        "mcp_list_tools" => Item::ListTools {
            server_label: string(raw, "server_label"),
            tools: raw
                .get("tools")
                .and_then(Value::as_array)
                .map(|tools| tools.iter().map(listed).collect())
                .unwrap_or_default(),
            error: told(raw, "error"),
        },
        "mcp_approval_request" => Item::ApprovalRequest {
            id: string(raw, "id"),
            server_label: string(raw, "server_label"),
            name: string(raw, "name"),
            arguments: string(raw, "arguments"),
        },
        "mcp_call" => Item::Call {
            server_label: string(raw, "server_label"),
            name: string(raw, "name"),
            arguments: string(raw, "arguments"),
            output: told(raw, "output"),
            error: told(raw, "error"),
        },
        "message" => Item::Message { text: words(raw) },
        _ => Item::Other { kind },
    }
}

fn listed(raw: &Value) -> ListedTool {
    ListedTool {
        name: string(raw, "name"),
        description: told(raw, "description"),
        input_schema: raw.get("input_schema").cloned().unwrap_or_default(),
    }
}

fn words(raw: &Value) -> String {
    match raw.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|p| string(p, "text")).collect(),
        _ => String::new(),
    }
}

pub(super) fn string(raw: &Value, field: &str) -> String {
    raw.get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A string field, or another value's JSON (Ark types `error` as a string; be ready for an object).
fn told(raw: &Value, field: &str) -> Option<String> {
    match raw.get(field) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    }
}
