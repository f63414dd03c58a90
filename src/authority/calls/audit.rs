//! What an agent states for the record, and who may read the record.

use super::answer::Answer;
use super::{Cx, Done, Halt, OpKind, tag};
use crate::authority::event::{Ending, Row, Subject};
use crate::authority::identity::Omni;
use crate::authority::ports::{
    ActorName, AuditProof, AuditReach, Committed, Effect, EventFilter, Guard, LoggedEvent, Slot,
    Test, Unit,
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
pub(super) async fn append(cx: &Cx<'_>, statement: &Statement) -> Done {
    let (_, scope) = cx.caller()?;
    let slot = Slot::Statements;
    let ledger = cx.authority.ledger();
    let facts = ledger.salt(scope, slot).await.map_err(unavailable)?;
    let (salt, new_salt) = cx.salt(&facts);
    let text = statement.json.expose().as_bytes();
    let about = json!({ "kind": crate::text::clean_to(&statement.kind, 40) });
    let row = Row::new(OpKind::AgentStatement, APPEND, Ending::Accept, "stated")
        .with("detail", about)
        .with(
            "content_tag",
            Value::from(hex::encode(tag(&salt.bytes, text))),
        )
        .with("content_length", Value::from(text.len()));
    let event = cx.authority.event(cx.principal, row);
    let event_id = event.id.clone();
    let hash = crate::audit::envelope::hash(&event.envelope);
    let sealed = cx.authority.vault().seal(scope, &salt, &event_id, text);
    let sealed = sealed.map_err(|error| {
        tracing::error!(%error, "a statement could not be sealed");
        Refusal::from(Cause::AuditUnavailable)
    })?;
    let mut guards = cx.still_bound(scope);
    guards.push(Guard::fresh(Test::SaltIs {
        scope: scope.clone(),
        slot,
        epoch: (!new_salt).then_some(salt.epoch),
    }));
    let mut effects = Vec::new();
    if new_salt {
        let scope = scope.clone();
        effects.push(Effect::UseSalt { scope, slot, salt });
    }
    effects.push(Effect::KeepStatement {
        scope: scope.clone(),
        event_id: event_id.clone(),
        sealed,
    });
    let unit = Unit {
        guards,
        effects,
        event,
    };
    let answer = Answer::Stated {
        event_id: event_id.clone(),
        envelope_hash: format!("0x{}", hex::encode(hash)),
    };
    match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Ok(Outcome { answer, event_id }),
        Committed::Refused { .. } | Committed::Stale => Err(Halt::Stale),
    }
}

/// Records that the log is about to be read.
pub(super) async fn open_read(cx: &Cx<'_>, what: &str, actor: Option<Omni>) -> Done {
    let row = Row::new(OpKind::AuditRead, "audit.read", Ending::Accept, "read").with(
        "detail",
        json!({ "what": crate::text::clean_to(what, 200) }),
    );
    let own = match cx.principal.who() {
        Who::Parent(own) | Who::Viewer(own, _) => Some(*own),
        _ => None,
    };
    let subject = Subject::of(cx.principal);
    let subject = match actor.or(own) {
        Some(actor) => subject.about(actor, cx.authority.operator()),
        None => subject,
    };
    let event = cx.authority.event_about(cx.principal, &subject, row);
    let nothing = Answer::Json(Value::Null);
    Ok(cx.authority.record(event, nothing).await?)
}

/// What one reader may see: which events, and which of their fields.
#[derive(Debug, Clone)]
pub struct Reading {
    reach: AuditReach,
    /// A viewer's namespaces; everything else of other namespaces is blanked.
    only: Option<NamespaceSet>,
}

impl Reading {
    pub(in crate::authority) const fn reach(&self) -> &AuditReach {
        &self.reach
    }

    /// Whether nothing is hidden from this reader.
    pub(in crate::authority) const fn sees_all(&self) -> bool {
        matches!(self.reach, AuditReach::All(_)) && self.only.is_none()
    }
}

/// Fields a viewer never sees: they may speak of any namespace.
const NEVER: &[&str] = &["claimed", "detail", "inputs", "token_id"];

/// Fields a viewer sees only in rows of its own namespaces. The hash would let it test guesses of
/// what was blanked.
const OWN_ONLY: &[&str] = &[
    "namespace",
    "scope",
    "explanation",
    "policy_ids",
    "cap_id",
    "content_tag",
    "content_length",
    "object_key",
    "version",
    "envelope_hash",
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
            Who::Vendor(_) | Who::Known(..) => return Err(Cause::RoleForbidden.into()),
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

    /// The id of an actor that a reader names by id or by alias; an id need not be anybody's.
    pub async fn omni_of(&self, name: &str) -> Result<Option<Omni>, Refusal> {
        if let Ok(omni) = name.parse() {
            return Ok(Some(omni));
        }
        let named = Some(ActorName::Alias(name));
        let found = self.ledger().admission("", named).await;
        Ok(found.map_err(unavailable)?.actor.map(|actor| actor.omni))
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
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let log = self.log().log_state().await.map_err(unavailable)?;
        events
            .iter()
            .map(|e| show(e, reading, log.integrated))
            .collect()
    }

    /// How many of the first events have lost their bodies.
    pub async fn pruned(&self) -> Result<u64, Refusal> {
        let log = self.log().log_state().await.map_err(unavailable)?;
        Ok(log.pruned)
    }

    /// An actor and everything below it.
    pub(in crate::authority) async fn subtree(&self, root: Omni) -> Result<Vec<Omni>, Refusal> {
        self.ledger().subtree(root).await.map_err(unavailable)
    }
}

fn show(event: &LoggedEvent, reading: &Reading, integrated: u64) -> Result<Value, Refusal> {
    let mut json =
        crate::authority::event::to_json(event.seq, &event.envelope).map_err(|error| {
            tracing::error!(%error, seq = event.seq, "an envelope in the log does not decode");
            Refusal::from(Cause::AuditUnavailable)
        })?;
    if event.seq < integrated {
        json["leaf_index"] = event.seq.into();
    }
    if let Some(only) = reading.only {
        blank(&mut json, only);
    }
    Ok(json)
}

fn blank(json: &mut Value, only: NamespaceSet) {
    let Some(map) = json.as_object_mut() else {
        return;
    };
    for key in NEVER {
        map.remove(*key);
    }
    let text = |key: &str| map.get(key).and_then(Value::as_str);
    let own = match (text("namespace"), text("scope")) {
        (Some(word), _) => word.parse().is_ok_and(|n| only.has(n)),
        // A check of memory without the namespace in its row may have been about any.
        (None, Some(scope)) => !scope.starts_with("memory."),
        (None, None) => true,
    };
    if own {
        return;
    }
    for key in OWN_ONLY {
        if let Some(value) = map.get_mut(*key) {
            *value = Value::Null;
        }
    }
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
            json!({"namespace": null, "content_tag": null, "tool": "t", "envelope_hash": null})
        );
        let mut travel = json!({"namespace": "travel", "content_tag": "ab", "claimed": {}});
        blank(&mut travel, only);
        assert_eq!(travel, json!({"namespace": "travel", "content_tag": "ab"}));
    }
}
