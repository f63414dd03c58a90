//! Where a cap is spent: the cap and a token of its own vendor, together. Everything it rests on
//! is read again, and a write or a payment takes it once.

use super::answer::Answer;
use super::cap::PAYMENT;
use super::memory::{self, Access, Mode, Put};
use super::{Cx, InputProblem, OpKind, tag};
use crate::authority::admit::{Header, Knock, Turned, Wants};
use crate::authority::budget;
use crate::authority::cap::{CapClaims, CapError, CapOp, CapParams};
use crate::authority::event::{Ending, Row, Subject};
use crate::authority::ports::{CapRow, Committed, Effect, Guard, SpendQuery, Test, Unit};
use crate::authority::principal::ActorScope;
use crate::authority::words::Namespace;
use crate::authority::{Authority, Call, Cause, Outcome, Refusal, unavailable};
use crate::secret::Secret;
use base64::Engine as _;
use serde_json::{Value, json};

/// A cap on its way to be spent, its signature already checked.
#[derive(Debug)]
pub struct Spend {
    claims: CapClaims,
    act: Act,
}

/// What a cap is to be used for.
#[derive(Debug)]
pub enum Act {
    /// `POST /v1/memory/get`
    Get,
    /// `POST /v1/memory/put`
    Put {
        /// The text.
        content: Secret<String>,
    },
    /// `POST /v1/cap/redeem`
    Redeem {
        /// `amount_rmb` as given.
        amount: Value,
    },
    /// `POST /v1/cap/introspect`
    Introspect,
}

impl Act {
    const fn op(&self) -> Option<CapOp> {
        match self {
            Self::Get => Some(CapOp::MemoryGet),
            Self::Put { .. } => Some(CapOp::MemoryPut),
            Self::Redeem { .. } => Some(CapOp::PaymentSpend),
            Self::Introspect => None,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Get => "cap.memory_get",
            Self::Put { .. } => "cap.memory_put",
            Self::Redeem { .. } => "cap.redeem",
            Self::Introspect => "cap.introspect",
        }
    }
}

impl Authority {
    /// Spends a cap for the vendor whose token came with it. The actor is the one the cap names:
    /// no header chooses it.
    pub async fn spend(&self, knock: &Knock<'_>, cap: &str, act: Act) -> Result<Outcome, Turned> {
        let verified = match self.caps().verify(cap, self.now_s()) {
            Ok(claims) => Ok(claims),
            Err(CapError::Expired) => Err(Cause::CapExpired),
            Err(_) => Err(Cause::CapInvalid),
        };
        let actor = verified.as_ref().map(|c| c.sub.bare()).unwrap_or_default();
        let knock = Knock {
            actor: match &verified {
                Ok(_) => Header::One(&actor),
                Err(_) => Header::Absent,
            },
            found: knock.found.or_else(|| verified.as_ref().err().copied()),
            asked: act.name(),
            ..*knock
        };
        let vendor = verified.as_ref().map_or("", |c| c.vendor.as_str());
        if verified.is_err() && matches!(act, Act::Introspect) {
            return self.inactive(&knock).await;
        }
        let principal = self.admit(&knock, Wants::SpenderOf(vendor)).await?;
        let Ok(claims) = verified else {
            return Err(Turned {
                refusal: Cause::CapInvalid.into(),
                profile: None,
            });
        };
        let call = Call::Spend(Box::new(Spend { claims, act }));
        self.perform(&principal, call)
            .await
            .map_err(|refusal| Turned {
                refusal,
                profile: Some(principal.frame().profile),
            })
    }

    /// RFC 7662: an unknown token is not an error, it is inactive. The asker must still be known.
    async fn inactive(&self, knock: &Knock<'_>) -> Result<Outcome, Turned> {
        let knock = Knock {
            found: None,
            ..*knock
        };
        let principal = self.admit(&knock, Wants::Anyone).await?;
        let row = Row::new(OpKind::CapRedeem, "cap.introspect", Ending::Deny, "invalid");
        let event = self.event(&principal, row);
        let answer = Answer::Json(json!({ "active": false }));
        self.record(event, answer).await.map_err(|refusal| Turned {
            refusal,
            profile: None,
        })
    }
}

