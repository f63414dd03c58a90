//! The audit log itself: another name after a restore, and bodies that are no longer kept.

use super::Change;
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::found::log_origin;
use crate::authority::ports::{Effect, LogOrigin, Test};
use crate::authority::{Cause, Refusal};
use serde_json::json;

pub(super) const RESTART: &str = "audit.restart";

/// The log goes on under another name, with a key of its own. The event says what was signed last
/// under the name before it.
pub(super) async fn restart(cx: &Cx<'_>, closed: &LogOrigin, number: u32, last: &str) -> Done {
    let at_ms = cx.principal.frame().at_ms;
    let origin = log_origin(cx.authority.issuer(), number);
    let key = cx.authority.log_keys().fresh(&origin.name, at_ms);
    let key = key.map_err(|error| {
        tracing::error!(%error, "no key could be made");
        Refusal::from(Cause::AuditUnavailable)
    })?;
    let answer = json!({
        "origin": origin.name, "key": key.kid, "closed": closed.name, "last_checkpoint": last,
    });
    let busy = InputProblem::new(
        "agentkeys.audit.restarted",
        "the log was given another name at the same moment; run it again",
    );
    Change::new(cx, OpKind::Backup, RESTART, answer.clone())
        .unless(Test::LogIs(closed.number), busy)
        .effect(Effect::AddKey(key))
        .effect(Effect::BeginLog { origin, at_ms })
        .commit(cx, "restored_from_older_copy", Answer::Json(answer))
        .await
}
