//! What agents stated for the record, opened by the operator: a read of the log like any other, and
//! on record as one.

use crate::authority::calls::{Answer, Cx, Done, Halt, InputProblem, OpKind, tag};
use crate::authority::event::{Ending, Row, Subject, to_json};
use crate::authority::identity::Omni;
use crate::authority::ports::{
    AuditProof, AuditReach, Committed, Guard, LoggedEvent, Slot, StatementFacts, Test, Unit,
};
use crate::authority::principal::ActorScope;
use crate::authority::{Cause, Outcome, Refusal, unavailable};
use serde_json::{Value, json};

pub(super) const TOOL: &str = "audit.statement";

pub(super) async fn open(cx: &Cx<'_>, event_id: &str) -> Done {
    let ledger = cx.authority.ledger();
    let reach = AuditReach::All(AuditProof::new());
    let found = ledger.event(&reach, event_id).await.map_err(unavailable)?;
    let Some(event) = found else {
        let problem = InputProblem::new(
            "agentkeys.audit.event_not_found",
            "no event has this id; `agentkeys audit list` shows those there are",
        );
        return Ok(cx.invalid(TOOL, problem).await?);
    };
    let event = shown(&event)?;
    let Some(actor) = stated_for(&event) else {
        let problem = InputProblem::new(
            "agentkeys.audit.not_a_statement",
            "no agent stated anything in this event; `agentkeys audit list --tool agentkeys.audit.append` shows where they did",
        );
        return Ok(cx.invalid(TOOL, problem).await?);
    };
    let scope = ActorScope::new(actor, cx.authority.operator());
    let subject = Subject::of(cx.principal).about(actor, scope.operator());
    let facts = ledger.statement(&scope, event_id).await;
    let facts = facts.map_err(unavailable)?;
    let text = match opened(cx, &scope, event_id, &event, &facts) {
        Ok(text) => text,
        Err(problem) => return cx.invalid_about(&subject, TOOL, problem).await,
    };
    let row = Row::new(OpKind::AuditRead, TOOL, Ending::Accept, "read")
        .with("detail", json!({ "event_id": event_id }));
    let read = cx.authority.event_about(cx.principal, &subject, row);
    let read_id = read.id.clone();
    // What was erased meanwhile is not told after the erasure's row.
    let still = Test::SaltIs {
        scope,
        slot: Slot::Statements,
        epoch: facts.salt.salt.map(|salt| salt.epoch),
    };
    let unit = Unit {
        guards: vec![Guard::fresh(still)],
        effects: Vec::new(),
        event: read,
    };
    match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Ok(Outcome {
            answer: Answer::Json(answer(&event, text)),
            event_id: read_id,
        }),
        Committed::Refused { .. } | Committed::Stale => Err(Halt::Stale),
    }
}

fn shown(event: &LoggedEvent) -> Result<Value, Refusal> {
    to_json(event.seq, &event.envelope).map_err(|error| {
        tracing::error!(%error, seq = event.seq, "an envelope in the log does not decode");
        Cause::AuditUnavailable.into()
    })
}

/// Whose agent stated something in an event.
fn stated_for(event: &Value) -> Option<Omni> {
    let kind = u64::from(OpKind::AgentStatement.as_byte());
    if event["op_kind"].as_u64() != Some(kind) {
        return None;
    }
    event["actor_omni"].as_str()?.parse().ok()
}

/// The text, if it is the one that the row speaks of.
fn opened(
    cx: &Cx<'_>,
    scope: &ActorScope,
    event_id: &str,
    event: &Value,
    facts: &StatementFacts,
) -> Result<String, InputProblem> {
    let (Some(sealed), Some(salt)) = (&facts.sealed, &facts.salt.salt) else {
        return Err(InputProblem::new(
            "agentkeys.audit.statement_erased",
            "what was stated here is erased, for everybody and for good; the row with its time, length and tag is what is left",
        ));
    };
    let damaged = || {
        tracing::error!(event_id, "a statement did not open");
        InputProblem::new(
            "agentkeys.audit.integrity_error",
            "what is kept is not what was stated; restore the ledger and keys/root.key from one backup",
        )
    };
    let vault = cx.authority.vault();
    let text = vault.unseal(scope, salt, event_id, sealed);
    let text = text.map_err(|_| damaged())?;
    if event["content_tag"] != hex::encode(tag(&salt.bytes, &text)) {
        return Err(damaged());
    }
    String::from_utf8(text).map_err(|_| damaged())
}

fn answer(event: &Value, text: String) -> Value {
    let mut out = json!({});
    for key in [
        "event_id",
        "seq",
        "ts",
        "actor_omni",
        "vendor",
        "rail",
        "token_id",
    ] {
        out[key] = event[key].clone();
    }
    out["statement"] = serde_json::from_str(&text).unwrap_or(Value::String(text));
    out
}
