//! May it: the policy's verdict, and the money an accepted spend sets aside.

use super::answer::{Answer, VerdictAnswer};
use super::{Cx, Done, Halt, OpKind, decided, text};
use crate::authority::budget;
use crate::authority::event::{Event, Row};
use crate::authority::policy::{Amount, Decision, Inputs, Obligation, Question, Verdict};
use crate::authority::ports::{Committed, Effect, Guard, Reservation, SpendQuery, Test, Unit};
use crate::authority::principal::{ActorScope, VendorCaller};
use crate::authority::{Outcome, Refusal, unavailable};
use serde_json::{Map, Value};

const TOOL: &str = "agentkeys.permission.check";

/// The currency of `amount_rmb`.
pub const CURRENCY: &str = "RMB";

/// What is asked.
#[derive(Debug, Clone)]
pub struct Check {
    /// The scope, as the caller wrote it.
    pub scope: String,
    /// `amount_rmb`, `reference`, and whatever else a host passes on.
    pub params: Map<String, Value>,
}

impl Check {
    /// The amount as the caller wrote it.
    pub(super) fn amount_param(&self) -> Option<&Value> {
        self.params
            .get("amount_rmb")
            .or_else(|| self.params.get("amount"))
    }

    fn reference(&self) -> Option<&str> {
        text(&self.params, "reference").filter(|r| !r.is_empty())
    }
}

/// A decision about a spend, with what committing it takes.
pub(super) struct Spend {
    pub(super) decision: Decision,
    pub(super) decision_id: String,
    pub(super) amount: Amount,
    inputs: Inputs,
    guards: Vec<Test>,
    reserve: Option<Reservation>,
}

/// `agentkeys.permission.check`
pub(super) async fn check(cx: &Cx<'_>, check: &Check) -> Done {
    let (vendor, scope) = cx.caller()?;
    let spend = evaluate(cx, vendor, scope, check).await?;
    let row = row(cx, TOOL, OpKind::PermissionCheck, check, &spend)?;
    let event = cx.authority.event(cx.principal, row);
    let event_id = event.id.clone();
    let (guards, effects) = spend.parts(cx, scope, TOOL, OpKind::PermissionCheck, check)?;
    let unit = Unit {
        guards,
        effects,
        event,
    };
    let decision = match cx.authority.commit(unit).await? {
        Committed::Done { .. } => spend.decision.clone(),
        Committed::Refused { .. } => spend.refused(),
        Committed::Stale => return Err(Halt::Stale),
    };
    let answer = Answer::Verdict(verdict(check, &decision, &spend.decision_id));
    Ok(Outcome { answer, event_id })
}

/// Loads what a spend decides on and asks the policy. Commits nothing.
pub(super) async fn evaluate(
    cx: &Cx<'_>,
    vendor: &VendorCaller,
    scope: &ActorScope,
    check: &Check,
) -> Result<Spend, Refusal> {
    let day = budget::day_of(cx.principal.frame().at_ms, &vendor.actor.zone).to_string();
    let query = SpendQuery {
        spend_scope: &check.scope,
        currency: CURRENCY,
        day: &day,
        vendor: &vendor.name,
        reference: check.reference(),
        decision_id: None,
    };
    let facts = cx
        .authority
        .ledger()
        .spend(scope, query)
        .await
        .map_err(unavailable)?;
    let engine = cx.authority.engine(vendor.policy_version).await?;
    let amount = Amount::from_param(check.amount_param());
    let earlier = facts.same_reference.as_ref();
    let already = match (earlier, &amount) {
        (Some(r), Amount::Minor(minor)) if r.amount_minor == *minor => r.amount_minor,
        _ => 0,
    };
    let (hour, weekday) = cx.local_time(vendor);
    let namespace = text(&check.params, "namespace");
    let actor_id = scope.actor().to_string();
    let question = Question {
        vendor: &vendor.name,
        rail: vendor.rail.as_str(),
        actor: &actor_id,
        scope: &check.scope,
        granted: grants(vendor, &check.scope, namespace),
        namespace,
        amount,
        currency: CURRENCY,
        spent_minor: facts.spent_minor - already,
        cap_minor: vendor.binding.daily_cap_minor,
        hour,
        weekday,
    };
    let inputs = Inputs::from(&question);
    let mut decision = engine.decide(&question);
    if question.granted
        && let (Some(r), Amount::Minor(minor)) = (earlier, &amount)
        && r.amount_minor != *minor
    {
        decision = conflict(r);
    }
    Ok(plan(
        cx,
        vendor,
        scope,
        check,
        decision,
        inputs,
        earlier.cloned(),
        day,
    ))
}

/// Memory scopes are granted by namespace, the others by name.
pub(super) fn grants(vendor: &VendorCaller, scope: &str, namespace: Option<&str>) -> bool {
    let set = match scope {
        "memory.read" => vendor.binding.read,
        "memory.write" => vendor.binding.write,
        _ => return vendor.binding.grants(scope),
    };
    match namespace {
        Some(word) => word.parse().is_ok_and(|n| set.has(n)),
        None => set.iter().next().is_some(),
    }
}

fn conflict(earlier: &Reservation) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        reason: "reference_conflict".to_owned(),
        explanation: format!(
            "this reference already stands for {}",
            budget::format_minor(earlier.amount_minor)
        ),
        policies: Vec::new(),
        obligation: None,
    }
}

