//! Where a cap is spent: the cap and a token of its own vendor, together. Everything it rests on
//! is read again, and a write or a payment takes it once.

use super::answer::Answer;
use super::cap::PAYMENT;
use super::memory::{self, Access, Mode, Put};
use super::{Cx, Done, Halt, InputProblem, OpKind, tag};
use crate::authority::admit::{Header, Knock, Turned, Wants};
use crate::authority::budget;
use crate::authority::cap::{CapClaims, CapError, CapOp, CapParams};
use crate::authority::event::{Ending, Row, Subject};
use crate::authority::ports::{CapRow, Committed, Effect, Guard, SpendQuery, Stored, Test, Unit};
use crate::authority::principal::{ActorScope, VendorCaller};
use crate::authority::words::{Namespace, NamespaceSet};
use crate::authority::{Authority, Call, Cause, Outcome, unavailable};
use crate::secret::Secret;
use base64::Engine as _;
use serde_json::{Value, json};

/// A cap on its way to be spent, its signature already checked.
#[derive(Debug)]
pub struct Spend {
    claims: CapClaims,
    endpoint: Endpoint,
    act: Act,
}

/// The endpoints that take caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/memory/get`
    MemoryGet,
    /// `POST /v1/memory/put`
    MemoryPut,
    /// `POST /v1/cap/redeem`
    Redeem,
    /// `POST /v1/cap/introspect`
    Introspect,
}

/// What a cap is to be used for.
#[derive(Debug)]
pub enum Act {
    /// Read a memory.
    Get,
    /// Write one.
    Put {
        /// The text.
        content: Secret<String>,
    },
    /// Pay.
    Redeem {
        /// `amount_rmb` as given.
        amount: Value,
    },
    /// Ask about it.
    Introspect,
}

impl Endpoint {
    /// What the row calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MemoryGet => "cap.memory_get",
            Self::MemoryPut => "cap.memory_put",
            Self::Redeem => "cap.redeem",
            Self::Introspect => "cap.introspect",
        }
    }

    const fn op(self) -> Option<CapOp> {
        match self {
            Self::MemoryGet => Some(CapOp::MemoryGet),
            Self::MemoryPut => Some(CapOp::MemoryPut),
            Self::Redeem => Some(CapOp::PaymentSpend),
            Self::Introspect => None,
        }
    }
}

impl Spend {
    pub(super) const fn name(&self) -> &'static str {
        self.endpoint.name()
    }
}

impl Authority {
    /// Spends a cap for the vendor whose token came with it, or answers about one. The actor is
    /// the one the cap names: no header chooses it.
    pub async fn spend(
        &self,
        knock: &Knock<'_>,
        endpoint: Endpoint,
        body: Result<(&str, Act), Cause>,
    ) -> Result<Outcome, Turned> {
        let verified = body.map(|(cap, act)| (self.caps().verify(cap, self.now_s()), act));
        let (found, actor, vendor) = match &verified {
            Err(cause) => (Some(*cause), String::new(), ""),
            Ok((Ok(claims), _)) => (None, claims.sub.bare(), claims.vendor.as_str()),
            // RFC 7662 §2.2: a token that is none is no error, it is inactive.
            Ok((Err(_), Act::Introspect)) => (None, String::new(), ""),
            Ok((Err(CapError::Expired), _)) => (Some(Cause::CapExpired), String::new(), ""),
            Ok((Err(_), _)) => (Some(Cause::CapInvalid), String::new(), ""),
        };
        let knock = Knock {
            actor: if actor.is_empty() {
                Header::Absent
            } else {
                Header::One(&actor)
            },
            found: knock.found.or(found),
            asked: endpoint.name(),
            ..*knock
        };
        if endpoint == Endpoint::Introspect {
            let claims = verified.ok().and_then(|(claims, _)| claims.ok());
            return self.introspect(&knock, claims).await;
        }
        let principal = self.admit(&knock, Wants::SpenderOf(vendor)).await?;
        let turned = |refusal| Turned {
            refusal,
            profile: Some(principal.frame().profile),
        };
        let Ok((Ok(claims), act)) = verified else {
            return Err(turned(Cause::CapInvalid.into()));
        };
        let spend = Spend {
            claims,
            endpoint,
            act,
        };
        let call = Call::Spend(Box::new(spend));
        self.perform(&principal, call).await.map_err(turned)
    }
}

pub(super) async fn run(cx: &Cx<'_>, spend: &Spend) -> Done {
    let (vendor, scope) = cx.caller()?;
    let ledger = cx.authority.ledger();
    let now_ms = cx.principal.frame().at_ms;
    let cap = ledger.cap(scope, &spend.claims.jti, now_ms).await;
    let cap = cap.map_err(unavailable)?;
    let Some(cap) = cap.filter(|c| alive(c, vendor)) else {
        return cx.refuse(spend, Cause::CapRevoked).await;
    };
    if spend.endpoint.op() != Some(spend.claims.op) {
        return cx.refuse(spend, Cause::CapMismatch).await;
    }
    match &spend.act {
        Act::Get => get(cx, scope, spend).await,
        Act::Put { content } => put(cx, scope, spend, &cap, content).await,
        Act::Redeem { amount } => redeem(cx, scope, spend, &cap, amount).await,
        Act::Introspect => cx.refuse(spend, Cause::CapMismatch).await,
    }
}

