//! What the run collected, and whether it shows what it should. Pure, so that every way to fail
//! is a test.

use serde_json::Value;

use crate::acceptance::answer::hidden;
use crate::acceptance::events::Event;
use crate::acceptance::play::{Assertion, Identity, Lines, assert, call};
use crate::digest::sha256;
use crate::text::clean_to;

const WHOAMI: &str = "agentkeys.identity.whoami";
const GET: &str = "agentkeys.memory.get";
const PUT: &str = "agentkeys.memory.put";

/// Everything there is to judge.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// Who the actor should be.
    pub identity: Identity,
    /// The vendors of rail 1 and rail 2.
    pub vendors: [String; 2],
    /// The line that was written.
    pub line: String,
    /// What rail 1's host printed.
    pub first: Lines,
    /// What rail 2's host printed.
    pub second: Lines,
    /// Both rails' rows, up to the read.
    pub rows: Vec<Event>,
    /// What rail 1's host printed when the memory was put back.
    pub restored: Lines,
    /// Whether there was anything to put back.
    pub had: bool,
    /// Whether the second host's model makes one call and no other; a real one looks around.
    pub scripted: bool,
}

impl Evidence {
    /// All assertions, in the order of the story.
    pub(super) fn judge(&self) -> Vec<Assertion> {
        let [first, second] = &self.vendors;
        let kept: Vec<Event> = self.story().cloned().collect();
        let rows = Rows {
            actor_omni: &self.identity.actor_omni,
            vendors: [first, second],
            all: &kept,
        };
        let mut all = vec![
            self.who(),
            self.derived(),
            said(
                "rail1.put_accepted",
                call(&self.first, "agentkeys_memory_put"),
            ),
            self.listed(),
            self.bytes(),
        ];
        all.extend(rows.judge());
        let restored = call(&self.restored, "agentkeys_memory_put");
        if self.had {
            all.push(said("restore.put_back", restored));
        } else {
            all.push(assert(
                "restore.put_back",
                false,
                "the memory as it was",
                "rail 1 could not read it before it wrote",
            ));
        }
        all
    }

    /// The rows to judge: of a real model's reads only the first accepted one of what travelled,
    /// among whatever else it tried.
    fn story(&self) -> impl Iterator<Item = &Event> {
        let is_read =
            |r: &Event| r.text("rail") == Some("volcano-ark") && r.text("tool") == Some(GET);
        let found = self.rows.iter().position(|r| {
            let travel = r.text("namespace") == Some("travel");
            is_read(r) && travel && r.text("verdict") == Some("accept")
        });
        let kept = move |(at, row): &(usize, &Event)| {
            self.scripted || !is_read(row) || found.is_none_or(|found| found == *at)
        };
        self.rows
            .iter()
            .enumerate()
            .filter(kept)
            .map(|(_, row)| row)
    }

    fn who(&self) -> Assertion {
        let omni = self.identity.actor_omni.as_str();
        let call = call(&self.first, "agentkeys_identity_whoami");
        let said = call.and_then(|c| c.get("text")?.as_str());
        let hidden = call.and_then(|c| hidden(c.get("result")?));
        let holds =
            omni.len() == 66 && said.is_some_and(|said| said.contains(omni)) && hidden.is_none();
        let got = hidden.as_deref().or(said).unwrap_or_default();
        assert("rail1.whoami_is_the_actor", holds, omni, got)
    }

    /// The omni is what its derivation gives: anyone can recompute it.
    fn derived(&self) -> Assertion {
        let id = "identity.derivation";
        let who = &self.identity;
        let (Some(parent), Some(path)) = (&who.parent_omni, &who.derivation_path) else {
            return assert(
                id,
                false,
                "parent and derivation path",
                "the server told neither",
            );
        };
        let parent_bytes = hex::decode(parent.trim_start_matches("0x")).unwrap_or_default();
        let child = sha256(&[b"agentkeys-hdkd-v1", &parent_bytes, path.as_bytes()]);
        let child = format!("0x{}", hex::encode(child));
        let mut holds = child == who.actor_omni;
        let mut expected = format!("SHA-256 over {parent} and {path}");
        if let Some(wallet) = &who.wallet {
            let master = sha256(&[b"agentkeys", b"evm", wallet.to_lowercase().as_bytes()]);
            holds &= format!("0x{}", hex::encode(master)) == *parent;
            expected = format!("{expected}, whose wallet is {wallet}");
        }
        assert(id, holds, expected, who.actor_omni.as_str())
    }

