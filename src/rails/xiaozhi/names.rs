//! Tool names as xiaozhi-server shows them to its model, and the way back.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

/// A tool as this host lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSeen {
    /// The name its model sees and asks for.
    pub tool: String,
    /// The server's own name, which goes on the wire.
    pub wire_name: String,
    /// The server's description, unchanged.
    pub description: Option<String>,
    /// The server's input schema, unchanged.
    pub input_schema: Value,
    /// Whether the server promises structured content (then a result without it is a failure).
    pub has_output_schema: bool,
}

/// Something about the list that will surprise whoever uses this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Several tools have one name here; only the last listed is reachable.
    Clash {
        /// The shared name.
        tool: String,
        /// The server's names, in its order; the last one wins.
        wire_names: Vec<String>,
    },
    /// A name that starts with `mcp_` is listed, and never found when called.
    Uncallable {
        /// The name.
        tool: String,
    },
    /// A further page was offered; this host reads only the first.
    MorePages,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clash { tool, wire_names } => write!(
                f,
                "{} are all `{tool}` on this host; only the last can be reached",
                wire_names.join(", ")
            ),
            Self::Uncallable { tool } => {
                write!(
                    f,
                    "`{tool}` is listed, and cannot be called: this host strips the prefix `mcp_`"
                )
            }
            Self::MorePages => {
                f.write_str("the list has further pages, which this host never reads")
            }
        }
    }
}

/// `re.sub(r"[^a-zA-Z0-9_\-\u4e00-\u9fff]", "_", name)`.
pub fn sanitise(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '\u{4e00}'..='\u{9fff}' => c,
            _ => '_',
        })
        .collect()
}

/// Reads the `tools` of a list answer, failing where the Python SDK's types would.
pub(super) fn read(result: &Value) -> Result<(Vec<ToolSeen>, Vec<Finding>), String> {
    let listed = result
        .get("tools")
        .and_then(Value::as_array)
        .ok_or("the answer has no list `tools`")?;
    let mut tools = Vec::with_capacity(listed.len());
    for tool in listed {
        let wire_name = tool
            .get("name")
            .and_then(Value::as_str)
            .ok_or("a tool has no `name`: the whole list is lost")?;
        let input_schema = tool
            .get("inputSchema")
            .filter(|s| s.is_object())
            .ok_or_else(|| {
                format!("`{wire_name}` has no object `inputSchema`: the whole list is lost")
            })?;
        tools.push(ToolSeen {
            tool: sanitise(wire_name),
            wire_name: wire_name.to_owned(),
            description: tool
                .get("description")
                .and_then(Value::as_str)
                .map(str::to_owned),
            input_schema: input_schema.clone(),
            has_output_schema: tool.get("outputSchema").is_some_and(|s| !s.is_null()),
        });
    }
    let mut found = findings(&tools);
    if result.get("nextCursor").is_some_and(|c| !c.is_null()) {
        found.push(Finding::MorePages);
    }
    Ok((tools, found))
}

fn findings(tools: &[ToolSeen]) -> Vec<Finding> {
    let mut by_name: HashMap<&str, Vec<String>> = HashMap::new();
    for tool in tools {
        by_name
            .entry(&tool.tool)
            .or_default()
            .push(tool.wire_name.clone());
    }
    let mut out = Vec::new();
    for tool in tools {
        if let Some(wire_names) = by_name.remove(tool.tool.as_str())
            && wire_names.len() > 1
        {
            out.push(Finding::Clash {
                tool: tool.tool.clone(),
                wire_names,
            });
        }
        if tool.tool.starts_with("mcp_") {
            out.push(Finding::Uncallable {
                tool: tool.tool.clone(),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_changed_as_the_host_changes_them() {
        assert_eq!(sanitise("agentkeys.memory.get"), "agentkeys_memory_get");
        assert_eq!(sanitise("查天气.now-1"), "查天气_now-1");
        assert_eq!(sanitise("a b/é🍲"), "a_b___");
    }

    #[test]
    fn clashes_and_unreachable_tools_are_found() {
        let schema = json!({"type":"object"});
        let (tools, found) = read(&json!({"nextCursor":"x","tools":[
            {"name":"a.b","inputSchema":schema},
            {"name":"mcp_x","inputSchema":schema},
            {"name":"a_b","inputSchema":schema},
        ]}))
        .unwrap();
        assert_eq!(tools.len(), 3);
        assert_eq!(
            found,
            [
                Finding::Clash {
                    tool: "a_b".to_owned(),
                    wire_names: vec!["a.b".to_owned(), "a_b".to_owned()]
                },
                Finding::Uncallable {
                    tool: "mcp_x".to_owned()
                },
                Finding::MorePages,
            ]
        );
    }

    #[test]
    fn one_tool_without_a_schema_loses_the_list() {
        assert!(
            read(&json!({"tools":[{"name":"a"}]}))
                .unwrap_err()
                .contains("whole list")
        );
    }
}