fn alive(cap: &CapRow, vendor: &VendorCaller) -> bool {
    cap.revoked_ms.is_none() && cap.token_live && granted(cap, &vendor.binding)
}

/// Whether the consent a cap rests on still stands.
pub(super) fn granted(cap: &CapRow, binding: &crate::authority::principal::Binding) -> bool {
    let in_set =
        |set: NamespaceSet, word: &str| word.parse::<Namespace>().is_ok_and(|n| set.has(n));
    match cap.grant.split_once(':') {
        Some(("memory.read", word)) => in_set(binding.read, word),
        Some(("memory.write", word)) => in_set(binding.write, word),
        _ => binding.grants(&cap.grant),
    }
}

fn spend_row(spend: &Spend, ending: Ending, reason: &str) -> Row {
    Row::new(OpKind::CapRedeem, spend.name(), ending, reason)
        .with("cap_id", Value::from(spend.claims.jti.as_str()))
}

impl Cx<'_> {
    async fn refuse(&self, spend: &Spend, cause: Cause) -> Done {
        let row = spend_row(spend, Ending::Deny, cause.reason()).status(cause.status());
        let event = self.authority.event(self.principal, row);
        let nothing = Answer::Json(Value::Null);
        self.authority.record(event, nothing).await?;
        Err(cause.into())
    }

    /// Guards that the cap may still be spent. When it may not, it is looked at again: it may
    /// have been spent on this very content.
    fn spendable(&self, spend: &Spend, scope: &ActorScope) -> Vec<Guard> {
        let mut guards = self.still_bound(scope);
        let cap_id = spend.claims.jti.clone();
        guards.push(Guard::fresh(Test::CapUnspent { cap_id }));
        guards
    }

    /// The first answer again, with a row of its own.
    async fn repeat(&self, spend: &Spend, first: Value) -> Done {
        let row = spend_row(spend, Ending::Accept, "repeated");
        let event = self.authority.event(self.principal, row);
        Ok(self.authority.record(event, Answer::Json(first)).await?)
    }
}

fn namespace(spend: &Spend) -> Option<Namespace> {
    spend.claims.namespaces.first().and_then(|w| w.parse().ok())
}

/// Access under a cap; an error of the storage keeps its own reason in the row.
fn access<'a>(
    cx: &'a Cx<'_>,
    scope: &'a ActorScope,
    spend: &'a Spend,
    effects: memory::MakeEffects<'a>,
) -> Access<'a> {
    Access {
        scope,
        tool: spend.name(),
        may_read: true,
        guards: Box::new(|| cx.spendable(spend, scope)),
        effects,
        row: Box::new(|ending, reason| {
            let reason = if reason.is_empty() {
                "cap_spent"
            } else {
                reason
            };
            spend_row(spend, ending, reason)
        }),
        subject: Subject::of(cx.principal),
    }
}

async fn get(cx: &Cx<'_>, scope: &ActorScope, spend: &Spend) -> Done {
    let Some(namespace) = namespace(spend) else {
        return cx.refuse(spend, Cause::CapMismatch).await;
    };
    let access = access(cx, scope, spend, Box::new(|_| Vec::new()));
    let outcome = memory::read(cx, &access, namespace, None).await?;
    let answer = match outcome.answer {
        Answer::Memory(memory) => {
            let text = base64::engine::general_purpose::STANDARD.encode(&memory.content);
            Answer::Json(json!({"ok": true, "plaintext_b64": text, "version": memory.version}))
        }
        other => other,
    };
    Ok(Outcome { answer, ..outcome })
}

/// The worker's answer to a write.
fn written(stored: &Stored) -> Value {
    json!({
        "ok": true, "s3_key": stored.object_key, "envelope_size": stored.envelope_size,
        "version": stored.version,
    })
}

async fn put(
    cx: &Cx<'_>,
    scope: &ActorScope,
    spend: &Spend,
    cap: &CapRow,
    content: &Secret<String>,
) -> Done {
    let Some(namespace) = namespace(spend) else {
        return cx.refuse(spend, Cause::CapMismatch).await;
    };
    if let Some(first) = &cap.spent {
        return put_again(cx, scope, spend, namespace, first, content).await;
    }
    let takes_it = |stored: &Stored| {
        let cap_id = spend.claims.jti.clone();
        let answer = written(stored).to_string();
        vec![Effect::SpendCap { cap_id, answer }]
    };
    let access = access(cx, scope, spend, Box::new(takes_it));
    let put = Put {
        namespace,
        content: content.clone(),
        mode: Mode::Replace,
        if_version: None,
    };
    let outcome = memory::write(cx, &access, &put).await?;
    let answer = match outcome.answer {
        Answer::Put(p) => Answer::Json(json!({
            "ok": true, "s3_key": p.object_key, "envelope_size": p.envelope_size,
            "version": p.version,
        })),
        other => other,
    };
    Ok(Outcome { answer, ..outcome })
}

