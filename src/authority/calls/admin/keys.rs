//! The rings that sign: what is in them, and a new key in front.

use super::{Change, SigningRing, rows};
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::event::rfc3339;
use crate::authority::found::purpose;
use crate::authority::ports::{Effect, SealedKey, Test};
use crate::authority::{Cause, Refusal, unavailable};
use serde_json::{Value, json};

/// The rings of which only the newest key signs.
const SIGNING: [&str; 2] = [purpose::CAP, purpose::ACTOR_JWT];

async fn ring(cx: &Cx<'_>, purpose: &str) -> Result<Vec<SealedKey>, Refusal> {
    cx.authority
        .ledger()
        .keys(purpose)
        .await
        .map_err(unavailable)
}

fn to_json(purpose: &str, kid: &str, signs: bool, created_ms: i64) -> Value {
    let state = if signs { "signs" } else { "verifies" };
    json!({
        "purpose": purpose, "kid": kid, "state": state, "created_at": rfc3339(created_ms),
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
                .map(|(at, key)| to_json(purpose, &key.kid, at == last, key.created_ms)),
        );
    }
    // Those of the log overlap, and those of closed origins have ended.
    let log = cx.authority.log().log_state().await.map_err(unavailable)?;
    let keys = cx.authority.log_keys();
    let keys = keys.published(cx.principal.frame().at_ms).await;
    all.extend(keys.map_err(unavailable)?.iter().map(|published| {
        let key = &published.key;
        let signs = published.signs && key.name() == log.origin.name;
        to_json(purpose::LOG, &key.to_string(), signs, published.created_ms)
    }));
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
    let mut answer = to_json(purpose, &key.kid, true, at_ms);
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
