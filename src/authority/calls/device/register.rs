//! One registration, whoever asked for it: the actor, its binding, its JWT and the code that is
//! used up, in one Unit, so that there is all of it or nothing.

use super::{REGISTER, refused_row, still_allowed};
use crate::authority::actor_jwt::ActorClaims;
use crate::authority::calls::admin::{MAX_NAME, binding_json, lost_grants};
use crate::authority::calls::{Answer, Cx, Done, Halt, OpKind};
use crate::authority::device::{DeviceId, DeviceRow, PairingRow};
use crate::authority::event::{Ending, Row, Subject, rfc3339};
use crate::authority::identity::{Omni, derivation_path};
use crate::authority::ports::{
    ActorName, Committed, Effect, Guard, Test, TokenRow, Unit, VendorRow,
};
use crate::authority::principal::{Actor, ActorScope, Binding};
use crate::authority::token::{self, TokenId};
use crate::authority::words::{NamespaceSet, Role};
use crate::authority::{Cause, Outcome, Refusal, unavailable};
use crate::digest::sha256;
use serde_json::json;

/// A device's actor is its parent's child by a label of its own, always the first of that label: a
/// device that comes back to the same parent comes back to the same actor.
const ACTOR_GENERATION: u32 = 0;

/// What is registered, once it is known that it may be.
pub(in crate::authority::calls) struct Registration<'a> {
    pub vendor: &'a VendorRow,
    pub id: &'a DeviceId,
    /// The device as it is, if it was registered before.
    pub device: Option<DeviceRow>,
    /// Whose child its actor is.
    pub parent: Omni,
    /// The binding from now on; none leaves it as it is.
    pub rights: Option<Binding>,
    /// How long the JWT lives.
    pub ttl_ms: i64,
    /// The code it is done with.
    pub pairing: Option<&'a PairingRow>,
}

/// The actor a registration leads to, as it is before it.
struct Place {
    scope: ActorScope,
    actor: Actor,
    is_new: bool,
    /// What the vendor may do for it now.
    bound: Binding,
}

/// A JWT and its row.
struct Signed {
    text: String,
    row: TokenRow,
}

pub(in crate::authority::calls) async fn register(cx: &Cx<'_>, new: Registration<'_>) -> Done {
    let place = place(cx, &new).await?;
    let left = left(cx, &new, &place).await?;
    let signed = sign(cx, &new, &place).await?;
    let generation = new.device.as_ref().map_or(0, |d| d.generation + 1);
    let mut binding = match &new.rights {
        Some(rights) => rights.clone(),
        None => place.bound.clone(),
    };
    binding.standing = true;
    binding.revision = place.bound.revision + 1;
    let mut row = json!({
        "device_id": new.id.as_str(), "generation": generation, "token_id": signed.row.id,
        "expires_at": rfc3339(signed.row.expires_ms), "alias": place.actor.alias.as_str(),
        "parent_omni": new.parent.to_string(), "binding": binding_json(&new.vendor.name, &binding),
    });
    if let Some(pairing) = new.pairing {
        row["pairing_id"] = pairing.id.as_str().into();
    }
    if let Some(device) = &new.device {
        row["replaces"] = device.token_id.as_str().into();
    }
    let row = Row::new(OpKind::Actor, REGISTER, Ending::Accept, "registered").with("detail", row);
    let actor = place.scope.actor();
    let subject = Subject::of(cx.principal).about(actor, cx.authority.operator());
    let event = cx.authority.event_about(cx.principal, &subject, row);
    let event_id = event.id.clone();
    let answer = json!({
        "vendor": new.vendor.name, "device_id": new.id.as_str(),
        "actor_omni": actor.to_string(), "alias": place.actor.alias.as_str(),
        "jwt": signed.text, "token_id": signed.row.id,
        "expires_at": rfc3339(signed.row.expires_ms), "generation": generation,
    });
    let unit = Unit {
        guards: guards(cx, &new, &place, left.as_ref()),
        effects: effects(cx, &new, place, left, binding, signed.row, generation),
        event,
    };
    match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Ok(Outcome {
            answer: Answer::Json(answer),
            event_id,
        }),
        // Only the code's guard has words of its own.
        Committed::Refused { .. } => Err(Cause::PairingRefused.into()),
        Committed::Stale => Err(Halt::Stale),
    }
}

