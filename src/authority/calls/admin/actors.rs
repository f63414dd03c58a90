//! Actors: nodes of the identity tree.

use super::{ActorUpdate, Change, NewActor, found, rows, told};
use crate::authority::budget::{UnknownZone, Zone, change_zone};
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::event::rfc3339;
use crate::authority::identity::{Label, Omni, WalletAddress, derivation_path};
use crate::authority::ports::{Effect, Test};
use crate::authority::principal::{Actor, Binding};
use crate::authority::{Refusal, unavailable};
use serde_json::{Value, json};

/// The first place among siblings.
const GENERATION: u32 = 0;

/// The longest name for people, in characters.
pub(in crate::authority::calls) const MAX_NAME: usize = 80;

fn to_json(actor: &Actor, now_ms: i64) -> Value {
    let mut out = json!({"alias": actor.alias.as_str(), "actor_omni": actor.omni.to_string()});
    if let Some(parent) = actor.parent {
        out["parent_omni"] = parent.to_string().into();
    }
    if let Some(path) = &actor.derivation_path {
        out["derivation_path"] = path.as_str().into();
    }
    if let Some(wallet) = &actor.wallet {
        out["wallet"] = wallet.as_str().into();
    }
    out["display_name"] = actor.display_name.as_str().into();
    out["time_zone"] = actor.zone.name_at(now_ms).into();
    if let Some((next, from)) = actor.zone.next_at(now_ms) {
        let from = rfc3339(from.saturating_mul(1000));
        out["next_time_zone"] = json!({"time_zone": next, "from": from});
    }
    out
}

fn unknown_zone(_: UnknownZone) -> InputProblem {
    InputProblem::new(
        "agentkeys.actor.time_zone_unknown",
        "write the zone as the tz database does, such as Asia/Shanghai",
    )
}

/// Hosts read it out to their models and people see it on screens.
fn named(name: &str) -> Result<(), InputProblem> {
    let fits = (1..=MAX_NAME).contains(&name.chars().count());
    if fits && crate::text::clean(name) == name && !name.trim().is_empty() {
        return Ok(());
    }
    Err(InputProblem::new(
        "agentkeys.actor.display_name_invalid",
        format!("write a name of 1 to {MAX_NAME} characters, all of them visible"),
    ))
}

pub(super) async fn create(cx: &Cx<'_>, new: &NewActor) -> Done {
    let zone = new.time_zone.as_deref().unwrap_or("UTC");
    let zone = Zone::new(zone, 0, None).map_err(unknown_zone);
    let zone = found!(cx, "actor.create", zone);
    if let Some(name) = &new.display_name {
        found!(cx, "actor.create", named(name));
    }
    let (omni, parent, path) = if let Some(wallet) = new.wallet {
        (Omni::master(&wallet), None, None)
    } else {
        let (omni, parent, path) = found!(cx, "actor.create", derive(cx, new).await?);
        (omni, Some(parent), Some(path))
    };
    let actor = Actor {
        omni,
        alias: new.alias.clone(),
        display_name: new
            .display_name
            .clone()
            .unwrap_or_else(|| new.alias.to_string()),
        parent,
        derivation_path: path,
        wallet: new.wallet.map(|w| w.to_string()),
        zone,
    };
    let answer = to_json(&actor, cx.principal.frame().at_ms);
    let taken = InputProblem::new(
        "agentkeys.actor.exists",
        "there is an actor of that name or derivation; choose another alias or --label",
    );
    let name = actor.alias.to_string();
    Change::new(cx, OpKind::Actor, "actor.create", json!({"alias": name}))
        .about(cx, omni)
        .unless(
            Test::NameFree {
                kind: "actor",
                name,
            },
            taken.clone(),
        )
        .unless(Test::OmniFree(omni), taken)
        .effect(Effect::AddActor {
            actor,
            generation: GENERATION,
        })
        .commit(cx, "created", Answer::Json(answer))
        .await
}

