//! Money set aside, from the operator's side.

use super::{Change, found, told};
use crate::authority::budget::day_of;
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::ports::{Effect, Reservation, SpendQuery, Test};
use crate::authority::principal::ActorScope;
use crate::authority::{Refusal, unavailable};
use serde_json::json;

pub(super) async fn show(cx: &Cx<'_>, name: &str) -> Done {
    let (actor, scope) = found!(cx, "budget.show", cx.target(name).await?);
    let now_ms = cx.principal.frame().at_ms;
    let day = day_of(now_ms, &actor.zone).to_string();
    let ledger = cx.authority.ledger();
    let reservations = ledger
        .reservations(&scope, &day)
        .await
        .map_err(unavailable)?;
    let held = |r: &&Reservation| r.state != "released";
    let spent: i64 = reservations
        .iter()
        .filter(held)
        .map(|r| r.amount_minor)
        .sum();
    Ok(told(json!({
        "actor_omni": scope.actor().to_string(), "day": day, "time_zone": actor.zone.name_at(now_ms),
        "spent_minor": spent, "reservations": reservations,
    })))
}

/// What a decision set aside for this actor.
async fn of_actor(
    cx: &Cx<'_>,
    scope: ActorScope,
    decision_id: &str,
) -> Result<Option<(ActorScope, Reservation)>, Refusal> {
    let query = SpendQuery {
        spend_scope: "",
        currency: "",
        day: "",
        vendor: "",
        reference: None,
        decision_id: Some(decision_id),
    };
    let facts = cx.authority.ledger().spend(&scope, query).await;
    let held = facts.map_err(unavailable)?.by_decision;
    Ok(held.map(|reservation| (scope, reservation)))
}

/// The actor and reservation behind a decision.
async fn of_decision(
    cx: &Cx<'_>,
    decision_id: &str,
) -> Result<Option<(ActorScope, Reservation)>, Refusal> {
    let actors = cx.authority.ledger().actors().await.map_err(unavailable)?;
    for actor in actors {
        let scope = ActorScope::new(actor.omni, cx.authority.operator());
        let held = of_actor(cx, scope, decision_id).await?;
        if held.is_some() {
            return Ok(held);
        }
    }
    Ok(None)
}

pub(super) async fn release(cx: &Cx<'_>, actor: Option<&str>, decision_id: &str) -> Done {
    let missing = InputProblem::new(
        "agentkeys.budget.not_reserved",
        "this decision holds no money; `agentkeys budget show` lists those that do",
    );
    let held = match actor {
        Some(name) => {
            // A parent reaches no other actor's reservations than those it may change.
            let (_, scope) = found!(cx, "budget.release", cx.target(name).await?);
            of_actor(cx, scope, decision_id).await?
        }
        None => of_decision(cx, decision_id).await?,
    };
    let Some((scope, reservation)) = held else {
        return Ok(cx.invalid("budget.release", missing).await?);
    };
    let answer = json!({
        "decision_id": decision_id, "state": "released", "amount_minor": reservation.amount_minor,
        "currency": reservation.currency, "day": reservation.day,
    });
    let id = decision_id.to_owned();
    Change::new(cx, OpKind::Grant, "budget.release", answer.clone())
        .about(cx, scope.actor())
        .unless(
            Test::ReservationIs {
                decision_id: id.clone(),
                state: "reserved",
            },
            missing,
        )
        .effect(Effect::SetReservation {
            decision_id: id,
            state: "released",
        })
        .commit(cx, "released", Answer::Json(answer))
        .await
}
