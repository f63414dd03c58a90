//! A vendor's devices, asked for by its own backend: one comes to an actor by a code that a parent
//! handed over, and goes again when the vendor says so. The operator does the same without a code
//! (`admin/devices.rs`); both end in one registration and one removal.

mod register;
mod remove;

pub(super) use register::{Registration, register};
pub(super) use remove::remove;

use super::{Cx, Done, Halt, InputProblem, OpKind};
use crate::authority::device::{DeviceId, NoDeviceId, PairingCode, PairingRow};
use crate::authority::event::{Ending, Row};
use crate::authority::ports::{Guard, Test, VendorRow};
use crate::authority::principal::Who;
use crate::authority::words::Role;
use crate::authority::{Answer, Cause, Refusal, unavailable};
use crate::secret::Secret;
use serde_json::{Value, json};

/// What rows call a registration.
pub const REGISTER: &str = "vendor.device.register";
/// What rows call a removal.
pub const REMOVE: &str = "vendor.device.remove";

/// What a vendor's backend asks for.
#[derive(Debug)]
pub enum DeviceCall {
    /// A device that brings a code.
    Register {
        /// The vendor's name for it.
        device_id: String,
        /// The code, as it was typed.
        pairing_code: Secret<String>,
    },
    /// A device that is no longer.
    Remove {
        /// The vendor's name for it.
        device_id: String,
    },
}

impl DeviceCall {
    pub(super) const fn tool(&self) -> &'static str {
        match self {
            Self::Register { .. } => REGISTER,
            Self::Remove { .. } => REMOVE,
        }
    }
}

pub(super) async fn run(cx: &Cx<'_>, call: &DeviceCall) -> Done {
    let Who::Known(Role::Vendor, Some(vendor)) = cx.principal.who() else {
        return Ok(cx.forbidden(call.tool(), Cause::RoleForbidden).await?);
    };
    match call {
        DeviceCall::Register {
            device_id,
            pairing_code,
        } => pair(cx, vendor, device_id, pairing_code).await,
        DeviceCall::Remove { device_id } => match device_id.parse() {
            Ok(id) => remove(cx, &vendor.name, &id).await,
            // No device has such a name, so it is as unknown as any other.
            Err(_) => Ok(cx.invalid(REMOVE, no_device()).await?),
        },
    }
}

/// A device's name is not one.
pub(super) fn id_invalid(error: NoDeviceId) -> InputProblem {
    InputProblem::new("agentkeys.device.id_invalid", error.to_string())
}

/// No device, another vendor's, or one that was taken away: one answer for all of them.
pub(super) fn no_device() -> InputProblem {
    InputProblem::new(
        "agentkeys.device.not_found",
        "this vendor has no such device; `agentkeys vendor device list` shows those there are",
    )
}

/// Registers a device under the code it brings. Whatever is wrong with the code, the answer is the
/// same, and so is the work.
async fn pair(cx: &Cx<'_>, vendor: &VendorRow, device_id: &str, code: &Secret<String>) -> Done {
    let token = cx.principal.token_id().unwrap_or_default();
    let tries = &cx.authority.tries;
    if let Err(wait_s) = tries.look(token, cx.authority.now_us()) {
        return Err(cx
            .authority
            .too_many(cx.principal, REGISTER, wait_s)
            .await
            .into());
    }
    let id: DeviceId = match device_id.parse() {
        Ok(id) => id,
        Err(error) => return Ok(cx.invalid(REGISTER, id_invalid(error)).await?),
    };
    let Some(pairing) = open_pairing(cx, vendor, code).await? else {
        tries.charge(token, cx.authority.now_us());
        return Err(refused(cx, &id).await);
    };
    let device = cx.authority.ledger().device(&vendor.name, &id).await;
    let registration = Registration {
        vendor,
        device: device.map_err(unavailable)?,
        parent: pairing.parent,
        rights: Some(pairing.rights.clone()),
        ttl_ms: pairing.jwt_ttl_ms,
        pairing: Some(&pairing),
        id: &id,
    };
    let done = register(cx, registration).await;
    if matches!(&done, Err(Halt::Refused(r)) if r.cause == Cause::PairingRefused) {
        tries.charge(token, cx.authority.now_us());
    }
    done
}

/// The consent behind a code, if this vendor may use it now.
async fn open_pairing(
    cx: &Cx<'_>,
    vendor: &VendorRow,
    code: &Secret<String>,
) -> Result<Option<PairingRow>, Refusal> {
    let Some(code) = PairingCode::read(code.expose()) else {
        return Ok(None);
    };
    let found = cx.authority.ledger().pairing(&code.hash()).await;
    let now_ms = cx.principal.frame().at_ms;
    Ok(found
        .map_err(unavailable)?
        .filter(|p| p.is_open_to(&vendor.name, now_ms)))
}

/// The row of a registration that did not happen.
fn refused_row(id: &DeviceId) -> Row {
    let cause = Cause::PairingRefused;
    Row::new(OpKind::Actor, REGISTER, Ending::Deny, cause.reason())
        .status(cause.status())
        .with("detail", json!({"device_id": id.as_str()}))
}

async fn refused(cx: &Cx<'_>, id: &DeviceId) -> Halt {
    let event = cx.authority.event(cx.principal, refused_row(id));
    let nothing = Answer::Json(Value::Null);
    match cx.authority.record(event, nothing).await {
        Ok(_) => Cause::PairingRefused.into(),
        Err(refusal) => refusal.into(),
    }
}

/// That the token a vendor's backend came with is still good; nothing for the operator.
fn still_allowed(cx: &Cx<'_>) -> Vec<Guard> {
    let token = cx.principal.token_id().map(|id| Test::TokenLive {
        id: id.to_owned(),
        at_ms: cx.principal.frame().at_ms,
    });
    token.map(Guard::fresh).into_iter().collect()
}
