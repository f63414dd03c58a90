//! What an agent states for the record, and who may read the record.

use super::answer::Answer;
use super::{ATTEMPTS, Cx, OpKind, tag};
use crate::authority::event::{Ending, Row, Subject};
use crate::authority::identity::Omni;
use crate::authority::ports::{
    AuditProof, AuditReach, Committed, Effect, EventFilter, Guard, LoggedEvent, Salt, Slot, Test,
    Unit,
};
use crate::authority::principal::{Principal, Who};
use crate::authority::words::NamespaceSet;
use crate::authority::{Authority, Cause, Outcome, Refusal, unavailable};
use crate::secret::Secret;
use serde_json::{Value, json};

const APPEND: &str = "agentkeys.audit.append";

/// The largest statement, in bytes of JSON.
pub const MAX_STATEMENT: usize = 4 * 1024;

/// What an agent says it did. Recorded as its own words, never as a decision of ours.
#[derive(Debug)]
pub struct Statement {
    /// A short word for what it is about.
    pub kind: String,
    /// All of it, as compact JSON; sealed.
    pub json: Secret<String>,
}

/// `agentkeys.audit.append`
pub(super) async fn append(cx: &Cx<'_>, statement: &Statement) -> Result<Outcome, Refusal> {
    let (_, scope) = cx.caller()?;
    for _ in 0..ATTEMPTS {
        let facts = cx
            .authority
            .ledger()
            .salt(scope, Slot::Statements)
            .await
            .map_err(unavailable)?;
        let (salt, new_salt) = match facts.salt {
            Some(salt) => (salt, false),
            None => (
                Salt {
                    epoch: facts.next_epoch,
                    bytes: Secret::new(cx.authority.random()),
                },
                true,
            ),
        };
        let text = statement.json.expose().as_bytes();
        let row = Row::new(OpKind::AgentStatement, APPEND, Ending::Accept, "stated")
            .with(
                "detail",
                json!({ "kind": crate::text::clean_to(&statement.kind, 40) }),
            )
            .with(
                "content_tag",
                Value::from(hex::encode(tag(&salt.bytes, text))),
            )
            .with("content_length", Value::from(text.len()));
        let event = cx.authority.event(cx.principal, row);
        let sealed = cx
            .authority
            .vault()
            .seal(scope, &salt, &event.id, text)
            .map_err(|error| {
                tracing::error!(%error, "a statement could not be sealed");
                Refusal::from(Cause::AuditUnavailable)
            })?;
        let event_id = event.id.clone();
        let envelope_hash = format!(
            "0x{}",
            hex::encode(crate::audit::envelope::hash(&event.envelope))
        );
        let epoch = (!new_salt).then_some(salt.epoch);
        let slot = Slot::Statements;
        let guards = vec![Guard::fresh(Test::SaltIs {
            scope: scope.clone(),
            slot,
            epoch,
        })];
        let mut effects = Vec::new();
        if new_salt {
            effects.push(Effect::UseSalt {
                scope: scope.clone(),
                slot,
                salt,
            });
        }
        let kept = Effect::KeepStatement {
            scope: scope.clone(),
            event_id: event_id.clone(),
            sealed,
        };
        effects.push(kept);
        let unit = Unit {
            guards,
            effects,
            event,
        };
        if let Committed::Done { .. } = cx.authority.commit(unit).await? {
            let answer = Answer::Stated {
                event_id: event_id.clone(),
                envelope_hash,
            };
            return Ok(Outcome { answer, event_id });
        }
        tracing::debug!("a statement's salt moved; again");
    }
    Err(Cause::AuditUnavailable.into())
}

/// Records that the log is about to be read.
pub(super) async fn open_read(
    cx: &Cx<'_>,
    what: &str,
    actor: Option<Omni>,
) -> Result<Outcome, Refusal> {
    let row = Row::new(OpKind::AuditRead, "audit.read", Ending::Accept, "read").with(
        "detail",
        json!({ "what": crate::text::clean_to(what, 200) }),
    );
    let subject = Subject::of(cx.principal);
    let subject = match actor {
        Some(actor) => subject.about(actor, cx.authority.operator()),
        None => subject,
    };
    let event = cx.authority.event_about(cx.principal, &subject, row);
    cx.authority.record(event, Answer::Json(Value::Null)).await
}

/// What one reader may see: which events, and which of their fields.
#[derive(Debug, Clone)]
pub struct Reading {
    reach: AuditReach,
    /// A viewer's namespaces; everything else of other namespaces is blanked.
    only: Option<NamespaceSet>,
}

