//! Tokens: shown once, stored hashed, replaced with overlap, taken back at once.

use super::{Change, TokenRequest, found, rows};
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::device::DeviceId;
use crate::authority::event::rfc3339;
use crate::authority::ports::{Effect, Test, TokenRow, VendorRow};
use crate::authority::token;
use crate::authority::words::Role;
use crate::authority::{Refusal, unavailable};
use serde_json::{Value, json};

fn to_json(token: &TokenRow, now_ms: i64) -> Value {
    let state = match (
        token.revoked_ms,
        token.expires_ms <= now_ms,
        &token.replaced_by,
    ) {
        (Some(_), ..) => "revoked",
        (None, true, _) => "expired",
        (None, false, Some(_)) => "replaced",
        (None, false, None) => "active",
    };
    json!({
        "token_id": token.id,
        "role": token.role,
        "vendor": token.vendor.as_ref().map(|v| &v.name),
        "actor_omni": token.actor.map(|a| a.to_string()),
        "namespaces": token.namespaces,
        "state": state,
        "created_at": rfc3339(token.created_ms),
        "expires_at": rfc3339(token.expires_ms),
        "revoked_at": token.revoked_ms.map(rfc3339),
        "last_used_at": token.last_used_ms.map(rfc3339),
        "replaced_by": token.replaced_by,
        "endpoint": token.endpoint,
        "device_id": token.device.as_ref().map(DeviceId::as_str),
    })
}

/// Makes a token and says it, this once.
fn make(cx: &Cx<'_>, row: TokenRow) -> (TokenRow, Value) {
    let issue = if row.endpoint {
        token::issue_endpoint
    } else {
        token::issue
    };
    let (id, text, hash) = issue(cx.authority.random(), cx.authority.random());
    let row = TokenRow {
        id: id.to_string(),
        hash: *hash.as_bytes(),
        ..row
    };
    let mut answer = json!({"token_id": row.id, "token": text.expose()});
    if let Some(vendor) = &row.vendor {
        answer["vendor"] = vendor.name.as_str().into();
    } else {
        answer["role"] = row.role.as_str().into();
    }
    if let Some(actor) = row.actor {
        answer["actor_omni"] = actor.to_string().into();
    }
    answer["expires_at"] = rfc3339(row.expires_ms).into();
    (row, answer)
}

fn detail(row: &TokenRow) -> Value {
    json!({
        "token_id": row.id, "role": row.role, "vendor": row.vendor.as_ref().map(|v| &v.name),
        "expires_at": rfc3339(row.expires_ms),
    })
}

pub(super) async fn create(cx: &Cx<'_>, request: &TokenRequest) -> Done {
    if request.ttl_ms <= 0 {
        let problem = InputProblem::new(
            "agentkeys.token.ttl_invalid",
            "a token lives at least one second; write 90d, 24h or 300s",
        );
        return Ok(cx.invalid("token.create", problem).await?);
    }
    let vendor = match request.role {
        Role::Vendor => Some(found!(cx, "token.create", vendor(cx, request).await?)),
        _ => None,
    };
    let actor = match &request.actor {
        Some(name) => Some(found!(cx, "token.create", cx.target(name).await?).0.omni),
        None => None,
    };
    if actor.is_none() && matches!(request.role, Role::Parent | Role::Viewer) {
        let problem = InputProblem::new(
            "agentkeys.token.actor_missing",
            "a viewer or parent token is for one actor; name it with --actor",
        );
        return Ok(cx.invalid("token.create", problem).await?);
    }
    if request.endpoint && (actor.is_none() || request.role != Role::Vendor) {
        let problem = InputProblem::new(
            "agentkeys.token.actor_missing",
            "an endpoint's token is a vendor's, for one actor; name it with --actor",
        );
        return Ok(cx.invalid("token.create", problem).await?);
    }
    let now_ms = cx.principal.frame().at_ms;
    let (row, answer) = make(
        cx,
        TokenRow {
            id: String::new(),
            hash: [0; 32],
            role: request.role,
            vendor,
            actor,
            namespaces: request.namespaces,
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(request.ttl_ms),
            revoked_ms: None,
            last_used_ms: None,
            replaced_by: None,
            device: None,
            endpoint: request.endpoint,
        },
    );
    let change = Change::new(cx, OpKind::Token, "token.create", detail(&row));
    let change = match actor {
        Some(actor) => change.about(cx, actor),
        None => change,
    };
    change
        .effect(Effect::AddToken(row))
        .commit(cx, "created", Answer::Json(answer))
        .await
}

/// The vendor named, or the only one.
async fn vendor(
    cx: &Cx<'_>,
    request: &TokenRequest,
) -> Result<Result<VendorRow, InputProblem>, Refusal> {
    if let Some(name) = &request.vendor {
        return cx.vendor_named(name).await;
    }
    let mut vendors = cx.authority.ledger().vendors().await.map_err(unavailable)?;
    if vendors.len() == 1 {
        return Ok(Ok(vendors.remove(0)));
    }
    let names: Vec<_> = vendors.iter().map(|v| v.name.as_str()).collect();
    let message = if names.is_empty() {
        "there is no vendor yet; make one with `agentkeys vendor create`".to_owned()
    } else {
        format!(
            "there are several vendors; choose one with --vendor: {}",
            names.join(", ")
        )
    };
    Ok(Err(InputProblem::new(
        "agentkeys.vendor.ambiguous",
        message,
    )))
}

