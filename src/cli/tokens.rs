//! What `vendor token` and `operator token` share.

use super::Ctx;
use super::out::Out;
use crate::authority::calls::admin::AdminCall;
use crate::operate::text;
use crate::problem::Problem;
use serde_json::{Value, json};

/// Shows a token that was just made, this once.
pub fn created(out: Out, answer: &Value) -> Result<(), Problem> {
    out.answer(answer, || {
        let whom = match (text(answer, "vendor"), text(answer, "role")) {
            ("", role @ ("operator" | "auditor")) => format!("an {role} token"),
            ("", role) => format!("a {role} token"),
            (vendor, _) => format!("a token for the vendor {vendor}"),
        };
        out.line(&format!("created {whom}"))?;
        out.fields(&[
            ("id", text(answer, "token_id").to_owned()),
            ("token", text(answer, "token").to_owned()),
            ("endpoint", text(answer, "endpoint").to_owned()),
            ("actor", text(answer, "actor_omni").to_owned()),
            ("expires", text(answer, "expires_at").to_owned()),
            ("replaces", text(answer, "replaces").to_owned()),
            (
                "old valid until",
                text(answer, "old_valid_until").to_owned(),
            ),
        ])?;
        out.note("The token is shown this once; only its hash is kept.");
        Ok(())
    })
}

/// Lists tokens: the vendors', or those of the other roles.
pub async fn list(ctx: &Ctx, vendors: bool) -> Result<(), Problem> {
    let rows = ctx.admin(AdminCall::TokenList { vendors }).await?;
    let out = ctx.out;
    let none = Vec::new();
    let tokens = rows.as_array().unwrap_or(&none);
    out.answer(&json!({"tokens": rows}), || {
        if tokens.is_empty() {
            return out.line("no tokens yet");
        }
        let whose = if vendors { "vendor" } else { "role" };
        let mut columns = vec![
            ("id", "token_id"),
            (whose, whose),
            ("actor", "actor_omni"),
            ("device", "device_id"),
            ("state", "state"),
            ("expires", "expires_at"),
            ("last used", "last_used_at"),
        ];
        columns.retain(|(name, _)| vendors || *name != "device");
        let cell = |t: &Value, key: &str| match key {
            "actor_omni" => short(text(t, key)),
            "expires_at" | "last_used_at" => minute(text(t, key)),
            _ => text(t, key).to_owned(),
        };
        let row = |t: &Value| columns.iter().map(|(_, key)| cell(t, key)).collect();
        let headers: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        out.table(&headers, tokens.iter().map(row).collect())
    })
}

/// Ends a token.
pub async fn revoke(ctx: &Ctx, id: String) -> Result<(), Problem> {
    let answer = ctx.admin(AdminCall::TokenRevoke { id }).await?;
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!(
            "revoked {} at {}; the next request with it is refused",
            text(&answer, "token_id"),
            text(&answer, "revoked_at")
        ))
    })
}

/// The beginning of an omni, enough for people to tell two apart.
pub fn short(omni: &str) -> String {
    match omni.get(..10) {
        Some(start) if omni.len() > 12 => format!("{start}…"),
        _ => omni.to_owned(),
    }
}

/// A time to the minute.
pub fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_are_short_for_people() {
        assert_eq!(short(&format!("0x{}", "ab".repeat(32))), "0xabababab…");
        assert_eq!(short(""), "");
        assert_eq!(minute("2026-04-12T09:10:11.123Z"), "2026-04-12 09:10");
        assert_eq!(minute(""), "");
    }
}