/// Fields a viewer does not see of a namespace that is not its own.
const BLANKED: &[&str] = &[
    "namespace",
    "content_tag",
    "content_length",
    "object_key",
    "version",
    "token_id",
    "claimed",
    "detail",
];

impl Authority {
    /// What a caller may read of the log; an actor outside its reach is refused.
    pub async fn reading(
        &self,
        principal: &Principal,
        actor: Option<Omni>,
    ) -> Result<Reading, Refusal> {
        let own = match principal.who() {
            Who::Operator | Who::Auditor => None,
            Who::Parent(root) => Some(self.subtree(*root).await?),
            Who::Viewer(own, _) => Some(vec![*own]),
            Who::Vendor(_) | Who::Known(_) => return Err(Cause::RoleForbidden.into()),
        };
        let reach = match (own, actor) {
            (None, _) => AuditReach::All(AuditProof::new()),
            (Some(own), Some(actor)) if !own.contains(&actor) => {
                return Err(Cause::ActorForbidden.into());
            }
            (Some(own), _) => AuditReach::Actors(own, AuditProof::new()),
        };
        let only = match principal.who() {
            Who::Viewer(_, namespaces) => Some(*namespaces),
            _ => None,
        };
        Ok(Reading { reach, only })
    }

    /// Puts on record that a read was refused, and hands the refusal back.
    pub async fn refuse_read(&self, principal: &Principal, refusal: Refusal) -> Refusal {
        let row = Row::new(
            OpKind::AuthRefused,
            "audit.read",
            Ending::Deny,
            refusal.cause.reason(),
        )
        .status(refusal.cause.status());
        let event = self.event(principal, row);
        match self.record(event, Answer::Json(Value::Null)).await {
            Ok(_) => refusal,
            Err(unavailable) => unavailable,
        }
    }

    /// Reads events as JSON, oldest first, blanked for this reader.
    pub async fn events(
        &self,
        reading: &Reading,
        filter: &EventFilter,
    ) -> Result<Vec<Value>, Refusal> {
        // A viewer may not find out by filtering what it is not shown.
        if let (Some(only), Some(namespace)) = (reading.only, filter.namespace)
            && !only.has(namespace)
        {
            return Ok(Vec::new());
        }
        let events = self
            .ledger()
            .events(&reading.reach, filter)
            .await
            .map_err(unavailable)?;
        events.iter().map(|e| show(e, reading)).collect()
    }

    /// An actor and everything below it.
    pub(in crate::authority) async fn subtree(&self, root: Omni) -> Result<Vec<Omni>, Refusal> {
        let actors = self.ledger().actors().await.map_err(unavailable)?;
        let mut found = vec![root];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            next += 1;
            let children = actors
                .iter()
                .filter(|a| a.parent == Some(parent))
                .map(|a| a.omni);
            let fresh: Vec<_> = children.filter(|c| !found.contains(c)).collect();
            found.extend(fresh);
        }
        Ok(found)
    }
}

fn show(event: &LoggedEvent, reading: &Reading) -> Result<Value, Refusal> {
    let mut json =
        crate::authority::event::to_json(event.seq, &event.envelope).map_err(|error| {
            tracing::error!(%error, seq = event.seq, "an envelope in the log does not decode");
            Refusal::from(Cause::AuditUnavailable)
        })?;
    if let Some(only) = reading.only {
        blank(&mut json, only);
    }
    Ok(json)
}

fn blank(json: &mut Value, only: NamespaceSet) {
    let Some(map) = json.as_object_mut() else {
        return;
    };
    let namespace = map.get("namespace").and_then(Value::as_str);
    let own = namespace.is_none_or(|n| n.parse().is_ok_and(|n| only.has(n)));
    if own {
        map.remove("claimed");
        return;
    }
    for key in BLANKED {
        if let Some(value) = map.get_mut(*key) {
            *value = Value::Null;
        }
    }
    // The hash would let a viewer test guesses of what was blanked.
    map.insert("envelope_hash".into(), Value::Null);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::words::Namespace;

    #[test]
    fn a_viewer_sees_other_namespaces_blanked() {
        let only = NamespaceSet::NONE.with(Namespace::Travel);
        let mut family = json!({"namespace": "family", "content_tag": "ab", "tool": "t", "token_id": "x", "envelope_hash": "0x1"});
        blank(&mut family, only);
        assert_eq!(
            family,
            json!({"namespace": null, "content_tag": null, "tool": "t", "token_id": null, "envelope_hash": null})
        );
        let mut travel = json!({"namespace": "travel", "content_tag": "ab", "claimed": {}});
        blank(&mut travel, only);
        assert_eq!(travel, json!({"namespace": "travel", "content_tag": "ab"}));
    }
}
