//! `agentkeys budget …`: money set aside.

use super::Ctx;
use crate::authority::budget::format_minor;
use crate::authority::calls::admin::AdminCall;
use crate::operate::text;
use crate::problem::Problem;
use clap::{Args, Subcommand};
use serde_json::Value;

/// Money that accepted checks set aside.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys budget show O_kevin_001
  agentkeys budget release dec_0198c0ffee0000000000000000000000")]
pub struct BudgetCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with budgets.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show the reservations of an actor's day.
    #[command(before_help = "Examples:
  agentkeys budget show O_kevin_001
  agentkeys budget show O_kevin_001 --json")]
    Show {
        /// The actor's alias or omni.
        actor: String,
    },
    /// Give reserved money back to the day.
    #[command(before_help = "Examples:
  agentkeys budget release dec_0198c0ffee0000000000000000000000")]
    Release {
        /// The decision that reserved it.
        decision: String,
    },
}

/// Runs a `budget` command.
pub async fn run(cmd: BudgetCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::Show { actor } => show(ctx, actor).await,
        Verb::Release { decision } => {
            let call = AdminCall::BudgetRelease {
                actor: None,
                decision_id: decision,
            };
            let answer = ctx.admin(call).await?;
            ctx.out.answer(&answer, || {
                ctx.out.line(&format!(
                    "released {} of {}; it may be spent again",
                    money(&answer),
                    text(&answer, "day")
                ))
            })
        }
    }
}

async fn show(ctx: &Ctx, actor: String) -> Result<(), Problem> {
    let answer = ctx.admin(AdminCall::BudgetShow { actor }).await?;
    let none = Vec::new();
    let held = answer.get("reservations").and_then(Value::as_array);
    let held = held.unwrap_or(&none);
    ctx.out.answer(&answer, || {
        let spent = answer["spent_minor"].as_i64().unwrap_or(0);
        ctx.out.line(&format!(
            "{} ({}): {} RMB set aside or spent",
            text(&answer, "day"),
            text(&answer, "time_zone"),
            format_minor(spent)
        ))?;
        if held.is_empty() {
            return Ok(());
        }
        let row = |r: &Value| {
            vec![
                text(r, "decision_id").to_owned(),
                text(r, "vendor").to_owned(),
                text(r, "scope").to_owned(),
                money(r),
                text(r, "state").to_owned(),
                text(r, "reference").to_owned(),
            ]
        };
        ctx.out.table(
            &[
                "decision",
                "vendor",
                "scope",
                "amount",
                "state",
                "reference",
            ],
            held.iter().map(row).collect(),
        )
    })
}

fn money(value: &Value) -> String {
    let minor = value["amount_minor"].as_i64().unwrap_or(0);
    format!("{} {}", format_minor(minor), text(value, "currency"))
}