#[allow(clippy::too_many_arguments)]
fn plan(
    cx: &Cx<'_>,
    vendor: &VendorCaller,
    scope: &ActorScope,
    check: &Check,
    decision: Decision,
    inputs: Inputs,
    earlier: Option<Reservation>,
    day: String,
) -> Spend {
    let mut spend = Spend {
        decision_id: cx.authority.fresh_id("dec"),
        decision,
        amount: inputs.amount,
        inputs,
        guards: Vec::new(),
        reserve: None,
    };
    let Some(Obligation::ReserveDaily {
        amount_minor,
        limit_minor,
        ..
    }) = &spend.decision.obligation
    else {
        return spend;
    };
    if let Some(earlier) = earlier {
        spend.guards.push(Test::ReservationIs {
            decision_id: earlier.decision_id.clone(),
            state: if earlier.state == "redeemed" {
                "redeemed"
            } else {
                "reserved"
            },
        });
        spend.decision_id = earlier.decision_id;
        return spend;
    }
    if let Some(reference) = check.reference() {
        spend.guards.push(Test::ReferenceFree {
            scope: scope.clone(),
            vendor: vendor.name.clone(),
            spend_scope: check.scope.clone(),
            day: day.clone(),
            reference: reference.to_owned(),
        });
    }
    spend.guards.push(Test::BudgetBelow {
        scope: scope.clone(),
        spend_scope: check.scope.clone(),
        currency: CURRENCY.to_owned(),
        day: day.clone(),
        add_minor: *amount_minor,
        limit_minor: *limit_minor,
    });
    spend.reserve = Some(Reservation {
        decision_id: spend.decision_id.clone(),
        vendor: vendor.name.clone(),
        scope: check.scope.clone(),
        day,
        amount_minor: *amount_minor,
        currency: CURRENCY.to_owned(),
        reference: check.reference().map(str::to_owned),
        state: "reserved".to_owned(),
    });
    spend
}

impl Spend {
    /// The refusal that the policy prepared for the case that the day's sum moved meanwhile.
    fn over_budget(&self) -> Option<Decision> {
        let Some(Obligation::ReserveDaily {
            refused_reason,
            refused_explanation,
            refused_policies,
            ..
        }) = &self.decision.obligation
        else {
            return None;
        };
        Some(Decision {
            verdict: Verdict::Deny,
            reason: refused_reason.clone(),
            explanation: refused_explanation.clone(),
            policies: refused_policies.clone(),
            obligation: None,
        })
    }

    /// The decision when the only guard with words of its own, the budget's, did not hold.
    pub(super) fn refused(&self) -> Decision {
        self.over_budget().unwrap_or_else(|| self.decision.clone())
    }

    /// The guards and effects that make it so. Only the budget's guard refuses; the others mean
    /// that the facts moved and the question is asked again.
    pub(super) fn parts(
        &self,
        cx: &Cx<'_>,
        scope: &ActorScope,
        tool: &str,
        kind: OpKind,
        check: &Check,
    ) -> Result<(Vec<Guard>, Vec<Effect>), Refusal> {
        let mut guards = Vec::new();
        if self.reserve.is_some() || !self.guards.is_empty() {
            guards = cx.still_bound(scope);
        }
        for test in &self.guards {
            let refused = match (&test, self.over_budget()) {
                (Test::BudgetBelow { .. }, Some(decision)) => {
                    Some(self.refused_event(cx, tool, kind, check, decision)?)
                }
                _ => None,
            };
            guards.push(Guard {
                test: test.clone(),
                refused,
            });
        }
        let reserve = self.reserve.clone();
        let effects = reserve.map(|reservation| Effect::Reserve {
            scope: scope.clone(),
            reservation,
        });
        Ok((guards, effects.into_iter().collect()))
    }

    fn refused_event(
        &self,
        cx: &Cx<'_>,
        tool: &str,
        kind: OpKind,
        check: &Check,
        decision: Decision,
    ) -> Result<Event, Refusal> {
        let refused = Self {
            decision,
            decision_id: self.decision_id.clone(),
            amount: self.amount,
            inputs: self.inputs.clone(),
            guards: Vec::new(),
            reserve: None,
        };
        Ok(cx
            .authority
            .event(cx.principal, row(cx, tool, kind, check, &refused)?))
    }
}

/// The row a decision leaves.
pub(super) fn row(
    cx: &Cx<'_>,
    tool: &str,
    kind: OpKind,
    check: &Check,
    spend: &Spend,
) -> Result<Row, Refusal> {
    let policy_version = cx.caller()?.0.policy_version;
    let amount = spend.amount.minor();
    let row = Row::new(
        kind,
        tool,
        spend.decision.verdict.into(),
        &spend.decision.reason,
    )
    .with(
        "scope",
        Value::from(crate::text::clean_to(&check.scope, 80)),
    )
    .with("decision_id", Value::from(spend.decision_id.as_str()))
    .with("amount_minor", amount.map(Value::from))
    .with("currency", amount.map(|_| Value::from(CURRENCY)))
    .with("inputs", recorded(&spend.inputs));
    Ok(decided(row, &spend.decision, policy_version))
}

/// What the policy was asked, so that the decision can be explained later.
fn recorded(inputs: &Inputs) -> Option<Value> {
    let cleaned = Inputs {
        scope: crate::text::clean_to(&inputs.scope, 80),
        namespace: inputs
            .namespace
            .as_deref()
            .map(|n| crate::text::clean_to(n, 40)),
        ..inputs.clone()
    };
    serde_json::to_value(cleaned).ok()
}

/// A decision as the tool answers it.
pub(super) fn verdict(check: &Check, decision: &Decision, decision_id: &str) -> VerdictAnswer {
    VerdictAnswer {
        verdict: decision.verdict,
        scope: check.scope.clone(),
        reason: decision.reason.clone(),
        explanation: decision.explanation.clone(),
        decision_id: decision_id.to_owned(),
        policies: decision.policies.clone(),
    }
}