/// A write cap that comes again: the first answer for the same content, a refusal for another.
async fn put_again(
    cx: &Cx<'_>,
    scope: &ActorScope,
    spend: &Spend,
    namespace: Namespace,
    first: &str,
    content: &Secret<String>,
) -> Done {
    let first: Value = serde_json::from_str(first).unwrap_or_default();
    let version = first.get("version").and_then(Value::as_u64);
    let ledger = cx.authority.ledger();
    let facts = ledger.memory(scope, namespace, version, None).await;
    let facts = facts.map_err(unavailable)?;
    let same = match (&facts.wanted, &facts.salt.salt) {
        (Some(stored), Some(salt)) => {
            let sent = tag(&salt.bytes, content.expose().as_bytes());
            crate::secret::same(&stored.tag, &sent)
        }
        _ => false,
    };
    if !same {
        return cx.refuse(spend, Cause::CapSpent).await;
    }
    cx.repeat(spend, first).await
}

async fn redeem(
    cx: &Cx<'_>,
    scope: &ActorScope,
    spend: &Spend,
    cap: &CapRow,
    amount: &Value,
) -> Done {
    let Ok(amount) = budget::parse_amount(amount) else {
        let problem = InputProblem::new(
            "agentkeys.cap.invalid_amount",
            "`amount_rmb` is above zero with at most two decimals",
        );
        return Ok(cx.invalid(spend.name(), problem).await?);
    };
    let CapParams::Payment {
        amount_minor: limit,
        currency,
        decision_id,
    } = &spend.claims.params
    else {
        return cx.refuse(spend, Cause::CapMismatch).await;
    };
    let answer = json!({
        "ok": true, "cap_id": spend.claims.jti, "decision_id": decision_id,
        "amount_minor": amount, "currency": currency,
    });
    if let Some(first) = &cap.spent {
        if serde_json::from_str::<Value>(first).is_ok_and(|f| f == answer) {
            return cx.repeat(spend, answer).await;
        }
        return cx.refuse(spend, Cause::CapSpent).await;
    }
    let within = u64::try_from(amount).is_ok_and(|a| a <= *limit);
    if !within || !reserved(cx, scope, decision_id, amount).await? {
        // Somebody else may have redeemed it since the cap was read: then this is a repeat.
        if spent_by_now(cx, scope, spend).await? {
            return Err(Halt::Stale);
        }
        return cx.refuse(spend, Cause::CapMismatch).await;
    }
    let row = spend_row(spend, Ending::Accept, "redeemed")
        .with("scope", Value::from(PAYMENT))
        .with("decision_id", Value::from(decision_id.as_str()))
        .with("amount_minor", Value::from(amount))
        .with("currency", Value::from(currency.as_str()));
    let event = cx.authority.event(cx.principal, row);
    let event_id = event.id.clone();
    let unit = redeemed(cx, scope, spend, decision_id, &answer, event);
    match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Ok(Outcome {
            answer: Answer::Json(answer),
            event_id,
        }),
        Committed::Refused { .. } | Committed::Stale => Err(Halt::Stale),
    }
}

fn redeemed(
    cx: &Cx<'_>,
    scope: &ActorScope,
    spend: &Spend,
    decision_id: &str,
    answer: &Value,
    event: crate::authority::event::Event,
) -> Unit {
    let mut guards = cx.spendable(spend, scope);
    guards.push(Guard::fresh(Test::ReservationIs {
        decision_id: decision_id.to_owned(),
        state: "reserved",
    }));
    let effects = vec![
        Effect::SpendCap {
            cap_id: spend.claims.jti.clone(),
            answer: answer.to_string(),
        },
        Effect::SetReservation {
            decision_id: decision_id.to_owned(),
            state: "redeemed",
        },
    ];
    Unit {
        guards,
        effects,
        event,
    }
}

async fn spent_by_now(cx: &Cx<'_>, scope: &ActorScope, spend: &Spend) -> Done<bool> {
    let now_ms = cx.authority.now_ms();
    let ledger = cx.authority.ledger();
    let cap = ledger.cap(scope, &spend.claims.jti, now_ms).await;
    Ok(cap.map_err(unavailable)?.is_some_and(|c| c.spent.is_some()))
}

async fn reserved(cx: &Cx<'_>, scope: &ActorScope, decision_id: &str, amount: i64) -> Done<bool> {
    let query = SpendQuery {
        spend_scope: PAYMENT,
        currency: super::permission::CURRENCY,
        day: "",
        vendor: "",
        reference: None,
        decision_id: Some(decision_id),
    };
    let facts = cx.authority.ledger().spend(scope, query).await;
    let facts = facts.map_err(unavailable)?;
    let held = |r: &crate::authority::ports::Reservation| {
        r.state == "reserved" && amount <= r.amount_minor
    };
    Ok(facts.by_decision.is_some_and(|r| held(&r)))
}
