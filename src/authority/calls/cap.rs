//! Capabilities: minted under the same policy as the act itself, taken back at once.

use super::answer::{Answer, Minted};
use super::permission::{self, CURRENCY, Check};
use super::{Cx, Done, Halt, InputProblem, OpKind, text};
use crate::authority::budget;
use crate::authority::cap::{CapClaims, CapOp, CapParams, NewCap};
use crate::authority::event::{Ending, Row, rfc3339_s};
use crate::authority::policy::{Decision, Verdict};
use crate::authority::ports::{
    CapRow, Committed, Effect, Guard, Reservation, SpendQuery, Test, Unit,
};
use crate::authority::principal::{ActorScope, VendorCaller};
use crate::authority::words::Namespace;
use crate::authority::{Cause, Outcome, Refusal, unavailable};
use serde_json::{Map, Value, json};

const MINT: &str = "agentkeys.cap.mint";
const REVOKE: &str = "agentkeys.cap.revoke";

/// A request for a capability.
#[derive(Debug, Clone)]
pub struct Mint {
    /// For what.
    pub op: CapOp,
    /// `namespace`, or `amount_rmb` and `decision_id`.
    pub params: Map<String, Value>,
    /// Seconds asked for.
    pub ttl: Option<u64>,
}

/// What a mint was decided to be.
struct Plan {
    grant: String,
    namespaces: Vec<Namespace>,
    params: CapParams,
    guards: Vec<Guard>,
    effects: Vec<Effect>,
    row: Row,
    spend: Option<permission::Spend>,
}

/// Either a plan, or a refusal that is ready to be recorded.
enum Decided {
    Go(Box<Plan>),
    No(Box<(Row, Answer)>),
    Bad(InputProblem),
}

/// `agentkeys.cap.mint`
pub(super) async fn mint(cx: &Cx<'_>, mint: &Mint) -> Done {
    let (vendor, scope) = cx.caller()?;
    let max = mint.op.max_ttl();
    let Ok(ttl) = crate::authority::cap::clamp_ttl(mint.op, mint.ttl.unwrap_or(max)) else {
        let problem = InputProblem::new(
            "agentkeys.cap.ttl_invalid",
            format!("`ttl` is a whole number of seconds from 1 to {max}"),
        );
        return Ok(cx.invalid(MINT, problem).await?);
    };
    let decided = match mint.op {
        CapOp::PaymentSpend => payment(cx, vendor, scope, mint).await?,
        CapOp::MemoryGet => memory(cx, mint, "memory.read").await?,
        CapOp::MemoryPut => memory(cx, mint, "memory.write").await?,
    };
    match decided {
        Decided::Go(plan) => issue(cx, vendor, scope, mint, ttl, *plan).await,
        Decided::Bad(problem) => Ok(cx.invalid(MINT, problem).await?),
        Decided::No(no) => {
            let (row, answer) = *no;
            let event = cx.authority.event(cx.principal, row);
            Ok(cx.authority.record(event, answer).await?)
        }
    }
}

async fn issue(
    cx: &Cx<'_>,
    vendor: &VendorCaller,
    scope: &ActorScope,
    mint: &Mint,
    ttl: u64,
    plan: Plan,
) -> Done {
    let now_s = u64::try_from(cx.principal.frame().at_ms / 1000).unwrap_or(0);
    let cap_id = cx.authority.fresh_id("cap");
    let new = NewCap {
        jti: cap_id.clone(),
        sub: scope.actor(),
        vendor: vendor.name.clone(),
        op: mint.op,
        namespaces: plan
            .namespaces
            .iter()
            .map(|n| n.as_str().to_owned())
            .collect(),
        params: plan.params,
    };
    let claims = CapClaims::new(new, cx.authority.issuer(), now_s, ttl).map_err(|error| {
        tracing::error!(%error, "a cap could not be made");
        Refusal::from(Cause::AuditUnavailable)
    })?;
    let exp = claims.exp;
    let signed = cx.authority.caps().sign(&claims).map_err(|error| {
        tracing::error!(%error, "a cap could not be signed");
        Refusal::from(Cause::AuditUnavailable)
    })?;
    let row = plan.row.with("cap_id", Value::from(cap_id.as_str()));
    let event = cx.authority.event(cx.principal, row);
    let event_id = event.id.clone();
    let mut effects = plan.effects;
    let cap = CapRow {
        cap_id: cap_id.clone(),
        vendor: vendor.name.clone(),
        token_id: cx.principal.token_id().unwrap_or_default().to_owned(),
        op: mint.op.as_str().to_owned(),
        exp,
        revoked_ms: None,
        grant: plan.grant,
        spent: None,
        token_live: true,
    };
    effects.push(Effect::MintCap {
        scope: scope.clone(),
        cap,
    });
    let unit = Unit {
        guards: plan.guards,
        effects,
        event,
    };
    let answer = match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Answer::Cap(Minted {
            cap_id,
            cap: signed,
            op: mint.op.as_str(),
            data_class: mint.op.data_class().as_str(),
            expires_at: rfc3339_s(exp),
            ttl_seconds: ttl,
        }),
        Committed::Refused { .. } => refused(mint, plan.spend.as_ref()),
        Committed::Stale => return Err(Halt::Stale),
    };
    Ok(Outcome { answer, event_id })
}

