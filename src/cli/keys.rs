//! `agentkeys keys …`: the rings that sign.

use super::Ctx;
use super::tokens::minute;
use crate::authority::calls::admin::{AdminCall, SigningRing};
use crate::operate::text;
use crate::problem::Problem;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// Keys that sign, as `/.well-known/jwks.json` and `/.well-known/agentkeys/log-key` publish them.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys keys list
  agentkeys keys rotate --purpose actor-jwt")]
pub struct KeysCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List them by what they sign, oldest first.
    #[command(before_help = "Examples:
  agentkeys keys list
  agentkeys keys list --json")]
    List,
    /// Sign with a new key from now on; what the old one signed holds on.
    #[command(before_help = "Examples:
  agentkeys keys rotate --purpose actor-jwt
  agentkeys keys rotate --purpose log")]
    Rotate {
        /// What it signs.
        #[arg(long)]
        purpose: Purpose,
    },
}

/// The rings that can be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// The JWTs of devices' actors.
    ActorJwt,
    /// The audit log's checkpoints; the old key goes on signing beside the new one for 30 days.
    Log,
}

/// Runs a `keys` command.
pub async fn run(cmd: KeysCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::List => list(ctx).await,
        Verb::Rotate { purpose } => rotate(ctx, purpose).await,
    }
}

async fn list(ctx: &Ctx) -> Result<(), Problem> {
    let rows = ctx.admin(AdminCall::KeyList).await?;
    let out = ctx.out;
    let none = Vec::new();
    let keys = rows.as_array().unwrap_or(&none);
    out.answer(&json!({"keys": rows}), || {
        let row = |key: &Value| {
            let cell = |name: &str| text(key, name).to_owned();
            vec![
                cell("purpose"),
                cell("kid"),
                cell("state"),
                minute(text(key, "created_at")),
            ]
        };
        let headers = ["purpose", "kid", "state", "created"];
        out.table(&headers, keys.iter().map(row).collect())
    })
}

async fn rotate(ctx: &Ctx, purpose: Purpose) -> Result<(), Problem> {
    let (ring, what, note) = match purpose {
        Purpose::ActorJwt => (
            SigningRing::ActorJwt,
            "actors' JWTs are",
            "What the key before it signed goes on working until it expires or is revoked.",
        ),
        Purpose::Log => (
            SigningRing::Log,
            "the audit log is",
            "The key before it signs beside it for 30 days: tell those who pinned that one.",
        ),
    };
    let answer = ctx.admin(AdminCall::KeyRotate(ring)).await?;
    ctx.out.answer(&answer, || {
        let kid = text(&answer, "kid");
        ctx.out
            .line(&format!("{what} signed with {kid} from now on"))?;
        ctx.out.note(note);
        Ok(())
    })
}