    /// The scripted model may choose only what the server listed.
    fn listed(&self) -> Assertion {
        let items = items(&self.second).filter(|i| kind(i) == "mcp_list_tools");
        let tools = items.flat_map(|i| {
            i.get("tools")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        });
        let count = tools.count();
        assert(
            "rail2.tools_listed",
            count == 10,
            "10 tools",
            format!("{count} tools"),
        )
    }

    /// Byte for byte: what the second host's model was handed is what the first one wrote.
    fn bytes(&self) -> Assertion {
        let id = "rail2.bytes_equal";
        let calls = items(&self.second).filter(|i| kind(i) == "mcp_call");
        let outputs: Vec<&str> = if self.scripted {
            let all: Vec<_> = calls.collect();
            let one = (all.len() == 1).then(|| all[0]);
            one.and_then(output).into_iter().collect()
        } else {
            let reads = calls.filter(|c| is_read(c));
            reads.filter_map(output).collect()
        };
        let contents: Vec<String> = outputs.iter().map(|o| content(o)).collect();
        let same = contents
            .iter()
            .find(|c| c.as_bytes() == self.line.as_bytes());
        let Some(got) = same.or(contents.last()).cloned() else {
            return assert(
                id,
                false,
                "one mcp_call with an output",
                format!("{:?}", self.second),
            );
        };
        let holds = got.as_bytes() == self.line.as_bytes();
        assert(id, holds, self.line.as_str(), got)
    }
}

/// Both rails' rows and what must hold of them alone, whoever caused them.
#[derive(Debug, Clone, Copy)]
pub(in crate::acceptance) struct Rows<'a> {
    /// Whose they must be.
    pub actor_omni: &'a str,
    /// The vendors of rail 1 and rail 2.
    pub vendors: [&'a str; 2],
    /// The rows.
    pub all: &'a [Event],
}

