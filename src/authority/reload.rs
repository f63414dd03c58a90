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
        let (Some(vendor), Some(scope), Some(id)) =
            (principal.vendor(), principal.scope(), principal.token_id())
        else {
            return Ok(Ok(principal.clone()));
        };
        let name = Some(ActorName::Omni(scope.actor()));
        let now = self
            .ledger()
            .admission(id, name)
            .await
            .map_err(unavailable)?;
        Ok(vendor_now(principal, vendor, now))
    }
}

fn vendor_now(
    principal: &Principal,
    vendor: &VendorCaller,
    now: Admission,
) -> Result<Principal, Cause> {
    let token = now.token.ok_or(Cause::TokenUnknown)?;
    super::admit::state(&token, principal.frame().at_ms)?;
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
        Some(token.id),
        principal.scope().cloned(),
        principal.frame().clone(),
    ))
}
