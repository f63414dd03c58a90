//! Devices as an operator sees them, and the code by which a parent lets one in.

use super::{Change, GrantRequest, found, rows};
use crate::authority::calls::device::{self, REGISTER, REMOVE, Registration, id_invalid};
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::device::{CODE_LIFE_MS, DeviceId, ListedDevice, PairingCode, PairingRow};
use crate::authority::event::rfc3339;
use crate::authority::identity::Omni;
use crate::authority::ports::{ActorName, Effect};
use crate::authority::principal::Binding;
use crate::authority::{Refusal, unavailable};
use serde_json::{Value, json};

/// A consent to be given to a device that is not there yet. `rights.actor` is the parent.
#[derive(Debug, Clone)]
pub struct PairRequest {
    /// Whose child it becomes, for which vendor, and what that vendor may do for it.
    pub rights: GrantRequest,
    /// How long the device's JWT will live, milliseconds.
    pub ttl_ms: i64,
}

/// A device the operator lets in without a code.
#[derive(Debug, Clone)]
pub struct DeviceRequest {
    /// Whose device it is.
    pub vendor: String,
    /// That vendor's name for it.
    pub device_id: String,
    /// Whose child its actor becomes; when none, where it hangs already, else the operator.
    pub parent: Option<String>,
    /// What the vendor may do for it; when none, what it may already. `actor` and `vendor` in it
    /// are not looked at.
    pub rights: Option<GrantRequest>,
    /// How long its JWT lives, milliseconds.
    pub ttl_ms: i64,
}

/// The binding a consent makes: exactly what it says, whatever there was before.
fn binding(rights: &GrantRequest) -> Binding {
    let mut scopes = rights.scopes.clone();
    scopes.sort();
    scopes.dedup();
    Binding {
        read: rights.read,
        write: rights.write,
        scopes,
        daily_cap_minor: rights.daily_cap.as_ref().map(|(minor, _)| *minor),
        currency: "RMB".to_owned(),
        ..Binding::default()
    }
}

fn ttl(ttl_ms: i64) -> Result<(), InputProblem> {
    if ttl_ms >= 1000 {
        return Ok(());
    }
    Err(InputProblem::new(
        "agentkeys.token.ttl_invalid",
        "a token lives at least one second; write 90d, 24h or 300s",
    ))
}

pub(super) async fn pair(cx: &Cx<'_>, request: &PairRequest) -> Done {
    const TOOL: &str = "actor.pair";
    found!(cx, TOOL, request.rights.check());
    found!(cx, TOOL, ttl(request.ttl_ms));
    let (parent, _) = found!(cx, TOOL, cx.target(&request.rights.actor).await?);
    let vendor = found!(cx, TOOL, cx.vendor_named(&request.rights.vendor).await?);
    let code = PairingCode::from_random(cx.authority.random());
    let at_ms = cx.principal.frame().at_ms;
    let pairing = PairingRow {
        code_hash: code.hash(),
        id: cx.authority.fresh_id("pair"),
        parent: parent.omni,
        vendor: vendor.name.clone(),
        rights: binding(&request.rights),
        jwt_ttl_ms: request.ttl_ms,
        expires_ms: at_ms.saturating_add(CODE_LIFE_MS),
        used_ms: None,
    };
    let detail = json!({
        "pairing_id": pairing.id, "vendor": vendor.name, "read": pairing.rights.read,
        "write": pairing.rights.write, "scopes": pairing.rights.scopes,
        "daily_cap_minor": pairing.rights.daily_cap_minor, "currency": pairing.rights.currency,
        "expires_at": rfc3339(pairing.expires_ms),
    });
    let mut answer = detail.clone();
    answer["pairing_code"] = code.expose().into();
    answer["parent_omni"] = parent.omni.to_string().into();
    Change::new(cx, OpKind::Grant, TOOL, detail)
        .about(cx, parent.omni)
        .effect(Effect::AddPairing { pairing, at_ms })
        .commit(cx, "consented", Answer::Json(answer))
        .await
}

pub(super) async fn register(cx: &Cx<'_>, request: &DeviceRequest) -> Done {
    found!(cx, REGISTER, ttl(request.ttl_ms));
    if let Some(rights) = &request.rights {
        found!(cx, REGISTER, rights.check());
    }
    let parsed = request.device_id.parse::<DeviceId>();
    let id = found!(cx, REGISTER, parsed.map_err(id_invalid));
    let vendor = found!(cx, REGISTER, cx.vendor_named(&request.vendor).await?);
    let device = cx.authority.ledger().device(&vendor.name, &id).await;
    let device = device.map_err(unavailable)?;
    let parent = match (&request.parent, &device) {
        (Some(name), _) => found!(cx, REGISTER, cx.target(name).await?).0.omni,
        (None, Some(device)) => parent_of(cx, device.actor).await?,
        (None, None) => cx.authority.operator(),
    };
    let registration = Registration {
        vendor: &vendor,
        id: &id,
        device,
        parent,
        rights: request.rights.as_ref().map(binding),
        ttl_ms: request.ttl_ms,
        pairing: None,
    };
    device::register(cx, registration).await
}

async fn parent_of(cx: &Cx<'_>, actor: Omni) -> Result<Omni, Refusal> {
    let name = Some(ActorName::Omni(actor));
    let found = cx.authority.ledger().admission("", name).await;
    let actor = found.map_err(unavailable)?.actor;
    let parent = actor.and_then(|actor| actor.parent);
    Ok(parent.unwrap_or_else(|| cx.authority.operator()))
}

pub(super) async fn list(cx: &Cx<'_>, vendor: Option<&str>) -> Done {
    if let Some(name) = vendor {
        found!(cx, "vendor.device.list", cx.vendor_named(name).await?);
    }
    let devices = cx.authority.ledger().devices(vendor).await;
    let devices = devices.map_err(unavailable)?;
    let now_ms = cx.authority.now_ms();
    Ok(rows(devices.iter().map(|d| to_json(d, now_ms))))
}

fn to_json(listed: &ListedDevice, now_ms: i64) -> Value {
    let ListedDevice {
        device,
        actor,
        token,
    } = listed;
    let state = match (device.removed_ms, token.revoked_ms) {
        (Some(_), _) => "removed",
        (None, Some(_)) => "revoked",
        (None, None) if token.expires_ms <= now_ms => "expired",
        (None, None) => "active",
    };
    json!({
        "vendor": device.vendor, "device_id": device.device_id.as_str(), "state": state,
        "actor_omni": actor.omni.to_string(), "alias": actor.alias.as_str(),
        "parent_omni": actor.parent.map(|p| p.to_string()), "generation": device.generation,
        "token_id": device.token_id, "expires_at": rfc3339(token.expires_ms),
        "last_used_at": token.last_used_ms.map(rfc3339), "paired_at": rfc3339(device.paired_ms),
        "removed_at": device.removed_ms.map(rfc3339),
    })
}

pub(super) async fn remove(cx: &Cx<'_>, vendor: &str, device_id: &str) -> Done {
    let vendor = found!(cx, REMOVE, cx.vendor_named(vendor).await?);
    let parsed = device_id.parse::<DeviceId>();
    let id = found!(cx, REMOVE, parsed.map_err(|_| device::no_device()));
    device::remove(cx, &vendor.name, &id).await
}
