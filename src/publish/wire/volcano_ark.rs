//! Doubao on Volcano Ark: the tool entry of the Responses API, and what goes with it for people.
//!
//! Nothing of Ark's lies on anybody's disk, so there is no file to edit: the entry is printed, or
//! written into a folder with a shell script, a Python script and the console's steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::Value as Input;
use serde_json::{Value, json};

use super::change::{Backup, Change};
use super::file::{HostFile, Written};
use super::{Access, Flaw, Kind, WireError, diff};
use crate::authority::words::HostProfile;
use crate::mcp::hosts;
use crate::mcp::tools::{TOOLS, Tool};
use crate::publish::template;
use crate::secret::Secret;

/// Where Ark's API is.
pub const BASE_URL: &str = "https://ark.cn-beijing.volces.com/api/v3";
/// A model with MCP, seen in Ark's documents.
pub const MODEL: &str = "doubao-seed-2-1-pro-260628";
/// What the scripts ask.
const QUESTION: &str = "周末我要去哪儿？";
/// What stands in a token's place until somebody puts it in.
const PLACEHOLDER: &str = "${AGENTKEYS_TOKEN}";
/// The entry's file; the scripts and steps lie beside it.
const TOOL_FILE: &str = "ark-tool.json";

/// When Ark asks before it calls a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// It never asks: the authority decides, on every call.
    Never,
    /// It asks before each call.
    Always,
    /// It asks before a call that changes something.
    Writes,
}

/// The tool entry, and what the scripts around it need.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The address of MCP, as Ark's cloud sees it.
    pub url: String,
    /// What goes into the actor header; nothing for a token that is pinned to one actor.
    pub actor: Option<String>,
    /// The token, to be written into the entry; a place for it without.
    pub token: Option<Secret<String>>,
    /// The server's name in Ark's answers.
    pub label: String,
    /// The tools the model may see, as Ark spells them.
    pub tools: Vec<String>,
    /// When Ark asks back.
    pub approval: Approval,
    /// The model that the scripts ask.
    pub model: String,
}

/// What a tool is called where names have no dots.
fn spelled(tool: &Tool) -> String {
    if hosts::profile(HostProfile::VolcanoArk).dotted {
        return tool.name.to_owned();
    }
    tool.name.replace('.', "_")
}

/// Every tool, those that are only announced too.
pub fn all_tools() -> Vec<String> {
    TOOLS.iter().map(spelled).collect()
}

/// Every tool that does something.
pub fn active_tools() -> Vec<String> {
    TOOLS.iter().filter(|t| !t.preview).map(spelled).collect()
}

/// A tool that exists, as Ark spells it; dots are taken too.
pub fn tool_named(name: &str) -> Option<String> {
    let wanted = name.replace('.', "_");
    let found = TOOLS.iter().find(|t| t.name.replace('.', "_") == wanted);
    found.map(spelled)
}

impl Entry {
    /// An entry with every active tool, which Ark calls without asking back.
    pub fn new(url: &str, actor: Option<&str>, token: Option<Secret<String>>) -> Self {
        Self {
            url: url.to_owned(),
            actor: actor.map(str::to_owned),
            token,
            label: "agentkeys".to_owned(),
            tools: active_tools(),
            approval: Approval::Never,
            model: MODEL.to_owned(),
        }
    }

    /// Whether all of it can be written.
    pub fn check(&self) -> Result<(), Flaw> {
        let token = self.token.clone();
        let access = Access {
            url: self.url.clone(),
            token: token.unwrap_or_else(|| Secret::new("none".to_owned())),
            actor: self.actor.clone(),
        };
        access.check()?;
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let good = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(word);
        if !good(&self.label) {
            let cause = "the label is not 1 to 64 letters, digits, - and _";
            return Err(Flaw::new(Kind::Address, cause));
        }
        let model = |b: u8| word(b) || b == b'.';
        if self.model.is_empty() || !self.model.bytes().all(model) {
            let cause = "the model is not letters, digits, -, _ and dots";
            return Err(Flaw::new(Kind::Address, cause));
        }
        Ok(())
    }

