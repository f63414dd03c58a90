//! The scripted model: what it does next follows from the conversation, the prompt table and the
//! tools that the servers listed, and from nothing else.

use rmcp::model::Tool;
use serde_json::Map;

use super::input::Past;
use super::prompts::{Prompts, Row, Step, same_tool};
use super::request::Choice;

/// What the model means to do about the last user text.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Calls, one after the other.
    pub(super) steps: Vec<Step>,
    /// On which server; any, if not said.
    pub(super) label: Option<String>,
}

impl Plan {
    /// Makes the plan. `tools` are those listed, in order, each with the label of its server.
    pub(super) fn make(
        prompts: &Prompts,
        choice: &Choice,
        said: Option<&str>,
        tools: &[(&str, &Tool)],
    ) -> Self {
        let row = said.and_then(|said| prompts.choose(said)).map(Row::steps);
        match choice {
            Choice::None => Self::default(),
            Choice::Auto => Self::of(row, None),
            Choice::Required => Self::of(row.or_else(|| harmless(tools)), None),
            Choice::Mcp { label, name: None } => {
                let here: Vec<_> = tools.iter().copied().filter(|(l, _)| l == label).collect();
                let fits = |steps: &Vec<Step>| {
                    let first = steps.first();
                    here.iter()
                        .any(|(_, t)| first.is_some_and(|s| same_tool(&t.name, &s.tool)))
                };
                Self::of(row.filter(fits).or_else(|| harmless(&here)), Some(label))
            }
            Choice::Mcp {
                label,
                name: Some(name),
            } => {
                // A forced tool needs no row: the caller has chosen, and no arguments are known.
                let row = prompts.forced(said.unwrap_or_default(), name);
                let step = Step {
                    tool: name.clone(),
                    arguments: row.map(|r| r.arguments.clone()).unwrap_or_default(),
                };
                Self::of(Some(vec![step]), Some(label))
            }
        }
    }

    fn of(steps: Option<Vec<Step>>, label: Option<&String>) -> Self {
        Self {
            steps: steps.unwrap_or_default(),
            label: label.cloned(),
        }
    }

    /// How many steps are done already, by the calls since the last user text.
    pub(super) fn done(&self, past: &[Past]) -> usize {
        let since = past.iter().rposition(|p| matches!(p, Past::User(_)));
        let mut done = 0;
        for past in &past[since.map_or(0, |i| i + 1)..] {
            if let (Past::Call { tool }, Some(step)) = (past, self.steps.get(done))
                && same_tool(tool, &step.tool)
            {
                done += 1;
            }
        }
        done
    }
}

/// A model that must call something and knows nothing to call takes the first tool that needs no
/// argument.
fn harmless(tools: &[(&str, &Tool)]) -> Option<Vec<Step>> {
    let needs_none = |tool: &Tool| {
        let required = tool.input_schema.get("required").and_then(|r| r.as_array());
        required.is_none_or(Vec::is_empty)
    };
    let (_, tool) = tools.iter().find(|(_, tool)| needs_none(tool))?;
    Some(vec![Step {
        tool: tool.name.to_string(),
        arguments: Map::new(),
    }])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn tool(name: &str, required: &[&str]) -> Tool {
        let schema = json!({"type": "object", "properties": {}, "required": required});
        serde_json::from_value(json!({"name": name, "inputSchema": schema})).unwrap()
    }

    fn mcp(label: &str, name: Option<&str>) -> Choice {
        Choice::Mcp {
            label: label.to_owned(),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn the_choice_decides_between_table_server_and_tool() {
        let prompts = Prompts::built_in().unwrap();
        let (get, who, other) = (
            tool("agentkeys_memory_get", &["namespace"]),
            tool("agentkeys_identity_whoami", &[]),
            tool("other", &[]),
        );
        let tools = [("a", &get), ("a", &who), ("b", &other)];
        let names = |choice: &Choice, said: &str| -> String {
            let plan = Plan::make(&prompts, choice, Some(said), &tools);
            let names: Vec<_> = plan.steps.iter().map(|s| s.tool.as_str()).collect();
            names.join(" ")
        };
        let (song, trip) = ("sing a song", "my trip?");
        for (choice, said, calls) in [
            (Choice::Auto, song, ""),
            (Choice::Auto, trip, "agentkeys.memory.get"),
            (Choice::None, trip, ""),
            (Choice::Required, song, "agentkeys_identity_whoami"),
            (Choice::Required, trip, "agentkeys.memory.get"),
            (mcp("a", None), trip, "agentkeys.memory.get"),
            (mcp("a", None), song, "agentkeys_identity_whoami"),
            (mcp("b", None), trip, "other"),
            (mcp("b", Some("other")), trip, "other"),
            (
                Choice::Auto,
                "plan my weekend",
                "agentkeys.memory.get agentkeys.permission.check",
            ),
        ] {
            assert_eq!(names(&choice, said), calls, "{choice:?} {said}");
        }
        let forced = Plan::make(
            &prompts,
            &mcp("a", Some("agentkeys_memory_get")),
            None,
            &tools,
        );
        assert_eq!(forced.label.unwrap(), "a");
        assert_eq!(forced.steps[0].arguments["namespace"], "family");
    }

    #[test]
    fn the_calls_since_the_last_user_text_are_steps_done() {
        let prompts = Prompts::built_in().unwrap();
        let plan = Plan::make(&prompts, &Choice::Auto, Some("plan my weekend"), &[]);
        let user = || Past::User("plan my weekend".to_owned());
        let call = |tool: &str| Past::Call {
            tool: tool.to_owned(),
        };
        let (get, check) = ("agentkeys_memory_get", "agentkeys_permission_check");
        for (past, done) in [
            (vec![], 0),
            (vec![user()], 0),
            (vec![user(), call(check)], 0),
            (vec![user(), call(get)], 1),
            (vec![user(), call(get), call(get)], 1),
            (vec![user(), call(get), call(check), call(get)], 2),
            (vec![call(get), user()], 0),
        ] {
            assert_eq!(plan.done(&past), done, "{past:?}");
        }
    }
}