pub(super) async fn run(cx: &Cx<'_>, spend: Spend) -> Result<Outcome, Refusal> {
    let (vendor, scope) = cx.caller()?;
    let ledger = cx.authority.ledger();
    let cap = ledger
        .cap(scope, &spend.claims.jti)
        .await
        .map_err(unavailable)?;
    let Some(cap) = cap else {
        return cx.refuse(&spend, Cause::CapRevoked).await;
    };
    let dead = cap.revoked_ms.is_some() || !cap.token_live || !granted(&cap, vendor);
    if matches!(spend.act, Act::Introspect) {
        return introspect(cx, &spend, &cap, !dead && cap.spent.is_none()).await;
    }
    if dead {
        return cx.refuse(&spend, Cause::CapRevoked).await;
    }
    if spend.act.op() != Some(spend.claims.op) {
        return cx.refuse(&spend, Cause::CapMismatch).await;
    }
    match &spend.act {
        Act::Get => get(cx, scope, &spend).await,
        Act::Put { content } => put(cx, scope, &spend, &cap, content).await,
        Act::Redeem { amount } => redeem(cx, scope, &spend, &cap, amount).await,
        Act::Introspect => Err(Cause::CapMismatch.into()),
    }
}

/// Whether the consent the cap rests on still stands.
fn granted(cap: &CapRow, vendor: &crate::authority::principal::VendorCaller) -> bool {
    let in_set = |set: crate::authority::words::NamespaceSet, word: &str| {
        word.parse::<Namespace>().is_ok_and(|n| set.has(n))
    };
    match cap.grant.split_once(':') {
        Some(("memory.read", word)) => in_set(vendor.binding.read, word),
        Some(("memory.write", word)) => in_set(vendor.binding.write, word),
        _ => vendor.binding.grants(&cap.grant),
    }
}

fn spend_row(spend: &Spend, ending: Ending, reason: &str) -> Row {
    Row::new(OpKind::CapRedeem, spend.act.name(), ending, reason)
        .with("cap_id", Value::from(spend.claims.jti.as_str()))
}

impl Cx<'_> {
    async fn refuse(&self, spend: &Spend, cause: Cause) -> Result<Outcome, Refusal> {
        let row = spend_row(spend, Ending::Deny, cause.reason()).status(cause.status());
        let event = self.authority.event(self.principal, row);
        self.authority
            .record(event, Answer::Json(Value::Null))
            .await?;
        Err(cause.into())
    }

    /// Guards for a cap that is taken once; each says in its row why it was not.
    fn once(&self, spend: &Spend, scope: &ActorScope) -> Vec<Guard> {
        let mut guards = self.still_bound(scope, spend.act.name(), OpKind::CapRedeem);
        let row = spend_row(spend, Ending::Deny, Cause::CapSpent.reason()).status(403);
        guards.push(Guard {
            test: Test::CapUnspent {
                cap_id: spend.claims.jti.clone(),
            },
            refused: Some(self.authority.event(self.principal, row)),
        });
        guards
    }
}

fn namespace(spend: &Spend) -> Option<Namespace> {
    spend.claims.namespaces.first().and_then(|w| w.parse().ok())
}