async fn actor(cx: &Cx<'_>, omni: Omni) -> Result<Option<Actor>, Refusal> {
    let ledger = cx.authority.ledger();
    let found = ledger.admission("", Some(ActorName::Omni(omni))).await;
    Ok(found.map_err(unavailable)?.actor)
}

/// What a vendor may do for an actor; a binding of revision 0 when there never was one.
pub(super) async fn bound(
    cx: &Cx<'_>,
    scope: &ActorScope,
    vendor: &str,
) -> Result<Binding, Refusal> {
    let all = cx.authority.ledger().bindings(scope).await;
    let mut all = all.map_err(unavailable)?.into_iter();
    let found = all.find(|(v, _)| v == vendor).map(|(_, b)| b);
    Ok(found.unwrap_or_else(|| Binding {
        currency: "RMB".to_owned(),
        ..Binding::default()
    }))
}

async fn place(cx: &Cx<'_>, new: &Registration<'_>) -> Result<Place, Refusal> {
    let broken = |what: &str| {
        tracing::error!(
            what,
            "a device could not be given a place in the identity tree"
        );
        Refusal::from(Cause::AuditUnavailable)
    };
    let vendor = &new.vendor.name;
    let label = new.id.label(vendor).map_err(|_| broken("label"))?;
    let omni = Omni::child(&new.parent, &label, ACTOR_GENERATION);
    let scope = ActorScope::new(omni, cx.authority.operator());
    let known = actor(cx, omni).await?;
    let is_new = known.is_none();
    let actor = match known {
        Some(actor) => actor,
        None => Actor {
            omni,
            alias: new.id.alias(vendor, &omni).map_err(|_| broken("alias"))?,
            display_name: new.id.as_str().chars().take(MAX_NAME).collect(),
            parent: Some(new.parent),
            derivation_path: Some(derivation_path(&label, ACTOR_GENERATION)),
            wallet: None,
            // A family counts its days in one zone.
            zone: actor(cx, new.parent)
                .await?
                .ok_or_else(|| broken("parent"))?
                .zone,
        },
    };
    let bound = bound(cx, &scope, vendor).await?;
    Ok(Place {
        scope,
        actor,
        is_new,
        bound,
    })
}

/// The actor a device leaves because another parent took it in, with its binding: what one family
/// told it must not be another's, nor may the vendor go on for the one it left.
async fn left(
    cx: &Cx<'_>,
    new: &Registration<'_>,
    place: &Place,
) -> Result<Option<(ActorScope, Binding)>, Refusal> {
    let old = new.device.as_ref().filter(|d| d.removed_ms.is_none());
    let Some(old) = old.filter(|d| d.actor != place.scope.actor()) else {
        return Ok(None);
    };
    let scope = ActorScope::new(old.actor, cx.authority.operator());
    let binding = bound(cx, &scope, &new.vendor.name).await?;
    Ok(Some((scope, binding)))
}

async fn sign(cx: &Cx<'_>, new: &Registration<'_>, place: &Place) -> Result<Signed, Refusal> {
    let id: TokenId = token::fresh_id(cx.authority.random());
    let now_s = cx.authority.now_s();
    let ttl_s = u64::try_from(new.ttl_ms / 1000).unwrap_or(0);
    let exp = now_s.saturating_add(ttl_s);
    let issuer = cx.authority.issuer();
    let omni = place.scope.actor();
    let claims = ActorClaims::new(issuer, &id, omni, &new.vendor.name, now_s, exp);
    let text = cx.authority.tokens().sign(&claims).await;
    let text = text.map_err(unavailable)?.map_err(|error| {
        tracing::error!(%error, "a device's JWT could not be signed");
        Refusal::from(Cause::AuditUnavailable)
    })?;
    let row = TokenRow {
        id: id.to_string(),
        hash: sha256(&[text.as_bytes()]),
        role: Role::Vendor,
        vendor: Some(new.vendor.clone()),
        actor: Some(omni),
        namespaces: NamespaceSet::NONE,
        created_ms: cx.principal.frame().at_ms,
        // The row and the claim end in the same moment.
        expires_ms: i64::try_from(exp).map_or(i64::MAX, |s| s.saturating_mul(1000)),
        revoked_ms: None,
        last_used_ms: None,
        replaced_by: None,
        device: Some(new.id.clone()),
        endpoint: false,
    };
    Ok(Signed { text, row })
}