pub(super) async fn list(cx: &Cx<'_>, vendors: bool) -> Done {
    let tokens = cx.authority.ledger().tokens().await.map_err(unavailable)?;
    let now_ms = cx.authority.now_ms();
    let wanted = tokens
        .iter()
        .filter(|t| (t.role == Role::Vendor) == vendors);
    Ok(rows(wanted.map(|t| to_json(t, now_ms))))
}

async fn named(cx: &Cx<'_>, id: &str) -> Result<Result<TokenRow, InputProblem>, Refusal> {
    let found = cx
        .authority
        .ledger()
        .admission(id, None)
        .await
        .map_err(unavailable)?;
    Ok(found.token.ok_or_else(|| {
        InputProblem::new(
            "agentkeys.token.not_found",
            "there is no such token; `agentkeys vendor token list` shows their ids",
        )
    }))
}

pub(super) async fn revoke(cx: &Cx<'_>, id: &str) -> Done {
    let token = found!(cx, "token.revoke", named(cx, id).await?);
    let at_ms = token.revoked_ms.unwrap_or(cx.principal.frame().at_ms);
    let answer = json!({"token_id": token.id, "revoked_at": rfc3339(at_ms)});
    Change::new(cx, OpKind::Token, "token.revoke", detail(&token))
        .effect(Effect::RevokeToken {
            id: token.id.clone(),
            at_ms,
        })
        .commit(cx, "revoked", Answer::Json(answer))
        .await
}

pub(super) async fn rotate(cx: &Cx<'_>, id: &str, overlap_ms: i64) -> Done {
    let old = found!(cx, "token.rotate", named(cx, id).await?);
    if old.device.is_some() {
        let problem = InputProblem::new(
            "agentkeys.token.not_rotatable",
            "this token is a device's JWT; `agentkeys vendor device register` signs a new one",
        );
        return Ok(cx.invalid("token.rotate", problem).await?);
    }
    let now_ms = cx.principal.frame().at_ms;
    if old.revoked_ms.is_some() || old.replaced_by.is_some() || overlap_ms < 0 {
        let problem = InputProblem::new(
            "agentkeys.token.not_rotatable",
            "this token was revoked or replaced already; make a new one with `token create`",
        );
        return Ok(cx.invalid("token.rotate", problem).await?);
    }
    let lifetime = old.expires_ms.saturating_sub(old.created_ms);
    let until = old.expires_ms.min(now_ms.saturating_add(overlap_ms));
    let (new, mut answer) = make(
        cx,
        TokenRow {
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(lifetime),
            last_used_ms: None,
            ..old.clone()
        },
    );
    answer["replaces"] = old.id.as_str().into();
    answer["old_valid_until"] = rfc3339(until).into();
    let replaced = Effect::ReplaceToken {
        id: old.id.clone(),
        by: new.id.clone(),
        valid_until_ms: until,
    };
    let mut detail = detail(&new);
    detail["replaces"] = old.id.as_str().into();
    let taken = InputProblem::new(
        "agentkeys.token.not_rotatable",
        "this token was revoked or replaced at the same moment; look at it and try again",
    );
    let still = Test::TokenNotReplaced {
        id: old.id.clone(),
        at_ms: now_ms,
    };
    Change::new(cx, OpKind::Token, "token.rotate", detail)
        .unless(still, taken)
        .effect(Effect::AddToken(new))
        .effect(replaced)
        .commit(cx, "rotated", Answer::Json(answer))
        .await
}

pub(super) async fn revoke_cap(cx: &Cx<'_>, actor: &str, cap_id: &str) -> Done {
    let (_, scope) = found!(cx, "cap.revoke", cx.target(actor).await?);
    let cap = cx
        .authority
        .ledger()
        .cap(&scope, cap_id, cx.principal.frame().at_ms)
        .await
        .map_err(unavailable)?;
    let Some(cap) = cap else {
        let problem = InputProblem::new("agentkeys.cap.not_found", "this actor has no such cap");
        return Ok(cx.invalid("cap.revoke", problem).await?);
    };
    let at_ms = cx.principal.frame().at_ms;
    let answer = Answer::Revoked {
        cap_id: cap.cap_id.clone(),
        offline_until: crate::authority::event::rfc3339_s(cap.exp),
    };
    Change::new(
        cx,
        OpKind::CapRevoke,
        "cap.revoke",
        json!({"cap_id": cap.cap_id}),
    )
    .about(cx, scope.actor())
    .effect(Effect::RevokeCap {
        cap_id: cap.cap_id,
        at_ms,
    })
    .commit(cx, "revoked", answer)
    .await
}