async fn get(cx: &Cx<'_>, scope: &ActorScope, spend: &Spend) -> Result<Outcome, Refusal> {
    let Some(namespace) = namespace(spend) else {
        return cx.refuse(spend, Cause::CapMismatch).await;
    };
    let access = Access {
        scope,
        guards: Box::new(Vec::new),
        effects: Box::new(|_| Vec::new()),
        lost: Box::new(|| Err(Cause::CapRevoked.into())),
        row: Box::new(|ending, _| spend_row(spend, ending, "cap_spent")),
        subject: Subject::of(cx.principal),
    };
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

async fn put(
    cx: &Cx<'_>,
    scope: &ActorScope,
    spend: &Spend,
    cap: &CapRow,
    content: &Secret<String>,
) -> Result<Outcome, Refusal> {
    let Some(namespace) = namespace(spend) else {
        return cx.refuse(spend, Cause::CapMismatch).await;
    };
    if let Some(first) = &cap.spent {
        return again(cx, scope, spend, namespace, first, content).await;
    }
    let answer = |s: &crate::authority::ports::Stored| json!({"ok": true, "s3_key": s.object_key, "envelope_size": s.envelope_size, "version": s.version});
    let access = Access {
        scope,
        guards: Box::new(|| cx.once(spend, scope)),
        effects: Box::new(move |stored| {
            let cap_id = spend.claims.jti.clone();
            vec![Effect::SpendCap {
                cap_id,
                answer: answer(stored).to_string(),
            }]
        }),
        lost: Box::new(|| Err(Cause::CapSpent.into())),
        row: Box::new(|ending, _| spend_row(spend, ending, "cap_spent")),
        subject: Subject::of(cx.principal),
    };
    let put = Put {
        namespace,
        content: content.clone(),
        mode: Mode::Replace,
        if_version: None,
    };
    let outcome = memory::write(cx, &access, &put).await?;
    let answer = match outcome.answer {
        Answer::Put(p) => Answer::Json(json!({
            "ok": true, "s3_key": p.object_key, "envelope_size": p.envelope_size, "version": p.version,
        })),
        other => other,
    };
    Ok(Outcome { answer, ..outcome })
}

/// A write cap that comes again: the first answer for the same content, a refusal for another.
async fn again(
    cx: &Cx<'_>,
    scope: &ActorScope,
    spend: &Spend,
    namespace: Namespace,
    first: &str,
    content: &Secret<String>,
) -> Result<Outcome, Refusal> {
    let first: Value = serde_json::from_str(first).unwrap_or_default();
    let version = first.get("version").and_then(Value::as_u64);
    let ledger = cx.authority.ledger();
    let facts = ledger
        .memory(scope, namespace, version, None)
        .await
        .map_err(unavailable)?;
    let same = match (&facts.wanted, &facts.salt.salt) {
        (Some(stored), Some(salt)) => stored.tag == tag(&salt.bytes, content.expose().as_bytes()),
        _ => false,
    };
    if !same {
        return cx.refuse(spend, Cause::CapSpent).await;
    }
    let event = cx
        .authority
        .event(cx.principal, spend_row(spend, Ending::Accept, "repeated"));
    cx.authority.record(event, Answer::Json(first)).await
}

async fn redeem(
    cx: &Cx<'_>,
    scope: &ActorScope,
    spend: &Spend,
    cap: &CapRow,
    amount: &Value,
) -> Result<Outcome, Refusal> {
    let Ok(amount) = budget::parse_amount(amount) else {
        let problem = InputProblem::new(
            "agentkeys.cap.invalid_amount",
            "`amount_rmb` is above zero with at most two decimals",
        );
        return cx.invalid(spend.act.name(), problem).await;
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
        let same = serde_json::from_str::<Value>(first).is_ok_and(|f| f == answer);
        if !same {
            return cx.refuse(spend, Cause::CapSpent).await;
        }
        let event = cx
            .authority
            .event(cx.principal, spend_row(spend, Ending::Accept, "repeated"));
        return cx.authority.record(event, Answer::Json(answer)).await;
    }
    if u64::try_from(amount).is_ok_and(|a| a > *limit)
        || !reserved(cx, scope, decision_id, amount).await?
    {
        return cx.refuse(spend, Cause::CapMismatch).await;
    }
    let row = spend_row(spend, Ending::Accept, "redeemed")
        .with("scope", Value::from(PAYMENT))
        .with("decision_id", Value::from(decision_id.as_str()))
        .with("amount_minor", Value::from(amount))
        .with("currency", Value::from(currency.as_str()));
    let event = cx.authority.event(cx.principal, row);
    let event_id = event.id.clone();
    let mut guards = cx.once(spend, scope);
    let lost = spend_row(spend, Ending::Deny, "reservation_gone").status(403);
    guards.push(Guard {
        test: Test::ReservationIs {
            decision_id: decision_id.clone(),
            state: "reserved",
        },
        refused: Some(cx.authority.event(cx.principal, lost)),
    });
    let effects = vec![
        Effect::SpendCap {
            cap_id: spend.claims.jti.clone(),
            answer: answer.to_string(),
        },
        Effect::SetReservation {
            decision_id: decision_id.clone(),
            state: "redeemed",
        },
    ];
    match cx
        .authority
        .commit(Unit {
            guards,
            effects,
            event,
        })
        .await?
    {
        Committed::Done { .. } => Ok(Outcome {
            answer: Answer::Json(answer),
            event_id,
        }),
        _ => Err(Cause::CapSpent.into()),
    }
}

async fn reserved(
    cx: &Cx<'_>,
    scope: &ActorScope,
    decision_id: &str,
    amount: i64,
) -> Result<bool, Refusal> {
    let query = SpendQuery {
        spend_scope: PAYMENT,
        currency: super::permission::CURRENCY,
        day: "",
        vendor: "",
        reference: None,
        decision_id: Some(decision_id),
    };
    let facts = cx
        .authority
        .ledger()
        .spend(scope, query)
        .await
        .map_err(unavailable)?;
    Ok(facts
        .by_decision
        .is_some_and(|r| r.state == "reserved" && amount <= r.amount_minor))
}

async fn introspect(
    cx: &Cx<'_>,
    spend: &Spend,
    cap: &CapRow,
    active: bool,
) -> Result<Outcome, Refusal> {
    let claims = &spend.claims;
    let answer = if active {
        json!({
            "active": true, "jti": cap.cap_id, "sub": claims.sub.bare(), "vendor": claims.vendor,
            "op": claims.op, "data_class": claims.data_class, "namespaces": claims.namespaces,
            "iss": claims.iss, "aud": claims.aud, "iat": claims.iat, "nbf": claims.nbf,
            "exp": claims.exp, "token_type": "agentkeys-cap+jwt",
        })
    } else {
        json!({ "active": false })
    };
    let word = if active { "active" } else { "inactive" };
    let event = cx
        .authority
        .event(cx.principal, spend_row(spend, Ending::Accept, word));
    cx.authority.record(event, Answer::Json(answer)).await
}
