//! The parent: a process of its own, with a parent's token, that takes consent back, gives it again and
//! gives money back.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::children::{Agentkeys, Scratch};
use crate::acceptance::{AcceptError, random};
use crate::secret::Secret;

/// How the parent reaches the authority.
#[derive(Debug, Clone)]
pub(in crate::acceptance) struct Parent {
    /// The server's address, without `/mcp`.
    pub url: String,
    /// A parent's token.
    pub token: Secret<String>,
    /// The server's private certificate authority.
    pub ca_file: Option<PathBuf>,
    /// The data folder, of a server of the proof's own.
    pub dir: Option<String>,
}

/// What it does.
#[derive(Debug, Clone, Copy)]
pub(in crate::acceptance) enum Change<'a> {
    /// Takes every scope that matches back from a vendor.
    Ungrant {
        /// The vendor.
        vendor: &'a str,
        /// Such as `payment.*`.
        pattern: &'a str,
    },
    /// Gives scopes to a vendor.
    Grant {
        /// The vendor.
        vendor: &'a str,
        /// The scopes.
        scopes: &'a [String],
    },
    /// Gives reserved money back to the day.
    Release {
        /// The decision that reserved it.
        decision_id: &'a str,
    },
}

impl Parent {
    /// Does it for an actor, in a process that ends with it; the answer.
    pub(in crate::acceptance) async fn change(
        &self,
        agentkeys: &Agentkeys,
        scratch: &Scratch,
        actor: &str,
        change: Change<'_>,
    ) -> Result<Value, AcceptError> {
        let folder = scratch.folder(&format!("parent-{}", hex::encode(random::<4>())))?;
        folder.write("parent.token", self.token.expose())?;
        let (word, body) = request(change);
        let config = json!({"url": self.url, "token_file": "parent.token", "actor": actor,
            "change": word, "body": body});
        let config = folder.write("parent.json", &config.to_string())?;
        let mut words = vec!["rails", "parent", "--config", &config, "--json"];
        let ca = self.ca_file.as_ref().map(|p| p.display().to_string());
        if let Some(ca) = &ca {
            words.extend(["--ca-file", ca]);
        }
        let told = agentkeys.answer(&words).await?;
        Ok(told.get("answer").cloned().unwrap_or_default())
    }

    /// What the actor's day holds, in hundredths; nothing where only an operator could ask.
    pub(in crate::acceptance) async fn day(
        &self,
        agentkeys: &Agentkeys,
        actor: &str,
    ) -> Result<Option<i64>, AcceptError> {
        let Some(dir) = &self.dir else {
            return Ok(None);
        };
        let words = ["budget", "show", actor, "--dir", dir, "--json"];
        let day = agentkeys.answer(&words).await?;
        Ok(day.get("spent_minor").and_then(Value::as_i64))
    }
}

/// The last part of the path, and the body.
fn request(change: Change<'_>) -> (&'static str, Value) {
    match change {
        Change::Ungrant { vendor, pattern } => {
            ("ungrant", json!({"vendor": vendor, "scopes": [pattern]}))
        }
        Change::Grant { vendor, scopes } => ("grant", json!({"vendor": vendor, "scopes": scopes})),
        Change::Release { decision_id } => ("release", json!({"decision_id": decision_id})),
    }
}
