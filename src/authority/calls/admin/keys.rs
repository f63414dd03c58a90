//! The rings that sign: what is in them, and a new key in front.

use super::{Change, SigningRing, rows};
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::event::rfc3339;
use crate::authority::found::purpose;
use crate::authority::ports::{Effect, SealedKey, Test};
use crate::authority::{Cause, Refusal, unavailable};
use serde_json::{Value, json};

/// The rings that sign, whose public halves the world sees in `jwks.json` and `log-key`.
const SIGNING: [&str; 3] = [purpose::CAP, purpose::ACTOR_JWT, purpose::LOG];

async fn ring(cx: &Cx<'_>, purpose: &str) -> Result<Vec<SealedKey>, Refusal> {
    cx.authority
        .ledger()
        .keys(purpose)
        .await
        .map_err(unavailable)
}

fn to_json(key: &SealedKey, newest: bool) -> Value {
    let state = if newest { "signs" } else { "verifies" };
    json!({
        "purpose": key.purpose, "kid": key.kid, "state": state,
        "created_at": rfc3339(key.created_ms),
    })
}

pub(super) async fn list(cx: &Cx<'_>) -> Done {
    let mut all = Vec::new();
    for purpose in SIGNING {
        let ring = ring(cx, purpose).await?;
        let last = ring.len().saturating_sub(1);
        all.extend(
            ring.iter()
                .enumerate()
                .map(|(at, key)| to_json(key, at == last)),
        );
    }
    Ok(rows(all))
}

/// Puts a new key in front of a ring. What those before it signed goes on being verified with them.
pub(super) async fn rotate(cx: &Cx<'_>, which: SigningRing) -> Done {
    let at_ms = cx.principal.frame().at_ms;
    let (purpose, key) = match which {
        SigningRing::ActorJwt => {
            let key = cx.authority.tokens().fresh_key(at_ms);
            (purpose::ACTOR_JWT, key.map_err(|e| e.to_string()))
        }
        SigningRing::Log => {
            let log = cx.authority.log().log_state().await.map_err(unavailable)?;
            let key = cx.authority.log_keys().fresh(&log.origin.name, at_ms);
            (purpose::LOG, key.map_err(|e| e.to_string()))
        }
    };
    let key = key.map_err(|error| {
        tracing::error!(error, "no key could be made");
        Refusal::from(Cause::AuditUnavailable)
    })?;
    let old = ring(cx, purpose).await?.pop().map(|key| key.kid);
    let mut answer = to_json(&key, true);
    answer["replaces"] = old.clone().into();
    let busy = InputProblem::new(
        "agentkeys.keys.busy",
        "somebody else rotated this ring at the same moment; look at it with `agentkeys keys list`",
    );
    let still = Test::NewestKeyIs { purpose, kid: old };
    Change::new(cx, OpKind::Key, "keys.rotate", answer.clone())
        .unless(still, busy)
        .effect(Effect::AddKey(key))
        .commit(cx, "rotated", Answer::Json(answer))
        .await
}
