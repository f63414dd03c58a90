//! The audit log itself: another name after a restore, and bodies that are no longer kept.

use super::{Change, told};
use crate::audit::anchor::Anchor;
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::event::rfc3339;
use crate::authority::found::next_origin;
use crate::authority::ports::{
    AuditProof, AuditReach, Effect, EventFilter, KeptAnchor, LogOrigin, Test, WhichCheckpoint,
};
use crate::authority::{Cause, Refusal, unavailable};
use serde_json::json;

pub(super) const ANCHOR: &str = "audit.anchor";
pub(super) const CHECK: &str = "audit.check";
pub(super) const PRUNE: &str = "audit.prune";
pub(super) const RESTART: &str = "audit.restart";

/// The log goes on under another name, with a key of its own. The event says what was signed last
/// under the name before it.
pub(super) async fn restart(cx: &Cx<'_>, closed: &LogOrigin, number: u32, last: &str) -> Done {
    let at_ms = cx.principal.frame().at_ms;
    let origin = next_origin(cx.authority.issuer(), number, cx.authority.random());
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

/// A root is on a chain: keeps where, signed under the log's name that it has, and says so in the log.
pub(super) async fn anchor(cx: &Cx<'_>, origin: u32, landed: &Anchor) -> Done {
    let at_ms = cx.principal.frame().at_ms;
    let named = cx.authority.log().origin(origin).await;
    let Some(named) = named.map_err(unavailable)? else {
        tracing::error!(origin, "the log never had the name that was anchored");
        return Err(Cause::AuditUnavailable.into());
    };
    let anchor = Anchor {
        origin: named.name,
        ..landed.clone()
    };
    let keys = cx.authority.log_keys().signing(&anchor.origin, at_ms);
    let note = anchor.sign(&keys.await.map_err(unavailable)?);
    let note = note.map_err(|error| {
        tracing::error!(%error, "an anchor could not be signed");
        Refusal::from(Cause::AuditUnavailable)
    })?;
    let answer = json!({
        "origin": anchor.origin, "chain_id": anchor.chain_id,
        "contract": format!("0x{}", hex::encode(anchor.contract)),
        "transaction": format!("0x{}", hex::encode(anchor.transaction)),
        "block": anchor.block, "entries": anchor.anchored.entry_count,
        "root": format!("0x{}", hex::encode(anchor.anchored.root)),
    });
    let twice = InputProblem::new(
        "agentkeys.audit.anchored",
        "this transaction is kept already; there is nothing to do",
    );
    let new = Test::AnchorIsNew {
        chain_id: anchor.chain_id,
        transaction: anchor.transaction,
    };
    let kept = KeptAnchor {
        origin,
        note: note.to_string(),
        anchor,
        at_ms,
    };
    Change::new(cx, OpKind::Anchor, ANCHOR, answer.clone())
        .unless(new, twice)
        .effect(Effect::KeepAnchor(Box::new(kept)))
        .commit(cx, "anchored", Answer::Json(answer))
        .await
}

/// Removes the bodies of the events from the log's beginning up to the first that is young enough,
/// as far as a checkpoint covers them: their leaves stay in the tree, so whoever kept an event can
/// still prove it, and nobody else can read it any more.
pub(super) async fn prune(cx: &Cx<'_>, before_ms: i64) -> Done {
    if before_ms > cx.principal.frame().at_ms {
        let problem = InputProblem::new(
            "agentkeys.audit.prune_future",
            "that time is yet to come; name one that is over, as `--before 365d`",
        );
        return Ok(cx.invalid(PRUNE, problem).await?);
    }
    let log = cx.authority.log();
    let state = log.log_state().await.map_err(unavailable)?;
    let last = log.checkpoint(state.origin.number, WhichCheckpoint::Last);
    let sealed = last.await.map_err(unavailable)?.map_or(0, |last| last.size);
    let young = EventFilter {
        since_ms: Some(before_ms),
        limit: 1,
        ..EventFilter::default()
    };
    let reach = AuditReach::All(AuditProof::new());
    let young = cx.authority.ledger().events(&reach, &young).await;
    let young = young.map_err(unavailable)?;
    let until = young.first().map_or(sealed, |event| event.seq.min(sealed));
    let until = until.max(state.pruned);
    let answer = json!({
        "before": rfc3339(before_ms), "pruned": until - state.pruned, "first_kept": until,
    });
    if until == state.pruned {
        return Ok(told(answer));
    }
    Change::new(cx, OpKind::Prune, PRUNE, answer.clone())
        .effect(Effect::PruneEvents { until })
        .commit(cx, "pruned", Answer::Json(answer))
        .await
}

/// How one part of the log was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStatus {
    /// As it has to be.
    Ok,
    /// It was not, and is again.
    Repaired,
    /// It is not.
    Bad,
}

impl LogStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Repaired => "repaired",
            Self::Bad => "bad",
        }
    }
}

/// What a check of the log found of one part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFinding {
    /// Which part.
    pub id: &'static str,
    /// How it is.
    pub status: LogStatus,
    /// Why, in words.
    pub cause: String,
    /// What to do, where it is bad.
    pub fix: String,
}

/// Records a check, and what was repaired.
pub(super) async fn check(cx: &Cx<'_>, findings: &[LogFinding]) -> Done {
    let is = |status| findings.iter().any(|f| f.status == status);
    let reason = match (is(LogStatus::Bad), is(LogStatus::Repaired)) {
        (true, _) => "damaged",
        (false, true) => "repaired",
        (false, false) => "checked",
    };
    let told = findings.iter().map(|f| {
        json!({
            "id": f.id, "status": f.status.as_str(), "cause": crate::text::clean_to(&f.cause, 400),
        })
    });
    let detail = json!({ "findings": told.collect::<Vec<_>>() });
    Change::new(cx, OpKind::LogCheck, CHECK, detail)
        .commit(cx, reason, Answer::Json(serde_json::Value::Null))
        .await
}
