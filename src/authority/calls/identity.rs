//! Who am I.

use super::answer::{Answer, ReadWrite, Whoami};
use super::{Cx, Done, Halt, OpKind};
use crate::authority::Outcome;
use crate::authority::event::{Ending, Row};
use crate::authority::ports::{Committed, Unit};

/// Answers who the actor is and what this vendor may do for it. No scope is there by default.
pub(super) async fn whoami(cx: &Cx<'_>) -> Done {
    let (vendor, scope) = cx.caller()?;
    let binding = &vendor.binding;
    let answer = Whoami {
        omni: scope.actor().to_string(),
        alias: vendor.actor.alias.to_string(),
        display_name: vendor.actor.display_name.clone(),
        parent_omni: vendor.actor.parent.map(|p| p.to_string()),
        derivation_path: vendor.actor.derivation_path.clone(),
        vendor: vendor.name.clone(),
        rail: vendor.rail.as_str().to_owned(),
        scopes: binding
            .scopes
            .iter()
            .filter(|s| s.ends_with(".*") || binding.grants(s))
            .cloned()
            .collect(),
        namespaces: ReadWrite {
            read: binding.read,
            write: binding.write,
        },
    };
    let row = Row::new(
        OpKind::Whoami,
        "agentkeys.identity.whoami",
        Ending::Accept,
        "identity_told",
    );
    let event = cx.authority.event(cx.principal, row);
    let event_id = event.id.clone();
    let unit = Unit {
        guards: cx.still_bound(scope),
        effects: Vec::new(),
        event,
    };
    match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Ok(Outcome {
            answer: Answer::Whoami(answer),
            event_id,
        }),
        Committed::Refused { .. } | Committed::Stale => Err(Halt::Stale),
    }
}
