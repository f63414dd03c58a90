//! Looking at the log of a folder, and repairing it.

use crate::authority::calls::admin::{AdminCall, LogFinding, LogStatus};
use crate::cli::Ctx;
use crate::jobs::fsck::fsck;
use crate::operate;
use crate::problem::{Exit, Problem};
use serde_json::{Value, json};

pub(super) async fn run(ctx: &Ctx) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    let ledger = folder.dir.join("ledger.sqlite");
    let findings = fsck(&folder.sealer(), &ledger, super::sealed::PATIENCE).await;
    let told: Vec<Value> = findings.iter().map(to_json).collect();
    let damaged = findings
        .iter()
        .find(|f| f.status == LogStatus::Bad)
        .cloned();
    let call = AdminCall::LogCheck { findings };
    operate::admin(&folder.authority, &folder.operator(), call).await?;
    ctx.out.answer(&json!({ "findings": told }), || {
        let keys = ["id", "status", "cause", "fix"];
        let row = |f: &Value| keys.map(|key| operate::text(f, key).to_owned()).to_vec();
        ctx.out.table(&keys, told.iter().map(row).collect())
    })?;
    match damaged {
        None => Ok(()),
        Some(bad) => Err(Problem::new(
            Exit::AuditInvalid,
            "agentkeys.audit.damaged",
            format!("{}: {}", bad.id, bad.cause),
            bad.fix,
        )),
    }
}

fn to_json(f: &LogFinding) -> Value {
    json!({"id": f.id, "status": f.status.as_str(), "cause": f.cause, "fix": f.fix})
}
