//! What is done with a host's file, whichever host's it is.

use super::report::{Proof, Report};
use super::token::Minted;
use super::{Doing, drift};
use crate::cli::Ctx;
use crate::problem::Problem;
use crate::publish::wire::change::{Change, removed, wired};
use crate::publish::wire::file::{HostFile, Written};
use crate::publish::wire::{Document, diff};
use serde_json::{Value, json};
use std::path::Path;

/// A host's file, and what has to be in it.
pub(super) struct Target<'a> {
    pub host: &'static str,
    /// The words behind `agentkeys wire` that write it.
    pub words: &'static str,
    pub document: &'a dyn Document,
    pub file: &'a HostFile,
    /// Whether a text has something in our place that works.
    pub alive: &'a dyn Fn(&str) -> bool,
}

impl Target<'_> {
    fn path(&self) -> String {
        self.file.path().display().to_string()
    }

    pub(super) fn report(&self, change: &Change, proof: Proof, warnings: Vec<String>) -> Report {
        let path = self.path();
        let (before, after) = (change.before.as_deref(), change.after.as_deref());
        Report {
            host: self.host,
            changed: !change.is_empty(),
            diff: diff::unified(&path, self.document, before, after),
            path: Some(path),
            proof,
            facts: Vec::new(),
            warnings,
        }
    }

    /// Shows what would be written, and writes nothing.
    pub(super) fn look(
        &self,
        doing: Doing,
        warnings: Vec<String>,
        ctx: &Ctx,
    ) -> Result<(), Problem> {
        let change = wired(self.document, self.file)?;
        let why = Proof::Nothing(doing.words());
        let mut report = self.report(&change, why, warnings);
        report.changed = false;
        if doing == Doing::DryRun {
            return report.tell_diff(ctx.out);
        }
        report.tell(ctx.out, &format!("looked at {}", self.path()))?;
        if change.is_empty() {
            Ok(())
        } else {
            Err(drift(&self.path(), self.words))
        }
    }

    /// Writes it. A token that was made for it is taken back when that fails.
    pub(super) async fn write(&self, minted: Option<Minted>) -> Result<Done, Problem> {
        let written = wired(self.document, self.file)
            .and_then(|change| Ok((self.file.apply(&change)?, change)));
        match written {
            Ok((written, change)) => Ok(Done {
                written,
                change,
                minted,
            }),
            Err(error) => {
                if let Some(minted) = minted {
                    minted.revoke().await;
                }
                Err(error.into())
            }
        }
    }

    /// Takes out what was put in. `token_id` is that of the token in it.
    pub(super) fn remove(&self, token_id: Option<String>, ctx: &Ctx) -> Result<(), Problem> {
        let change = removed(self.document, self.file)?;
        self.file.apply(&change)?;
        let mut warnings = Vec::new();
        let left = change.after.as_deref().is_some_and(self.alive);
        if left && change.is_empty() {
            warnings.push(
                "what is in it for this server was not written by this program, so it was left; take it out by hand".to_owned(),
            );
        } else if left {
            warnings.push("what somebody had written by hand for this server is back".to_owned());
        }
        if let Some(id) = token_id
            && !change.is_empty()
        {
            warnings.push(format!(
                "its token still works; end it with `agentkeys vendor token revoke {id}`"
            ));
        }
        let report = self.report(&change, Proof::Nothing(Doing::Remove.words()), warnings);
        let done = if report.changed {
            "unwired"
        } else {
            "nothing of ours is in"
        };
        report.tell(ctx.out, &format!("{done} {}", self.path()))
    }
}

/// A file that was written.
pub(super) struct Done {
    pub written: Written,
    pub change: Change,
    pub minted: Option<Minted>,
}

impl Done {
    /// The backup and the token, as members of the answer.
    pub(super) fn facts(&self) -> Vec<(&'static str, Value)> {
        let backup = self.written.backup.as_ref();
        vec![
            ("backup", json!(backup.map(|p| p.display().to_string()))),
            ("token_id", json!(self.minted.as_ref().map(|m| &m.id))),
            (
                "expires_at",
                json!(self.minted.as_ref().map(|m| &m.expires_at)),
            ),
        ]
    }

    /// The line for people.
    pub(super) fn words(&self, file: &HostFile) -> String {
        let done = if self.change.is_empty() {
            "is wired already:"
        } else {
            "wired"
        };
        format!("{done} {}", file.path().display())
    }
}

/// What a proof that failed means: the file is written, and does not work from here.
pub(super) fn unproved(path: &Path, problem: &Problem) -> Problem {
    let cause = format!(
        "{} is written, but connecting as the host does failed: {}",
        path.display(),
        problem.cause
    );
    let fix = format!(
        "{}; --no-verify if the server cannot be reached from here, --remove takes it out again",
        problem.fix
    );
    Problem::new(problem.exit, problem.code, cause, fix)
}

/// A file with a token in it that others can read.
pub(super) fn open_to_others(file: &HostFile) -> Option<String> {
    let mode = file.open_to_others()?;
    Some(format!(
        "others on this machine can read {} (mode {mode:o}) and the token in it; `chmod 600` ends that, if the host runs as its owner",
        file.path().display()
    ))
}