fn guards(
    cx: &Cx<'_>,
    new: &Registration<'_>,
    place: &Place,
    left: Option<&(ActorScope, Binding)>,
) -> Vec<Guard> {
    let vendor = &new.vendor.name;
    let mut guards = still_allowed(cx);
    if let Some(pairing) = new.pairing {
        guards.push(Guard {
            test: Test::PairingOpen {
                code_hash: pairing.code_hash,
                vendor: vendor.clone(),
                at_ms: cx.principal.frame().at_ms,
            },
            refused: Some(cx.authority.event(cx.principal, refused_row(new.id))),
        });
    }
    guards.push(Guard::fresh(Test::DeviceIs {
        vendor: vendor.clone(),
        id: new.id.clone(),
        state: new.device.as_ref().map(DeviceRow::state),
    }));
    if place.is_new {
        guards.push(Guard::fresh(Test::OmniFree(place.scope.actor())));
        guards.push(Guard::fresh(Test::NameFree {
            kind: "actor",
            name: place.actor.alias.to_string(),
        }));
    }
    let here = (&place.scope, place.bound.revision);
    let there = left.map(|(scope, binding)| (scope, binding.revision));
    guards.extend(there.into_iter().chain([here]).map(|(scope, revision)| {
        Guard::fresh(Test::BindingIs {
            scope: scope.clone(),
            vendor: vendor.clone(),
            revision,
        })
    }));
    guards
}

/// A binding from now on, and the end of every live cap that rested on what is gone.
pub(super) fn rebound(
    scope: &ActorScope,
    vendor: &str,
    old: &Binding,
    new: Binding,
    at_ms: i64,
) -> [Effect; 2] {
    let grants = lost_grants(old, &new);
    [
        Effect::SetBinding {
            scope: scope.clone(),
            vendor: vendor.to_owned(),
            binding: new,
        },
        Effect::RevokeCapsOn {
            scope: scope.clone(),
            vendor: Some(vendor.to_owned()),
            grants,
            at_ms,
        },
    ]
}

/// What is left of a binding that ended.
pub(super) fn ended(old: &Binding) -> Binding {
    Binding {
        currency: old.currency.clone(),
        revision: old.revision + 1,
        ..Binding::default()
    }
}

fn effects(
    cx: &Cx<'_>,
    new: &Registration<'_>,
    place: Place,
    left: Option<(ActorScope, Binding)>,
    binding: Binding,
    token: TokenRow,
    generation: u32,
) -> Vec<Effect> {
    let at_ms = cx.principal.frame().at_ms;
    let vendor = &new.vendor.name;
    let mut effects = Vec::new();
    if let Some(pairing) = new.pairing {
        let code_hash = pairing.code_hash;
        effects.push(Effect::UsePairing { code_hash, at_ms });
    }
    if let Some(device) = &new.device {
        let id = device.token_id.clone();
        effects.push(Effect::RevokeToken { id, at_ms });
    }
    if let Some((scope, old)) = left {
        effects.extend(rebound(&scope, vendor, &old, ended(&old), at_ms));
    }
    let device = DeviceRow {
        vendor: vendor.clone(),
        device_id: new.id.clone(),
        actor: place.scope.actor(),
        token_id: token.id.clone(),
        generation,
        paired_ms: at_ms,
        removed_ms: None,
    };
    if place.is_new {
        effects.push(Effect::AddActor {
            actor: place.actor,
            generation: ACTOR_GENERATION,
        });
    }
    effects.extend(rebound(&place.scope, vendor, &place.bound, binding, at_ms));
    effects.push(Effect::AddToken(token));
    effects.push(Effect::SetDevice(device));
    effects
}
