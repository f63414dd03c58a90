//! Questions an operator has that change nothing and touch nobody's data.

use super::cap::{CapClaims, CapError};
use super::policy::PolicySource;
use super::principal::{ActorScope, Principal, Who};
use super::{Authority, Cause, Refusal, unavailable};

/// A cap as this authority sees it.
#[derive(Debug)]
pub struct InspectedCap {
    /// What it says, when it is good; else why it is not.
    pub claims: Result<CapClaims, CapError>,
    /// `live`, `revoked`, `spent`, or `unknown` when the ledger never saw it.
    pub state: &'static str,
}

impl Authority {
    /// Verifies a cap's text with this authority's keys, and says what became of it.
    pub async fn inspect_cap(
        &self,
        principal: &Principal,
        text: &str,
    ) -> Result<InspectedCap, Refusal> {
        for_operators(principal)?;
        let claims = self.caps().verify(text, self.now_s());
        let row = match &claims {
            Ok(claims) => {
                let scope = ActorScope::new(claims.sub, self.operator());
                let now_ms = self.now_ms();
                let row = self.ledger().cap(&scope, &claims.jti, now_ms).await;
                row.map_err(unavailable)?
            }
            Err(_) => None,
        };
        let state = match row {
            None => "unknown",
            Some(cap) if cap.revoked_ms.is_some() || !cap.token_live => "revoked",
            Some(cap) if cap.spent.is_some() => "spent",
            Some(_) => "live",
        };
        Ok(InspectedCap { claims, state })
    }

    /// The policy in force and its version.
    pub async fn policy_in_force(
        &self,
        principal: &Principal,
    ) -> Result<(i64, PolicySource), Refusal> {
        for_operators(principal)?;
        let version = self
            .ledger()
            .heads()
            .await
            .map_err(unavailable)?
            .policy_version;
        let source = self.ledger().policy(version).await.map_err(unavailable)?;
        let source = source.and_then(|json| serde_json::from_str(&json).ok());
        source.map(|source| (version, source)).ok_or_else(|| {
            tracing::error!(version, "the policy in force does not load");
            Cause::AuditUnavailable.into()
        })
    }
}

const fn for_operators(principal: &Principal) -> Result<(), Refusal> {
    match principal.who() {
        Who::Operator => Ok(()),
        _ => Err(Refusal {
            cause: Cause::RoleForbidden,
            seen: None,
            retry_after_s: None,
        }),
    }
}