pub(super) async fn update(cx: &Cx<'_>, update: &ActorUpdate) -> Done {
    const TOOL: &str = "actor.update";
    let (mut actor, scope) = found!(cx, TOOL, cx.target(&update.actor).await?);
    let before = actor.zone.clone();
    let now_ms = cx.principal.frame().at_ms;
    let mut changed = Vec::new();
    if let Some(name) = &update.display_name {
        found!(cx, TOOL, named(name));
        actor.display_name.clone_from(name);
        changed.push("display_name");
    }
    if let Some(name) = &update.time_zone {
        let zone = change_zone(&before, name, now_ms).map_err(unknown_zone);
        actor.zone = found!(cx, TOOL, zone);
        changed.push("time_zone");
    }
    let answer = to_json(&actor, now_ms);
    // Not the name: it may be a person's, and the log forgets nothing.
    let mut detail = json!({"alias": actor.alias.as_str(), "changed": changed});
    if update.time_zone.is_some() {
        detail["time_zone"] = actor.zone.name().into();
        detail["from"] = rfc3339(actor.zone.from_unix().saturating_mul(1000)).into();
    }
    let moved = InputProblem::new(
        "agentkeys.actor.busy",
        "somebody else changed this actor at the same moment; look at it and try again",
    );
    let unchanged = Test::ZoneIs {
        scope: scope.clone(),
        zone: before,
    };
    Change::new(cx, OpKind::Actor, TOOL, detail)
        .about(cx, actor.omni)
        .unless(unchanged, moved)
        .effect(Effect::SetActor {
            scope,
            display_name: update.display_name.clone(),
            zone: update.time_zone.is_some().then_some(actor.zone),
        })
        .commit(cx, "updated", Answer::Json(answer))
        .await
}

async fn derive(
    cx: &Cx<'_>,
    new: &NewActor,
) -> Result<Result<(Omni, Omni, String), InputProblem>, Refusal> {
    let parent = match &new.parent {
        None => cx.authority.operator(),
        Some(name) => match cx.target(name).await? {
            Ok((parent, _)) => parent.omni,
            Err(problem) => return Ok(Err(problem)),
        },
    };
    let label = match &new.label {
        Some(label) => Ok(label.clone()),
        None => Label::from_alias(&new.alias),
    };
    let Ok(label) = label else {
        return Ok(Err(InputProblem::new(
            "agentkeys.actor.label_invalid",
            "this alias gives no label; add --label with 1 to 32 of a-z, 0-9 and -",
        )));
    };
    let omni = Omni::child(&parent, &label, GENERATION);
    Ok(Ok((omni, parent, derivation_path(&label, GENERATION))))
}

pub(super) async fn list(cx: &Cx<'_>) -> Done {
    let actors = cx.authority.ledger().actors().await.map_err(unavailable)?;
    let now_ms = cx.principal.frame().at_ms;
    Ok(rows(actors.iter().map(|actor| to_json(actor, now_ms))))
}

pub(super) async fn show(cx: &Cx<'_>, name: &str, verify: bool) -> Done {
    let (actor, scope) = found!(cx, "actor.show", cx.target(name).await?);
    let bindings = cx
        .authority
        .ledger()
        .bindings(&scope)
        .await
        .map_err(unavailable)?;
    let mut out = to_json(&actor, cx.principal.frame().at_ms);
    out["bindings"] = bindings
        .iter()
        .map(|(vendor, b)| binding_json(vendor, b))
        .collect();
    if verify {
        out["verified"] = (recompute(&actor) == Some(actor.omni)).into();
    }
    Ok(told(out))
}

/// The id that the actor's own facts give.
fn recompute(actor: &Actor) -> Option<Omni> {
    if let Some(wallet) = &actor.wallet {
        return wallet
            .parse::<WalletAddress>()
            .ok()
            .map(|w| Omni::master(&w));
    }
    let path = actor.derivation_path.as_deref()?.strip_prefix("//")?;
    let (label, generation) = path.split_once('/')?;
    Some(Omni::child(
        &actor.parent?,
        &label.parse().ok()?,
        generation.parse().ok()?,
    ))
}

/// A binding as the commands answer it.
pub(in crate::authority::calls) fn binding_json(vendor: &str, binding: &Binding) -> Value {
    json!({
        "vendor": vendor,
        "read": binding.read,
        "write": binding.write,
        "scopes": binding.scopes,
        "exclusions": binding.exclusions,
        "daily_cap_minor": binding.daily_cap_minor,
        "currency": binding.currency,
        "revision": binding.revision,
    })
}