impl Rows<'_> {
    /// What must hold, in the order of the story.
    pub(in crate::acceptance) fn judge(&self) -> Vec<Assertion> {
        let mut all = vec![
            self.is_there("audit.rail1_whoami_row", "xiaozhi", WHOAMI),
            self.is_there("audit.rail1_put_row", "xiaozhi", PUT),
            self.is_there("audit.rail2_get_row", "volcano-ark", GET),
            self.one_actor(),
            self.of_vendors(),
        ];
        let put = self.row("xiaozhi", PUT).ok();
        let get = self.row("volcano-ark", GET).ok();
        for (id, key) in [
            ("audit.same_content_tag", "content_tag"),
            ("audit.same_version", "version"),
        ] {
            all.push(same(id, key, put.as_ref(), get.as_ref()));
        }
        all
    }

    /// The one accepted row of a rail for a tool.
    fn row(&self, rail: &str, tool: &str) -> Result<&Event, String> {
        let mut rows = self
            .all
            .iter()
            .filter(|r| r.text("rail") == Some(rail) && r.text("tool") == Some(tool));
        match (rows.next(), rows.count()) {
            (None, _) => Err("no such row".to_owned()),
            (Some(row), 0) if row.text("verdict") == Some("accept") => Ok(row),
            (Some(row), 0) => Err(format!("its verdict is {:?}", row.text("verdict"))),
            (Some(_), more) => Err(format!("{} such rows", more + 1)),
        }
    }

    /// Whether there is exactly one.
    pub(in crate::acceptance) fn is_there(
        &self,
        id: &'static str,
        rail: &str,
        tool: &str,
    ) -> Assertion {
        let row = self.row(rail, tool);
        let got = match &row {
            Ok(row) => format!("seq {}, verdict accept", row.seq()),
            Err(why) => format!("{why}, among {} rows of both rails", self.all.len()),
        };
        assert(id, row.is_ok(), "exactly one row, verdict accept", got)
    }

    fn one_actor(&self) -> Assertion {
        let wanted = self.actor_omni;
        let other = self
            .all
            .iter()
            .find(|r| r.text("actor_omni") != Some(wanted));
        let got = match other {
            None => wanted.to_owned(),
            Some(row) => format!("seq {} has {:?}", row.seq(), row.text("actor_omni")),
        };
        assert(
            "audit.same_actor_omni",
            other.is_none() && !self.all.is_empty(),
            wanted,
            got,
        )
    }

    /// The rail comes from the token's vendor, never from what a client says.
    fn of_vendors(&self) -> Assertion {
        let [first, second] = self.vendors;
        let wrong = self.all.iter().find(|r| match r.text("rail") {
            Some("xiaozhi") => r.text("vendor") != Some(first),
            Some("volcano-ark") => r.text("vendor") != Some(second),
            _ => true,
        });
        let expected = format!("{first} on xiaozhi, {second} on volcano-ark");
        let got = wrong.map_or_else(
            || expected.clone(),
            |r| format!("{:?} on {:?}", r.text("vendor"), r.text("rail")),
        );
        assert("audit.rails_and_vendors", wrong.is_none(), expected, got)
    }
}

fn output(call: &Value) -> Option<&str> {
    call.get("output").and_then(Value::as_str)
}

fn is_read(call: &Value) -> bool {
    let name = call.get("name").and_then(Value::as_str);
    name.is_some_and(|n| n.replace('.', "_") == "agentkeys_memory_get")
}

/// Structured answers come as JSON text; a host that hears sentences hears only the text.
fn content(output: &str) -> String {
    let json = serde_json::from_str::<Value>(output).ok();
    let content = json.as_ref().and_then(|j| j.get("content")?.as_str());
    content.unwrap_or(output).to_owned()
}

fn same(id: &'static str, key: &str, put: Option<&&Event>, get: Option<&&Event>) -> Assertion {
    let of = |row: Option<&&Event>| {
        row.and_then(|r| r.0.get(key))
            .filter(|v| !v.is_null())
            .map(Value::to_string)
    };
    let (put, get) = (of(put), of(get));
    let holds = put.is_some() && put == get;
    let told = |v: Option<String>| v.unwrap_or_else(|| "none".to_owned());
    assert(
        id,
        holds,
        format!("{key} {} in both rows", told(put)),
        told(get),
    )
}

/// A call that the host made and that was no error.
fn said(id: &'static str, call: Option<&Value>) -> Assertion {
    let good = call.is_some_and(|c| {
        c.get("ok") == Some(&Value::Bool(true)) && c.get("is_error") == Some(&Value::Bool(false))
    });
    let text = call.and_then(|c| c.get("text").or(c.get("error")));
    let text = text
        .and_then(Value::as_str)
        .unwrap_or("the host made no such call");
    let denied = text.starts_with("deny");
    let hidden = call.and_then(|c| hidden(c.get("result")?));
    let text = hidden.as_deref().unwrap_or(text);
    assert(
        id,
        good && !denied && hidden.is_none(),
        "an answer that is no error and no denial",
        text,
    )
}

/// A text field of a child's last line, cleaned for a report.
pub(super) fn tail(lines: &Lines, key: &str) -> Option<String> {
    let text = lines.last()?.get(key)?.as_str()?;
    Some(clean_to(text, 80))
}

fn items(lines: &Lines) -> impl Iterator<Item = &Value> {
    let output = lines
        .last()
        .and_then(|l| l.get("output"))
        .and_then(Value::as_array);
    output.into_iter().flatten()
}

fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
