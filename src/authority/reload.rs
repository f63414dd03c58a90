//! The caller's rights as they are now: for a call that is decided again because they moved.

use super::ports::{ActorName, Admission};
use super::principal::{Principal, VendorCaller, Who};
use super::refusal::{Cause, Refusal};
use super::{Authority, unavailable};
use std::sync::Arc;

impl Authority {
    /// The same caller with the binding, actor and policy in force now, or why it has none.
    pub(in crate::authority) async fn reload(
        &self,
        principal: &Principal,
    ) -> Result<Result<Principal, Cause>, Refusal> {
        let Some(id) = principal.token_id() else {
            return Ok(Ok(principal.clone()));
        };
        let name = principal.scope().map(|s| ActorName::Omni(s.actor()));
        let now = self.ledger().admission(id, name).await;
        let now = now.map_err(unavailable)?;
        Ok(match principal.vendor() {
            Some(vendor) => vendor_now(principal, vendor, now),
            None => live(&now, principal).map(|()| principal.clone()),
        })
    }
}

/// Whether the token still holds.
fn live(now: &Admission, principal: &Principal) -> Result<(), Cause> {
    let token = now.token.as_ref().ok_or(Cause::TokenUnknown)?;
    super::admit::state(token, principal.frame().at_ms)
}

fn vendor_now(
    principal: &Principal,
    vendor: &VendorCaller,
    now: Admission,
) -> Result<Principal, Cause> {
    live(&now, principal)?;
    let (Some(actor), Some(binding)) = (now.actor, now.binding) else {
        return Err(Cause::ActorForbidden);
    };
    let caller = VendorCaller {
        binding,
        actor: Arc::new(actor),
        policy_version: now.heads.policy_version,
        ..vendor.clone()
    };
    Ok(Principal::new(
        Who::Vendor(Box::new(caller)),
        principal.token_id().map(str::to_owned),
        principal.scope().cloned(),
        principal.frame().clone(),
    ))
}
