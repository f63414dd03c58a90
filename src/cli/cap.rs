//! `agentkeys cap …`: look at a capability, take one back.

use super::Ctx;
use super::args::{Input, input};
use crate::authority::calls::admin::AdminCall;
use crate::authority::event::rfc3339_s;
use crate::authority::jws::MAX_BYTES;
use crate::operate::text;
use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Capabilities: signed permissions for one operation.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys cap inspect cap.jws
  agentkeys cap revoke O_kevin_001 cap_0198c0ffee0000000000000000000000")]
pub struct CapCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with caps.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Decode a cap and verify it against this folder's keys.
    #[command(
        before_help = "Examples:
  agentkeys cap inspect cap.jws
  agentkeys cap inspect - --json",
        after_help = "A cap that does not verify is shown too, as what it claims."
    )]
    Inspect {
        /// The cap: a file, or - for stdin.
        #[arg(value_name = "FILE", value_parser = input)]
        file: Input,
    },
    /// Take a cap back: online at once, offline when it ends.
    #[command(before_help = "Examples:
  agentkeys cap revoke O_kevin_001 cap_0198c0ffee0000000000000000000000")]
    Revoke {
        /// The actor's alias or omni.
        actor: String,
        /// The cap's id.
        #[arg(value_name = "CAP_ID")]
        cap_id: String,
    },
}

/// Runs a `cap` command.
pub async fn run(cmd: CapCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::Inspect { file } => inspect(ctx, &file).await,
        Verb::Revoke { actor, cap_id } => {
            let answer = ctx.admin(AdminCall::CapRevoke { actor, cap_id }).await?;
            ctx.out.answer(&answer, || {
                ctx.out.line(&format!(
                    "revoked {}; a verifier without network may take it until {}",
                    text(&answer, "cap_id"),
                    text(&answer, "offline_until")
                ))
            })
        }
    }
}

async fn inspect(ctx: &Ctx, file: &Input) -> Result<(), Problem> {
    // Twice the largest, so that one that is too large is called so and not cut.
    let cap = file.read(2 * MAX_BYTES)?;
    let cap = cap.expose().trim();
    let folder = ctx.open().await?;
    let seen = folder
        .authority
        .inspect_cap(&folder.operator(), cap)
        .await?;
    let mut parts = cap.split('.').map(decoded);
    let header = parts.next().unwrap_or(Value::Null);
    let claims = parts.next().unwrap_or(Value::Null);
    let mut answer = json!({
        "valid": seen.claims.is_ok() && matches!(seen.state, "live" | "spent"),
        "signature": seen.claims.is_ok(),
        "state": seen.state, "header": header, "claims": claims,
    });
    if let Err(error) = &seen.claims {
        answer["code"] = error.code().into();
        answer["reason"] = error.to_string().into();
    }
    ctx.out.answer(&answer, || human(ctx, &answer))
}

/// A part of a JWS that is JSON, else nothing.
fn decoded(part: &str) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(Value::Null)
}

fn human(ctx: &Ctx, answer: &Value) -> Result<(), Problem> {
    use super::out::Tone;
    let out = ctx.out;
    let state = text(answer, "state");
    let head = match (text(answer, "reason"), state) {
        ("", "live") => out.paint("\u{2713} valid and live", Tone::Good),
        ("", "spent") => out.paint("\u{2713} valid, and spent once already", Tone::Warn),
        ("", "revoked") => out.paint("\u{2717} well signed, but revoked", Tone::Bad),
        ("", _) => out.paint("? well signed, but this ledger never saw it", Tone::Warn),
        (reason, _) => out.paint(&format!("\u{2717} {reason}"), Tone::Bad),
    };
    out.painted(&head)?;
    for part in ["header", "claims"] {
        let Some(map) = answer[part].as_object() else {
            out.line(&format!("{part} cannot be read"))?;
            continue;
        };
        out.painted(&out.paint(part, Tone::Strong))?;
        let fields = map.iter().map(|(key, value)| {
            let shown = match (key.as_str(), value) {
                ("iat" | "nbf" | "exp", Value::Number(n)) => {
                    let time = n.as_u64().map(rfc3339_s).unwrap_or_default();
                    format!("{n} ({time})")
                }
                (_, Value::String(text)) => text.clone(),
                (_, value) => value.to_string(),
            };
            (key.as_str(), shown)
        });
        out.fields(&fields.collect::<Vec<_>>())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_decodes_to_nothing() {
        assert_eq!(decoded("eyJhIjoxfQ"), json!({"a": 1}));
        assert_eq!(decoded("####"), Value::Null);
        assert_eq!(decoded("AAAA"), Value::Null);
    }
}