    /// Why Ark's cloud cannot reach this address, if it cannot.
    pub fn unreachable_from_ark(&self) -> Option<&'static str> {
        let url = reqwest::Url::parse(&self.url).ok()?;
        if url.scheme() != "https" {
            return Some(
                "Ark's cloud takes HTTPS only; set `[server] public_url` or name it with --url",
            );
        }
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let here = address.parse::<std::net::IpAddr>().is_ok_and(|a| match a {
            std::net::IpAddr::V4(a) => a.is_loopback() || a.is_private() || a.is_link_local(),
            std::net::IpAddr::V6(a) => a.is_loopback() || a.is_unique_local(),
        });
        (here || host == "localhost").then_some(
            "Ark's cloud cannot reach an address of this machine or network; it has to be public",
        )
    }

    /// The entry, as it goes into `tools` of a request.
    pub fn to_json(&self) -> Value {
        let token = self.token.as_ref().map_or(PLACEHOLDER, |t| t.expose());
        let mut headers = json!({"Authorization": format!("Bearer {token}")});
        if let Some(actor) = &self.actor {
            headers["X-AgentKeys-Actor"] = actor.as_str().into();
        }
        json!({
            "type": "mcp",
            "server_label": self.label,
            "server_url": self.url,
            "server_description": "AgentKeys: who the user is, what they asked to be remembered, and what may be done for them.",
            "headers": headers,
            "allowed_tools": {"tool_names": self.tools},
            "require_approval": self.approval(),
        })
    }

    fn approval(&self) -> Value {
        match self.approval {
            Approval::Never => "never".into(),
            Approval::Always => "always".into(),
            Approval::Writes => {
                let reads =
                    |name: &&String| TOOLS.iter().any(|t| t.read_only && spelled(t) == **name);
                let (never, always): (Vec<_>, Vec<_>) = self.tools.iter().partition(reads);
                json!({"always": {"tool_names": always}, "never": {"tool_names": never}})
            }
        }
    }

    /// Everything there is to write, by name; the entry first.
    pub fn files(&self) -> Result<Vec<(&'static str, String)>, Flaw> {
        self.check()?;
        let without = Self {
            token: None,
            ..self.clone()
        };
        Ok(vec![
            (TOOL_FILE, pretty(&self.to_json()) + "\n"),
            (
                "ark.sh",
                without.render(include_str!("../../../templates/wire/volcano-ark/ark.sh"))?,
            ),
            (
                "ark.py",
                without.render(include_str!("../../../templates/wire/volcano-ark/ark.py"))?,
            ),
            (
                "CONSOLE.md",
                without.render(include_str!(
                    "../../../templates/wire/volcano-ark/CONSOLE.md"
                ))?,
            ),
            (
                "CONSOLE_zh.md",
                without.render(include_str!(
                    "../../../templates/wire/volcano-ark/CONSOLE_zh.md"
                ))?,
            ),
        ])
    }

    fn render(&self, template: &str) -> Result<String, Flaw> {
        let tool = self.to_json();
        let mut open = tool.clone();
        // In Python the header is put in by the program.
        if let Some(headers) = open.get_mut("headers").and_then(Value::as_object_mut) {
            headers.shift_remove("Authorization");
        }
        let ask = json!([{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]);
        let body = json!({"model": self.model, "tools": [tool], "input": ask});
        let texts = [
            ("url", self.url.clone()),
            ("label", self.label.clone()),
            ("model", self.model.clone()),
            ("actor", self.actor.clone().unwrap_or_default()),
            ("approval", self.approval_words()),
            ("base_url", BASE_URL.to_owned()),
            ("question", QUESTION.to_owned()),
            ("tool", pretty(&open)),
            ("body", pretty(&body)),
        ];
        let mut input: BTreeMap<String, Input> = BTreeMap::new();
        for (name, text) in texts {
            input.insert(name.to_owned(), Input::from(text));
        }
        input.insert("tools".to_owned(), Input::from(self.tools.clone()));
        let mut room = template::room();
        room.add_filter("heredoc", |text: String| heredoc(&text));
        template::render(&room, template, Input::from(input))
    }

    fn approval_words(&self) -> String {
        match self.approval() {
            Value::String(word) => word,
            _ => "always for tools that change something, never for the others".to_owned(),
        }
    }
}