/// Only a budget's guard refuses with words of its own.
fn refused(mint: &Mint, spend: Option<&permission::Spend>) -> Answer {
    let over = spend.map(|s| (s.refused(), s.decision_id.as_str()));
    let (decision, id) = over.unwrap_or_else(|| (denial("refused", ""), ""));
    Answer::Verdict(permission::verdict(&spend_check(mint), &decision, id))
}

async fn memory(cx: &Cx<'_>, mint: &Mint, policy_scope: &str) -> Result<Decided, Refusal> {
    let (vendor, scope) = cx.caller()?;
    let Some(namespace) = text(&mint.params, "namespace").and_then(|w| w.parse::<Namespace>().ok())
    else {
        return Ok(Decided::Bad(unknown_namespace()));
    };
    let set = match mint.op {
        CapOp::MemoryGet => vendor.binding.read,
        _ => vendor.binding.write,
    };
    let decision = cx.ask(policy_scope, namespace, set.has(namespace)).await?;
    let row = Row::new(
        OpKind::CapMint,
        MINT,
        decision.verdict.into(),
        &decision.reason,
    )
    .namespace(namespace)
    .with("scope", Value::from(policy_scope));
    let row = super::decided(row, &decision, vendor.policy_version);
    if decision.verdict != Verdict::Accept {
        let id = cx.authority.fresh_id("dec");
        let row = row.with("decision_id", Value::from(id.as_str()));
        let check = Check {
            scope: policy_scope.to_owned(),
            params: Map::new(),
        };
        let answer = Answer::Verdict(permission::verdict(&check, &decision, &id));
        return Ok(Decided::No(Box::new((row, answer))));
    }
    Ok(Decided::Go(Box::new(Plan {
        grant: format!("{policy_scope}:{namespace}"),
        namespaces: vec![namespace],
        params: CapParams::Memory {},
        guards: cx.still_bound(scope),
        effects: Vec::new(),
        row,
        spend: None,
    })))
}

/// A payment cap runs the same policy, and uses its decision's reservation or makes one.
async fn payment(
    cx: &Cx<'_>,
    vendor: &VendorCaller,
    scope: &ActorScope,
    mint: &Mint,
) -> Result<Decided, Refusal> {
    if let Some(decision_id) = text(&mint.params, "decision_id") {
        return from_decision(cx, vendor, scope, mint, decision_id).await;
    }
    let check = spend_check(mint);
    let spend = permission::evaluate(cx, vendor, scope, &check).await?;
    let row = permission::row(cx, MINT, OpKind::CapMint, &check, &spend)?;
    if spend.decision.verdict != Verdict::Accept {
        let answer = Answer::Verdict(permission::verdict(
            &check,
            &spend.decision,
            &spend.decision_id,
        ));
        return Ok(Decided::No(Box::new((row, answer))));
    }
    let (guards, effects) = spend.parts(cx, scope, MINT, OpKind::CapMint, &check)?;
    let amount = spend.amount.minor().unwrap_or(0);
    Ok(Decided::Go(Box::new(Plan {
        grant: PAYMENT.to_owned(),
        namespaces: Vec::new(),
        params: payment_params(amount, &spend.decision_id),
        guards,
        effects,
        row,
        spend: Some(spend),
    })))
}

