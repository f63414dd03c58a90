//! `agentkeys config …`: what is in force, and why.

use super::Ctx;
use crate::config::FILE;
use crate::problem::Problem;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// The configuration: flag over environment over agentkeys.toml over default.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys config show
  agentkeys config show --origin")]
pub struct ConfigCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show every key as it is in force.
    #[command(
        before_help = "Examples:
  agentkeys config show --origin
  agentkeys config show --json",
        after_help = "Set a key in agentkeys.toml, or for one run as AGENTKEYS_<SECTION>_<KEY>."
    )]
    Show {
        /// Also say where each value comes from (always there with --json).
        #[arg(long)]
        origin: bool,
    },
}

/// Runs a `config` command.
pub fn run(cmd: &ConfigCmd, ctx: &Ctx) -> Result<(), Problem> {
    let Verb::Show { origin } = cmd.verb;
    let config = ctx.config()?;
    let file = ctx.dir()?.join(FILE);
    let keys = config
        .settings()
        .iter()
        .map(|s| json!({"key": s.key, "value": s.value, "origin": s.origin.to_string()}));
    let answer = json!({
        "file": file.display().to_string(), "exists": file.exists(),
        "keys": keys.collect::<Vec<_>>(),
    });
    ctx.out.answer(&answer, || {
        let rows = config.settings().iter().map(|s| {
            let mut row = vec![s.key.to_owned(), shown(&s.value)];
            if origin {
                row.push(s.origin.to_string());
            }
            row
        });
        let headers: &[&str] = if origin {
            &["key", "value", "origin"]
        } else {
            &["key", "value"]
        };
        ctx.out.table(headers, rows.collect())
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(not set)".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}