fn pretty(value: &Value) -> String {
    // A value of strings only; it cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Text that an unquoted here-document leaves as it is, but for the one variable that is meant.
fn heredoc(text: &str) -> String {
    let kept = "\u{0}";
    text.replace(PLACEHOLDER, kept)
        .replace('\\', "\\\\")
        .replace('$', "\\$")
        .replace('`', "\\`")
        .replace(kept, PLACEHOLDER)
}

/// The files of an entry in a folder, or the entry's own file, as they are and as they have to be.
#[derive(Debug)]
pub struct Folder(Vec<One>);

#[derive(Debug)]
struct One {
    file: HostFile,
    wanted: String,
}

impl Folder {
    /// Reads what is there. `path` is a folder, or a `.json` file that takes the entry alone.
    pub fn read(path: &Path, entry: &Entry) -> Result<Self, WireError> {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let alone = !whole.is_dir() && whole.extension().is_some_and(|e| e == "json");
        let files = entry.files()?;
        let files: Vec<(PathBuf, String)> = if alone {
            files
                .into_iter()
                .take(1)
                .map(|(_, text)| (whole.clone(), text))
                .collect()
        } else {
            files
                .into_iter()
                .map(|(name, text)| (whole.join(name), text))
                .collect()
        };
        let read = |(path, wanted): (PathBuf, String)| {
            let file = HostFile::read(&path)?.private();
            if file.text().is_some_and(|text| !is_ours(&path, text)) {
                let cause = "is there already, and `agentkeys wire volcano-ark` did not write it";
                return Err(Flaw::new(Kind::NotOurs, cause).of(&path));
            }
            Ok(One { file, wanted })
        };
        Ok(Self(files.into_iter().map(read).collect::<Result<_, _>>()?))
    }

    /// What is different, as people read it.
    pub fn diff(&self, removing: bool) -> String {
        let one = |one: &One| {
            let name = one.file.path().display().to_string();
            let text = one.file.text();
            if !removing {
                return diff::json(&name, text, Some(&one.wanted));
            }
            if one.is_as_wanted() {
                diff::json(&name, text, None)
            } else {
                String::new()
            }
        };
        self.0.iter().map(one).collect()
    }

    /// Whether everything is as it has to be.
    pub fn is_wired(&self) -> bool {
        self.0.iter().all(One::is_as_wanted)
    }

    /// The files, there or not.
    pub fn paths(&self) -> Vec<&Path> {
        self.0.iter().map(|one| one.file.path()).collect()
    }

    /// Writes what is different. What is there is ours, so that nothing of it is worth a backup, and
    /// it may have had a token in it.
    pub fn write(&self) -> Result<Vec<Written>, WireError> {
        let different = self.0.iter().filter(|one| !one.is_as_wanted());
        different
            .map(|one| {
                one.file.apply(&Change {
                    backup: Backup::Stays,
                    before: one.file.text().map(str::to_owned),
                    after: Some(one.wanted.clone()),
                })
            })
            .collect()
    }

    /// Removes what is exactly as we wrote it; what is there otherwise is told and left.
    pub fn remove(&self) -> Result<Vec<&Path>, WireError> {
        let there = self.0.iter().filter(|one| one.file.text().is_some());
        let (ours, others): (Vec<_>, Vec<_>) = there.partition(|one| one.is_as_wanted());
        for one in ours {
            one.file.apply(&Change {
                before: one.file.text().map(str::to_owned),
                after: None,
                backup: Backup::Stays,
            })?;
        }
        Ok(others.into_iter().map(|one| one.file.path()).collect())
    }
}

impl One {
    fn is_as_wanted(&self) -> bool {
        self.file.text() == Some(self.wanted.as_str())
    }
}

/// Whether we wrote a file, this time or another: only such a one is written over.
fn is_ours(path: &Path, text: &str) -> bool {
    if path.extension().is_some_and(|e| e == "json") {
        let entry: Value = serde_json::from_str(text).unwrap_or_default();
        let has = |key: &str| entry.get(key).is_some();
        return entry.get("type") == Some(&json!("mcp"))
            && has("server_url")
            && has("server_label");
    }
    text.lines()
        .take(2)
        .any(|line| line.contains("`agentkeys wire volcano-ark`"))
}

/// The token in an entry that is there already, so that looking at it needs none.
pub fn token_in(path: &Path) -> Option<Secret<String>> {
    let path = if path.is_dir() {
        path.join(TOOL_FILE)
    } else {
        path.to_owned()
    };
    let file = HostFile::read(&path).ok()?;
    let entry: Value = serde_json::from_str(file.text()?).ok()?;
    let header = entry.get("headers")?.get("Authorization")?.as_str()?;
    let token = header
        .strip_prefix("Bearer ")
        .filter(|t| *t != PLACEHOLDER)?;
    Some(Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests;
