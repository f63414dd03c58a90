//! A device that is no longer: its JWT is dead, its binding gone. What its actor remembers is the
//! parent's to erase.

use super::register::{bound, ended, rebound};
use super::{REMOVE, no_device, still_allowed};
use crate::authority::calls::{Answer, Cx, Done, Halt, OpKind};
use crate::authority::device::{DeviceId, DeviceRow};
use crate::authority::event::{Ending, Row, Subject, rfc3339};
use crate::authority::ports::{Committed, Effect, Guard, Test, Unit};
use crate::authority::principal::ActorScope;
use crate::authority::{Outcome, unavailable};
use serde_json::json;

pub(in crate::authority::calls) async fn remove(cx: &Cx<'_>, vendor: &str, id: &DeviceId) -> Done {
    let found = cx.authority.ledger().device(vendor, id).await;
    let found = found.map_err(unavailable)?;
    let Some(device) = found.filter(|d| d.removed_ms.is_none()) else {
        return Ok(cx.invalid(REMOVE, no_device()).await?);
    };
    let scope = ActorScope::new(device.actor, cx.authority.operator());
    let old = bound(cx, &scope, vendor).await?;
    let at_ms = cx.principal.frame().at_ms;
    let said = json!({
        "device_id": id.as_str(), "generation": device.generation, "token_id": device.token_id,
    });
    let row = Row::new(OpKind::Actor, REMOVE, Ending::Accept, "removed").with("detail", said);
    let subject = Subject::of(cx.principal).about(device.actor, cx.authority.operator());
    let event = cx.authority.event_about(cx.principal, &subject, row);
    let event_id = event.id.clone();
    let answer = json!({
        "vendor": vendor, "device_id": id.as_str(), "actor_omni": device.actor.to_string(),
        "token_id": device.token_id, "removed_at": rfc3339(at_ms),
    });
    let mut guards = still_allowed(cx);
    guards.extend(unchanged(&device, &scope, old.revision).map(Guard::fresh));
    let mut effects = vec![
        Effect::RevokeToken {
            id: device.token_id,
            at_ms,
        },
        Effect::RemoveDevice {
            vendor: vendor.to_owned(),
            id: id.clone(),
            at_ms,
        },
    ];
    effects.extend(rebound(&scope, vendor, &old, ended(&old), at_ms));
    let unit = Unit {
        guards,
        effects,
        event,
    };
    match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Ok(Outcome {
            answer: Answer::Json(answer),
            event_id,
        }),
        Committed::Refused { .. } | Committed::Stale => Err(Halt::Stale),
    }
}

fn unchanged(device: &DeviceRow, scope: &ActorScope, revision: i64) -> [Test; 2] {
    [
        Test::DeviceIs {
            vendor: device.vendor.clone(),
            id: device.device_id.clone(),
            state: Some(device.state()),
        },
        Test::BindingIs {
            scope: scope.clone(),
            vendor: device.vendor.clone(),
            revision,
        },
    ]
}
