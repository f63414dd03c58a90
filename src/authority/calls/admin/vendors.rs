//! Vendors.

use super::{Change, rows, valid_name};
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::ports::{Effect, Test, VendorRow};
use crate::authority::unavailable;
use crate::authority::words::{HostProfile, Rail};
use serde_json::{Value, json};

fn to_json(vendor: &VendorRow) -> Value {
    json!({"vendor": vendor.name, "rail": vendor.rail, "host_profile": vendor.profile})
}

pub(super) async fn create(
    cx: &Cx<'_>,
    name: &str,
    rail: Rail,
    profile: Option<HostProfile>,
) -> Done {
    if !valid_name(name) {
        let problem = InputProblem::new(
            "agentkeys.vendor.name_invalid",
            "a vendor's name is 1 to 40 of a-z, 0-9, - and _, beginning with a letter or digit",
        );
        return Ok(cx.invalid("vendor.create", problem).await?);
    }
    let profile = profile.unwrap_or(rail.profile());
    let vendor = VendorRow {
        name: name.to_owned(),
        rail,
        profile,
    };
    let answer = Answer::Json(to_json(&vendor));
    let exists = InputProblem::new(
        "agentkeys.vendor.exists",
        "there is a vendor of that name; choose another, or use the one there is",
    );
    Change::new(cx, OpKind::Vendor, "vendor.create", to_json(&vendor))
        .unless(
            Test::NameFree {
                kind: "vendor",
                name: name.to_owned(),
            },
            exists,
        )
        .effect(Effect::AddVendor(vendor))
        .commit(cx, "created", answer)
        .await
}

pub(super) async fn list(cx: &Cx<'_>) -> Done {
    let vendors = cx.authority.ledger().vendors().await.map_err(unavailable)?;
    Ok(rows(vendors.iter().map(to_json)))
}