async fn from_decision(
    cx: &Cx<'_>,
    vendor: &VendorCaller,
    scope: &ActorScope,
    mint: &Mint,
    decision_id: &str,
) -> Result<Decided, Refusal> {
    let day = budget::day_of(cx.principal.frame().at_ms, &vendor.actor.zone).to_string();
    let query = SpendQuery {
        spend_scope: PAYMENT,
        currency: CURRENCY,
        day: &day,
        vendor: &vendor.name,
        reference: None,
        decision_id: Some(decision_id),
    };
    let facts = cx
        .authority
        .ledger()
        .spend(scope, query)
        .await
        .map_err(unavailable)?;
    let reserved = facts.by_decision.filter(|r| {
        r.vendor == vendor.name && r.state == "reserved" && r.day == day && r.scope == PAYMENT
    });
    let Some(reserved) = reserved else {
        return Ok(no_payment(
            cx,
            mint,
            "decision_not_found",
            "this decision holds no money today",
        ));
    };
    let amount = match mint.params.get("amount_rmb") {
        None | Some(Value::Null) => Ok(reserved.amount_minor),
        Some(value) => budget::parse_amount(value),
    };
    let Ok(amount) = amount else {
        return Ok(no_payment(
            cx,
            mint,
            "invalid_amount",
            "amounts have at most two decimals and are above zero",
        ));
    };
    if amount > reserved.amount_minor {
        return Ok(no_payment(
            cx,
            mint,
            "over_reservation",
            "the decision set less aside",
        ));
    }
    if !vendor.binding.grants(PAYMENT) {
        return Ok(no_payment(
            cx,
            mint,
            "scope_not_granted",
            "this vendor may not spend",
        ));
    }
    let row = Row::new(OpKind::CapMint, MINT, Ending::Accept, "within_reservation")
        .with("scope", Value::from(PAYMENT))
        .with("decision_id", Value::from(decision_id))
        .with("amount_minor", Value::from(amount))
        .with("currency", Value::from(CURRENCY))
        .with("policy_version", Value::from(vendor.policy_version));
    let mut guards = cx.still_bound(scope);
    guards.push(Guard::fresh(reservation_open(&reserved)));
    Ok(Decided::Go(Box::new(Plan {
        grant: PAYMENT.to_owned(),
        namespaces: Vec::new(),
        params: payment_params(amount, decision_id),
        guards,
        effects: Vec::new(),
        row,
        spend: None,
    })))
}

/// The scope a payment cap stands for.
pub(super) const PAYMENT: &str = "payment.spend";

fn reservation_open(reserved: &Reservation) -> Test {
    Test::ReservationIs {
        decision_id: reserved.decision_id.clone(),
        state: "reserved",
    }
}

fn payment_params(amount_minor: i64, decision_id: &str) -> CapParams {
    CapParams::Payment {
        amount_minor: amount_minor.unsigned_abs(),
        currency: CURRENCY.to_owned(),
        decision_id: decision_id.to_owned(),
    }
}

fn spend_check(mint: &Mint) -> Check {
    let scope = match mint.op {
        CapOp::PaymentSpend => PAYMENT,
        CapOp::MemoryGet => "memory.read",
        CapOp::MemoryPut => "memory.write",
    };
    Check {
        scope: scope.to_owned(),
        params: mint.params.clone(),
    }
}

fn denial(reason: &str, explanation: &str) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        reason: reason.to_owned(),
        explanation: explanation.to_owned(),
        policies: Vec::new(),
        obligation: None,
    }
}

fn no_payment(cx: &Cx<'_>, mint: &Mint, reason: &str, explanation: &str) -> Decided {
    let id = cx.authority.fresh_id("dec");
    let decision = denial(reason, explanation);
    let row = Row::new(OpKind::CapMint, MINT, Ending::Deny, reason)
        .with("scope", Value::from(PAYMENT))
        .with("explanation", Value::from(explanation))
        .with("decision_id", Value::from(id.as_str()));
    let answer = Answer::Verdict(permission::verdict(&spend_check(mint), &decision, &id));
    Decided::No(Box::new((row, answer)))
}

/// A namespace outside the four.
pub fn unknown_namespace() -> InputProblem {
    InputProblem::new(
        "agentkeys.memory.namespace_unknown",
        "`namespace` is one of personal, family, work, travel",
    )
}

/// `agentkeys.cap.revoke`: only the actor's own caps, of this vendor; any other answers like one
/// that never was.
pub(super) async fn revoke(cx: &Cx<'_>, cap_id: &str) -> Done {
    let (vendor, scope) = cx.caller()?;
    let ledger = cx.authority.ledger();
    let cap = ledger
        .cap(scope, cap_id, cx.principal.frame().at_ms)
        .await
        .map_err(unavailable)?;
    let named = crate::text::clean_to(cap_id, 80);
    let Some(cap) = cap.filter(|c| c.vendor == vendor.name) else {
        let row = Row::new(OpKind::CapRevoke, REVOKE, Ending::Deny, "not_found")
            .with("claimed", json!({ "cap_id": named }));
        let event = cx.authority.event(cx.principal, row);
        return Ok(cx.authority.record(event, Answer::CapNotFound).await?);
    };
    let row = Row::new(OpKind::CapRevoke, REVOKE, Ending::Accept, "revoked")
        .with("cap_id", Value::from(named));
    let event = cx.authority.event(cx.principal, row);
    let event_id = event.id.clone();
    let at_ms = cx.principal.frame().at_ms;
    let effects = vec![Effect::RevokeCap {
        cap_id: cap.cap_id.clone(),
        at_ms,
    }];
    cx.authority
        .commit(Unit {
            guards: Vec::new(),
            effects,
            event,
        })
        .await?;
    let answer = Answer::Revoked {
        cap_id: cap.cap_id,
        offline_until: rfc3339_s(cap.exp),
    };
    Ok(Outcome { answer, event_id })
}
