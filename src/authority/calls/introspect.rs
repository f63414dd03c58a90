//! Is this cap good? (RFC 7662.) Told to its own vendor and to the operator; to anyone else, and of
//! anything that is no good cap, only that it is not active.

use super::OpKind;
use super::answer::Answer;
use super::spend::{Endpoint, granted};
use crate::authority::admit::{Knock, Turned, Wants};
use crate::authority::cap::CapClaims;
use crate::authority::event::{Ending, Row};
use crate::authority::principal::{ActorScope, Principal, Who};
use crate::authority::words::Role;
use crate::authority::{Authority, Outcome, Refusal, unavailable};
use serde_json::{Value, json};

impl Authority {
    pub(super) async fn introspect(
        &self,
        knock: &Knock<'_>,
        claims: Option<CapClaims>,
    ) -> Result<Outcome, Turned> {
        let principal = self.admit(knock, Wants::Anyone).await?;
        let told = self.told(&principal, claims).await;
        told.map_err(|refusal| Turned {
            refusal,
            profile: None,
        })
    }

    async fn told(
        &self,
        principal: &Principal,
        claims: Option<CapClaims>,
    ) -> Result<Outcome, Refusal> {
        let claims = match claims {
            Some(claims) if may_ask(principal, &claims) && self.active(&claims).await? => {
                Some(claims)
            }
            _ => None,
        };
        let word = if claims.is_some() {
            "active"
        } else {
            "inactive"
        };
        let tool = Endpoint::Introspect.name();
        let row = Row::new(OpKind::CapRedeem, tool, Ending::Accept, word).with(
            "cap_id",
            claims.as_ref().map(|c| Value::from(c.jti.as_str())),
        );
        let event = self.event(principal, row);
        let answer = claims.map_or_else(|| json!({"active": false}), |c| to_json(&c));
        self.record(event, Answer::Json(answer)).await
    }

    /// Whether the cap and everything it rests on still stand.
    async fn active(&self, claims: &CapClaims) -> Result<bool, Refusal> {
        let scope = ActorScope::new(claims.sub, self.operator());
        let cap = self.ledger().cap(&scope, &claims.jti, self.now_ms()).await;
        let Some(cap) = cap.map_err(unavailable)? else {
            return Ok(false);
        };
        let bindings = self.ledger().bindings(&scope).await.map_err(unavailable)?;
        let binding = bindings.iter().find(|(vendor, _)| *vendor == cap.vendor);
        let stands = binding.is_some_and(|(_, b)| granted(&cap, b));
        Ok(stands && cap.revoked_ms.is_none() && cap.token_live && cap.spent.is_none())
    }
}

fn may_ask(principal: &Principal, claims: &CapClaims) -> bool {
    match principal.who() {
        Who::Known(Role::Operator, _) => true,
        Who::Known(Role::Vendor, Some(vendor)) => vendor.name == claims.vendor,
        _ => false,
    }
}

fn to_json(claims: &CapClaims) -> Value {
    json!({
        "active": true, "jti": claims.jti, "sub": claims.sub.bare(), "vendor": claims.vendor,
        "op": claims.op, "data_class": claims.data_class, "namespaces": claims.namespaces,
        "iss": claims.iss, "aud": claims.aud, "iat": claims.iat, "nbf": claims.nbf,
        "exp": claims.exp, "token_type": "agentkeys-cap+jwt",
    })
}
