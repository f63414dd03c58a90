//! Actors: nodes of the identity tree.

use super::{Change, NewActor, found, rows, told};
use crate::authority::budget::Zone;
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::identity::{Label, Omni, WalletAddress, derivation_path};
use crate::authority::ports::{Effect, Test};
use crate::authority::principal::{Actor, Binding};
use crate::authority::{Refusal, unavailable};
use serde_json::{Value, json};

/// The first place among siblings; re-pairing a device raises it.
const GENERATION: u32 = 0;

fn to_json(actor: &Actor) -> Value {
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
    out["time_zone"] = actor.zone.name().into();
    out
}

pub(super) async fn create(cx: &Cx<'_>, new: &NewActor) -> Done {
    let zone = new.time_zone.as_deref().unwrap_or("UTC");
    let Ok(zone) = Zone::new(zone, 0, None) else {
        let problem = InputProblem::new(
            "agentkeys.actor.time_zone_unknown",
            "write the zone as the tz database does, such as Asia/Shanghai",
        );
        return Ok(cx.invalid("actor.create", problem).await?);
    };
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
    let answer = to_json(&actor);
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
    Ok(rows(actors.iter().map(to_json)))
}

pub(super) async fn show(cx: &Cx<'_>, name: &str, verify: bool) -> Done {
    let (actor, scope) = found!(cx, "actor.show", cx.target(name).await?);
    let bindings = cx
        .authority
        .ledger()
        .bindings(&scope)
        .await
        .map_err(unavailable)?;
    let mut out = to_json(&actor);
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
pub(super) fn binding_json(vendor: &str, binding: &Binding) -> Value {
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
