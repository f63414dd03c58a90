//! The parent: a process of its own that takes consent back, gives it again and gives money back.
//! On this machine it works on the folder; elsewhere it is a client with a parent's token.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::children::{Agentkeys, Scratch};
use crate::acceptance::{AcceptError, random};
use crate::secret::Secret;

/// How the parent reaches the authority.
#[derive(Debug, Clone)]
pub(in crate::acceptance) enum Parent {
    /// By the command line, on its folder.
    Folder {
        /// The data folder.
        dir: String,
    },
    /// Over HTTP.
    Remote {
        /// The server's address, without `/mcp`.
        url: String,
        /// A parent's token.
        token: Secret<String>,
        /// The server's private certificate authority.
        ca_file: Option<PathBuf>,
    },
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
        match self {
            Self::Folder { dir } => on_folder(agentkeys, dir, actor, change).await,
            Self::Remote {
                url,
                token,
                ca_file,
            } => {
                let folder = scratch.folder(&format!("parent-{}", hex::encode(random::<4>())))?;
                folder.write("parent.token", token.expose())?;
                let (word, body) = request(change);
                let config = json!({"url": url, "token_file": "parent.token", "actor": actor,
                    "change": word, "body": body});
                let config = folder.write("parent.json", &config.to_string())?;
                let mut words = vec!["rails", "parent", "--config", &config, "--json"];
                let ca = ca_file.as_ref().map(|p| p.display().to_string());
                if let Some(ca) = &ca {
                    words.extend(["--ca-file", ca]);
                }
                let told = agentkeys.answer(&words).await?;
                Ok(told.get("answer").cloned().unwrap_or_default())
            }
        }
    }

    /// What the actor's day holds, in hundredths; nothing where only an operator could ask.
    pub(in crate::acceptance) async fn day(
        &self,
        agentkeys: &Agentkeys,
        actor: &str,
    ) -> Result<Option<i64>, AcceptError> {
        let Self::Folder { dir } = self else {
            return Ok(None);
        };
        let words = ["budget", "show", actor, "--dir", dir, "--json"];
        let day = agentkeys.answer(&words).await?;
        Ok(day.get("spent_minor").and_then(Value::as_i64))
    }
}

async fn on_folder(
    agentkeys: &Agentkeys,
    dir: &str,
    actor: &str,
    change: Change<'_>,
) -> Result<Value, AcceptError> {
    let list;
    let mut words = match change {
        Change::Ungrant { vendor, pattern } => {
            vec![
                "actor", "ungrant", actor, "--vendor", vendor, "--scope", pattern,
            ]
        }
        Change::Grant { vendor, scopes } => {
            list = scopes.join(",");
            vec![
                "actor", "grant", actor, "--vendor", vendor, "--scope", &list,
            ]
        }
        Change::Release { decision_id } => vec!["budget", "release", decision_id],
    };
    words.extend(["--dir", dir, "--json"]);
    agentkeys.answer(&words).await
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
