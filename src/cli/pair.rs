//! `agentkeys actor pair`: a parent lets one device in.

use super::actor::Rights;
use super::args::{Span, money};
use super::{Ctx, qr};
use crate::authority::calls::admin::{AdminCall, PairRequest};
use crate::operate::text;
use crate::problem::Problem;
use clap::Args;
use serde_json::Value;

/// A consent for a device that is not there yet.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// What the vendor may do for the device's actor.
    #[command(flatten)]
    pub rights: Rights,
    /// The vendor's limit against that actor's spending of a day.
    #[arg(long, value_name = "MONEY", value_parser = money)]
    pub daily_cap: Option<(i64, String)>,
    /// How long the device's JWT will live.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub ttl: Span,
}

/// Makes a code and shows it, this once.
pub async fn run(ctx: &Ctx, args: PairArgs) -> Result<(), Problem> {
    let actor = args.rights.actor.clone();
    let request = PairRequest {
        rights: args.rights.request(args.daily_cap),
        ttl_ms: args.ttl.0,
    };
    let answer = ctx.admin(AdminCall::Pair(Box::new(request))).await?;
    ctx.out.answer(&answer, || show(ctx, &actor, &answer))
}

fn show(ctx: &Ctx, actor: &str, answer: &Value) -> Result<(), Problem> {
    let (out, code) = (ctx.out, text(answer, "pairing_code"));
    let vendor = text(answer, "vendor");
    out.line(&format!(
        "a device of {vendor} may become a child of {actor}"
    ))?;
    out.fields(&[
        ("code", code.to_owned()),
        ("expires", text(answer, "expires_at").to_owned()),
        ("pairing", text(answer, "pairing_id").to_owned()),
    ])?;
    qr::show(out, code)?;
    out.note("The code works once, within ten minutes; only its hash is kept.");
    out.next("type or scan it into the vendor's app, which registers the device");
    Ok(())
}
