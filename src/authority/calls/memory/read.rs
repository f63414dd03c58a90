//! Reading a version.

use super::super::answer::{Answer, Memory};
use super::super::{Cx, Done, Halt, InputProblem};
use super::object::{about, broken, open, sha256};
use super::{Access, Namespace};
use crate::authority::event::{Ending, rfc3339};
use crate::authority::ports::{Committed, Guard, Slot, Test, Unit};
use crate::authority::{Outcome, unavailable};
use serde_json::Value;

/// Reads a version under a permission that was found.
pub(in super::super) async fn read(
    cx: &Cx<'_>,
    access: &Access<'_>,
    namespace: Namespace,
    version: Option<u64>,
) -> Done {
    let ledger = cx.authority.ledger();
    let facts = ledger
        .memory(access.scope, namespace, version, None)
        .await
        .map_err(unavailable)?;
    let wanted = match version {
        Some(_) => facts.wanted.as_ref(),
        None => facts.current.as_ref(),
    };
    if version.is_some() && wanted.is_none() {
        let problem = InputProblem::new(
            "agentkeys.memory.version_not_found",
            "there is no such version; leave `version` out for the current one",
        );
        return cx
            .invalid_about(&access.subject, access.tool, problem)
            .await;
    }
    let mut guards = (access.guards)();
    let text = match open(cx, access, namespace, wanted, &facts).await {
        Ok(text) => text,
        Err(error) => {
            // An erasure that came between looks like damage; looking again tells.
            let now = ledger
                .memory(access.scope, namespace, version, None)
                .await
                .map_err(unavailable)?;
            if now.salt.salt.as_ref().map(|s| s.epoch) != facts.salt.salt.as_ref().map(|s| s.epoch)
            {
                return Err(Halt::Stale);
            }
            return broken(cx, access, namespace, &error).await;
        }
    };
    if let (Some(_), Some(salt)) = (wanted, &facts.salt.salt) {
        // What was erased meanwhile is not told after the erasure's row.
        guards.push(Guard::fresh(Test::SaltIs {
            scope: access.scope.clone(),
            slot: Slot::Memory(namespace),
            epoch: Some(salt.epoch),
        }));
    }
    let row = (access.row)(Ending::Accept, "").namespace(namespace);
    let row = match wanted {
        Some(stored) => about(row, stored),
        None => row.with("version", Value::from(0)),
    };
    let event = cx.authority.event_about(cx.principal, &access.subject, row);
    let event_id = event.id.clone();
    let answer = Answer::Memory(Memory {
        namespace,
        sha256: sha256(text.as_bytes()),
        content: text,
        version: wanted.map_or(0, |s| s.version),
        updated_at: wanted.map(|s| rfc3339(s.written_ms)),
    });
    let unit = Unit {
        guards,
        effects: Vec::new(),
        event,
    };
    match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Ok(Outcome { answer, event_id }),
        Committed::Refused { .. } | Committed::Stale => Err(Halt::Stale),
    }
}
