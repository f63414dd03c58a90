//! The scripted model's whole knowledge: which words lead to which tool.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::rails::RailError;

/// One row: the first row that fits the last user text is what the scripted model does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Fits if any of these does.
    #[serde(rename = "match")]
    words: Vec<Words>,
    /// The tool it calls, dotted or with underscores.
    pub tool: String,
    /// The arguments it writes.
    pub arguments: Map<String, Value>,
    /// What it calls after that, one by one.
    #[serde(default)]
    pub then: Vec<Step>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The tool, dotted or with underscores.
    pub tool: String,
    /// The arguments.
    pub arguments: Map<String, Value>,
}

/// One string that must appear, or several that must all appear.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    All(Vec<String>),
}

/// The prompt table.
#[derive(Debug, Clone)]
pub struct Prompts(Vec<Row>);

impl Prompts {
    /// Parses a table; `what` names it in errors.
    pub fn parse(what: &str, text: &str) -> Result<Self, RailError> {
        let mut rows: Vec<Row> = serde_json::from_str(text).map_err(|e| RailError::Input {
            what: what.to_owned(),
            cause: format!("is not a prompt table: {e}"),
        })?;
        for row in &mut rows {
            row.words.iter_mut().for_each(Words::lower);
        }
        Ok(Self(rows))
    }

    /// The built-in table, `fixtures/ark_prompts.json`.
    pub fn built_in() -> Result<Self, RailError> {
        Self::parse(
            "fixtures/ark_prompts.json",
            include_str!("../../../fixtures/ark_prompts.json"),
        )
    }

    /// The first row that fits.
    pub fn choose(&self, said: &str) -> Option<&Row> {
        let said = said.to_lowercase();
        self.0.iter().find(|row| row.fits(&said))
    }

    /// What to do when the caller forces a tool: its row that fits, else its first row.
    pub fn forced(&self, said: &str, tool: &str) -> Option<&Row> {
        let said = said.to_lowercase();
        let of_tool = || self.0.iter().filter(|row| same_tool(&row.tool, tool));
        of_tool()
            .find(|row| row.fits(&said))
            .or_else(|| of_tool().next())
    }
}

impl Row {
    /// All its calls, in order.
    pub fn steps(&self) -> Vec<Step> {
        let first = Step {
            tool: self.tool.clone(),
            arguments: self.arguments.clone(),
        };
        let mut steps = vec![first];
        steps.extend(self.then.iter().cloned());
        steps
    }

    fn fits(&self, said: &str) -> bool {
        self.words.iter().any(|words| match words {
            Words::One(word) => said.contains(word.as_str()),
            Words::All(all) => all.iter().all(|word| said.contains(word.as_str())),
        })
    }
}

impl Words {
    fn lower(&mut self) {
        match self {
            Self::One(word) => *word = word.to_lowercase(),
            Self::All(all) => all.iter_mut().for_each(|word| *word = word.to_lowercase()),
        }
    }
}

/// `agentkeys.memory.get` and `agentkeys_memory_get` are one tool.
pub(super) fn same_tool(a: &str, b: &str) -> bool {
    let plain = |c: char| if c == '.' { '_' } else { c };
    a.chars().map(plain).eq(b.chars().map(plain))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_built_in_table_knows_the_three_acts_in_both_languages() {
        let table = Prompts::built_in().unwrap();
        for (said, tool, needle) in [
            (
                "Where am I going THIS weekend?",
                "agentkeys.memory.get",
                "travel",
            ),
            ("周末我要去哪儿？", "agentkeys.memory.get", "travel"),
            ("Order hotpot for ¥600", "agentkeys.permission.check", "600"),
            ("点一份火锅，200元", "agentkeys.permission.check", "200"),
            ("太太的生日是哪天？", "agentkeys.memory.get", "family"),
            (
                "Am I allergic to anything?",
                "agentkeys.memory.get",
                "personal",
            ),
            ("请记住我的行程", "agentkeys.memory.put", "Chengdu"),
            ("安排周末", "agentkeys.memory.get", "travel"),
            ("Who am I?", "agentkeys.identity.whoami", "{}"),
        ] {
            let row = table.choose(said).unwrap();
            assert_eq!(row.tool, tool, "{said}");
            let arguments = Value::Object(row.arguments.clone()).to_string();
            assert!(arguments.contains(needle), "{said} -> {arguments}");
        }
        assert!(table.choose("Sing me a song").is_none());
    }

    #[test]
    fn a_forced_tool_takes_its_own_row() {
        let table = Prompts::built_in().unwrap();
        let row = table
            .forced("hotpot for 200", "agentkeys_memory_get")
            .unwrap();
        assert_eq!(row.tool, "agentkeys.memory.get");
        assert!(table.forced("x", "other.tool").is_none());
        assert!(
            Prompts::parse("f", r#"[{"match":["a"],"tool":"t","arguments":{},"x":1}]"#).is_err()
        );
    }
}
