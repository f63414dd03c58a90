//! Policies: files are the source, the ledger is the truth.

use super::{Change, found, told};
use crate::authority::budget::{day_of, local_hour_weekday};
use crate::authority::calls::permission::{self, CURRENCY, Check};
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::policy::{Amount, Inputs, PolicyEngine, PolicySource, Question};
use crate::authority::ports::{Effect, EventFilter, SpendQuery, Test};
use crate::authority::principal::VendorCaller;
use crate::authority::{Refusal, unavailable};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) async fn apply(cx: &Cx<'_>, source: &PolicySource) -> Done {
    let engine = match PolicyEngine::compile(source) {
        Ok(engine) => engine,
        Err(error) => {
            let problem = InputProblem::new("agentkeys.policy.invalid", error.to_string());
            return Ok(cx.invalid("policy.apply", problem).await?);
        }
    };
    let tests = engine.run_tests(source);
    if let Some(failed) = tests.iter().find(|t| !t.passed) {
        let message = format!("the policy test {:?} in {} fails", failed.name, failed.file);
        let problem = InputProblem::new("agentkeys.policy.test_failed", message);
        return Ok(cx.invalid("policy.apply", problem).await?);
    }
    let heads = cx.authority.ledger().heads().await.map_err(unavailable)?;
    let version = heads.policy_version + 1;
    let hash = source.hash();
    let answer = json!({
        "policy_version": version, "hash": hex::encode(hash), "tests": tests.len(),
        "scopes": engine.scopes().collect::<Vec<_>>(),
    });
    let moved = InputProblem::new(
        "agentkeys.policy.busy",
        "another policy was put in force at the same moment; look at it and try again",
    );
    let source = serde_json::to_string(source).unwrap_or_default();
    let at_ms = cx.principal.frame().at_ms;
    Change::new(cx, OpKind::Policy, "policy.apply", answer.clone())
        .unless(Test::PolicyIs(heads.policy_version), moved)
        .effect(Effect::ApplyPolicy {
            version,
            hash,
            source,
            at_ms,
        })
        .commit(cx, "applied", Answer::Json(answer))
        .await
}

/// The row of a decision.
async fn row_of(cx: &Cx<'_>, decision_id: &str) -> Result<Option<Value>, Refusal> {
    let reading = cx.authority.reading(cx.principal, None).await?;
    for tool in ["agentkeys.permission.check", "agentkeys.cap.mint"] {
        let mut filter = EventFilter {
            tool: Some(tool.to_owned()),
            limit: PAGE,
            ..EventFilter::default()
        };
        loop {
            let page = cx.authority.events(&reading, &filter).await?;
            let found = page.iter().find(|e| e["decision_id"] == decision_id);
            if let Some(found) = found {
                return Ok(Some(found.clone()));
            }
            let Some(last) = page.last().and_then(|e| e["seq"].as_u64()) else {
                break;
            };
            filter.from_seq = Some(last + 1);
        }
    }
    Ok(None)
}

/// Rows read at a time while a decision is looked for.
const PAGE: u32 = 1_000;

/// Asks the policy of that time the same question again: the same inputs give the same verdict.
pub(super) async fn explain(cx: &Cx<'_>, decision_id: &str) -> Done {
    let row = row_of(cx, decision_id).await?;
    let inputs = row.as_ref().and_then(|r| {
        let inputs = serde_json::from_value::<Inputs>(r["inputs"].clone()).ok()?;
        Some((inputs, r["policy_version"].as_i64()?))
    });
    let (Some(row), Some((inputs, version))) = (row, inputs) else {
        let problem = InputProblem::new(
            "agentkeys.policy.decision_not_found",
            "no policy decision has this id; `agentkeys audit list` shows the ids there are",
        );
        return Ok(cx.invalid("policy.explain", problem).await?);
    };
    let explanation = cx
        .authority
        .engine(version)
        .await?
        .explain(&inputs.question());
    let mut answer = json!({
        "decision_id": decision_id, "event_id": row["event_id"], "ts": row["ts"],
        "verdict": row["verdict"], "scope": row["scope"], "reason": row["reason"],
        "explanation": row["explanation"], "policies": row["policy_ids"],
        "policy_version": version,
    });
    answer["rules"] = serde_json::to_value(&explanation.rules).unwrap_or_default();
    answer["inputs"] = serde_json::to_value(&explanation.inputs).unwrap_or_default();
    Ok(told(answer))
}

pub(super) async fn check(
    cx: &Cx<'_>,
    name: &str,
    vendor: Option<&str>,
    scope_name: String,
    params: Map<String, Value>,
) -> Done {
    let (actor, scope) = found!(cx, "policy.check", cx.target(name).await?);
    let ledger = cx.authority.ledger();
    let mut bindings = ledger.bindings(&scope).await.map_err(unavailable)?;
    let at = match vendor {
        Some(vendor) => bindings.iter().position(|(v, _)| v == vendor),
        None => (bindings.len() == 1).then_some(0),
    };
    let Some(at) = at else {
        let problem = InputProblem::new(
            "agentkeys.policy.vendor_missing",
            "name a vendor that is bound to this actor with --vendor",
        );
        return Ok(cx.invalid("policy.check", problem).await?);
    };
    let (vendor, binding) = bindings.swap_remove(at);
    let vendor = found!(cx, "policy.check", cx.vendor_named(&vendor).await?);
    let caller = VendorCaller {
        name: vendor.name,
        rail: vendor.rail,
        binding,
        actor: Arc::new(actor),
        policy_version: ledger.heads().await.map_err(unavailable)?.policy_version,
    };
    let now_ms = cx.principal.frame().at_ms;
    let day = day_of(now_ms, &caller.actor.zone).to_string();
    let query = SpendQuery {
        spend_scope: &scope_name,
        currency: CURRENCY,
        day: &day,
        vendor: &caller.name,
        reference: None,
        decision_id: None,
    };
    let facts = ledger.spend(&scope, query).await.map_err(unavailable)?;
    let engine = cx.authority.engine(caller.policy_version).await?;
    let (hour, weekday) = local_hour_weekday(now_ms, &caller.actor.zone);
    let check = Check {
        scope: scope_name,
        params,
    };
    let namespace = check.params.get("namespace").and_then(Value::as_str);
    let explanation = engine.explain(&Question {
        vendor: &caller.name,
        rail: caller.rail.as_str(),
        actor: &scope.actor().to_string(),
        scope: &check.scope,
        granted: permission::grants(&caller, &check.scope, namespace),
        namespace,
        amount: Amount::from_param(check.amount_param()),
        currency: CURRENCY,
        spent_minor: facts.spent_minor,
        cap_minor: caller.binding.daily_cap_minor,
        hour,
        weekday,
    });
    let mut answer =
        Answer::Verdict(permission::verdict(&check, &explanation.decision, "")).to_json();
    answer["policy_version"] = caller.policy_version.into();
    answer["rules"] = serde_json::to_value(&explanation.rules).unwrap_or_default();
    answer["inputs"] = serde_json::to_value(&explanation.inputs).unwrap_or_default();
    Ok(told(answer))
}
