//! What a wiring tells: one JSON object, or a difference and a few lines.

use crate::cli::out::{Out, Tone};
use crate::problem::Problem;
use serde_json::{Map, Value, json};

/// Whether the host's way to the server was walked.
#[derive(Debug)]
pub(super) enum Proof {
    /// It was, and the tools were there.
    Yes(String),
    /// It was, and failed.
    No(Problem),
    /// It could have been, and was not.
    NotAsked(&'static str),
    /// Nothing was written that could be proved.
    Nothing(&'static str),
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Report {
    pub host: &'static str,
    /// Where it was written; none when it was only printed.
    pub path: Option<String>,
    pub changed: bool,
    pub diff: String,
    pub proof: Proof,
    /// Further members of the JSON, and lines for people.
    pub facts: Vec<(&'static str, Value)>,
    /// What deserves attention.
    pub warnings: Vec<String>,
}

impl Report {
    fn to_json(&self) -> Value {
        let (verified, reason) = match &self.proof {
            Proof::Yes(how) => (true, how.clone()),
            Proof::No(problem) => (false, problem.cause.clone()),
            Proof::NotAsked(why) | Proof::Nothing(why) => (false, (*why).to_owned()),
        };
        let mut json = Map::new();
        json.insert("host".to_owned(), self.host.into());
        json.insert("path".to_owned(), json!(self.path));
        json.insert("changed".to_owned(), self.changed.into());
        json.insert("diff".to_owned(), self.diff.as_str().into());
        json.insert("verified".to_owned(), verified.into());
        json.insert("reason".to_owned(), reason.into());
        for (name, value) in &self.facts {
            json.insert((*name).to_owned(), value.clone());
        }
        json.insert("warnings".to_owned(), json!(self.warnings));
        json.into()
    }

    /// Tells all of it; `done` is the line for people. A proof that failed is how it ends.
    pub(super) fn tell(self, out: Out, done: &str) -> Result<(), Problem> {
        out.answer(&self.to_json(), || {
            show(out, &self.diff)?;
            out.line(done)?;
            let mut lines: Vec<(&str, String)> = Vec::new();
            for (name, value) in &self.facts {
                match value {
                    Value::String(text) => lines.push((*name, text.clone())),
                    Value::Null => {}
                    other => lines.push((*name, other.to_string())),
                }
            }
            lines.push(match &self.proof {
                Proof::Yes(how) => ("verified", format!("yes: {how}")),
                Proof::No(_) => ("verified", "no".to_owned()),
                Proof::NotAsked(why) => ("verified", format!("no: {why}")),
                Proof::Nothing(_) => ("verified", String::new()),
            });
            out.fields(&lines)
        })?;
        for warning in &self.warnings {
            out.note(&format!("warning: {warning}"));
        }
        match self.proof {
            Proof::No(problem) => Err(problem),
            Proof::Yes(_) | Proof::NotAsked(_) | Proof::Nothing(_) => Ok(()),
        }
    }

    /// Tells the difference and nothing else.
    pub(super) fn tell_diff(self, out: Out) -> Result<(), Problem> {
        out.answer(&self.to_json(), || show(out, &self.diff))?;
        for warning in &self.warnings {
            out.note(&format!("warning: {warning}"));
        }
        Ok(())
    }
}

/// A difference, in the usual colours. Tabs and line ends are layout here, not tricks.
fn show(out: Out, diff: &str) -> Result<(), Problem> {
    diff.lines().try_for_each(|line| {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Some(Tone::Good),
            Some(b'-') => Some(Tone::Bad),
            Some(b'@') => Some(Tone::Faint),
            _ => None,
        };
        let text = line.replace('\t', "    ");
        match tone {
            Some(tone) => out.painted(&out.paint(&text, tone)),
            None => out.line(&text),
        }
    })
}
