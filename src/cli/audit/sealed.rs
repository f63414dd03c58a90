//! Sealing the log by hand, and proofs to carry away.

use super::anchors::{NOT_ON_A_CHAIN, line};
use super::unwritable;
use crate::authority::Call;
use crate::authority::calls::admin::AdminCall;
use crate::authority::sealed::{NotProved, Signed, tell_anchor};
use crate::cli::Ctx;
use crate::cli::args::When;
use crate::folder::{Folder, replace_private};
use crate::jobs::sealer::{SealError, Sealed};
use crate::operate;
use crate::problem::{Exit, Problem};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// How long a server that is sealing is waited for: longer than a lease that a dead one left.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn seal(folder: &Folder) -> Result<Sealed, Problem> {
    let sealed = folder.sealer().seal(PATIENCE).await;
    sealed.map_err(|error| problem(&error))
}

fn problem(error: &SealError) -> Problem {
    let (exit, code, fix) = match error {
        SealError::Busy => (
            Exit::Failed,
            "agentkeys.audit.busy",
            "run it again in a moment",
        ),
        SealError::Ledger(_) | SealError::Restart(_) => (
            Exit::Failed,
            "agentkeys.audit.unavailable",
            "the reason is in the lines above; free space or permissions are the usual ones",
        ),
        SealError::Kept { .. } => (
            Exit::Config,
            "agentkeys.audit.checkpoint_unreadable",
            "put the file back from a copy, or remove it if you know why it is as it is",
        ),
        SealError::Damaged(_) | SealError::LastCheckpoint(_) | SealError::Sign(_) => (
            Exit::AuditInvalid,
            "agentkeys.audit.damaged",
            "nothing was signed; `agentkeys audit verify --log` says where it begins",
        ),
    };
    Problem::new(exit, code, error.to_string(), fix)
}

pub(super) async fn checkpoint(ctx: &Ctx, out: Option<&Path>) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    let sealed = seal(&folder).await?;
    if let Some(file) = out {
        replace_private(file, sealed.note.to_string().as_bytes()).map_err(unwritable)?;
    }
    let newest = folder.authority.last_checkpoint().await?;
    let key = folder.authority.signer(&sealed.note).await?;
    let signed = Signed {
        at_ms: newest.map_or_else(|| folder.now_ms(), |newest| newest.at_ms),
        checkpoint: sealed.checkpoint.clone(),
        note: sealed.note.clone(),
    };
    let mut answer = signed.to_json(key.as_ref());
    let audit = ctx.config()?.audit;
    let anchored = folder.authority.last_anchor().await?;
    let kind = audit.anchor.kind();
    tell_anchor(&mut answer, kind, audit.batch_seconds, anchored.as_ref());
    answer["added"] = sealed.added.into();
    if let Some(closed) = &sealed.closed {
        answer["closed"] = closed.as_str().into();
    }
    if let Some(file) = out {
        answer["file"] = file.display().to_string().into();
    }
    ctx.out.answer(&answer, || {
        ctx.out.lines(&sealed.note.to_string())?;
        let added = sealed.added;
        let size = sealed.checkpoint.size();
        ctx.out
            .note(&format!("{size} events sealed, {added} of them just now"));
        ctx.out.note(&match &answer["anchored"] {
            Value::Null => NOT_ON_A_CHAIN.to_owned(),
            anchored => line(anchored),
        });
        if let Some(closed) = &sealed.closed {
            ctx.out.note(&format!(
                "The log does not contain what was signed as {closed}: it was put back from an \
                 older copy, or changed. It goes on under another name; its first event there says so."
            ));
        }
        Ok(())
    })
}

pub(super) async fn prove(ctx: &Ctx, event: &str, out: Option<&Path>) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    let authority = &folder.authority;
    let operator = folder.operator();
    let reading = authority.reading(&operator, None).await?;
    let what = format!("cli prove {event}");
    let read = Call::AuditRead { what, actor: None };
    operate::ask(authority, &operator, read).await?;
    let bundle = match authority.bundle(&reading, event).await {
        Err(NotProved::NotSealed) => {
            seal(&folder).await?;
            authority.bundle(&reading, event).await
        }
        bundle => bundle,
    };
    let bundle = bundle.map_err(|not| match not.into_problem() {
        Ok(problem) => problem.into(),
        Err(refusal) => Problem::from(refusal),
    })?;
    let text = bundle.encode();
    let Some(file) = out else {
        return text.lines().try_for_each(crate::cli::out::write_line);
    };
    replace_private(file, text.as_bytes()).map_err(unwritable)?;
    let shown = file.display().to_string();
    let answer = json!({
        "event_id": event, "seq": bundle.seq, "file": shown,
        "keys": bundle.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!(
            "event {event}, seq {}, is proved in {shown}",
            bundle.seq
        ))?;
        ctx.out.next(&format!("agentkeys audit verify {shown}"));
        Ok(())
    })
}

pub(super) async fn prune(ctx: &Ctx, before: When) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    // What no checkpoint covers could not be proved any more.
    seal(&folder).await?;
    let before_ms = before.unix_ms(folder.now_ms());
    let call = AdminCall::LogPrune { before_ms };
    let answer = operate::admin(&folder.authority, &folder.operator(), call).await?;
    let swept = folder.sealer().sweep().await;
    swept.map_err(|error| problem(&error))?;
    ctx.out.answer(&answer, || {
        let (pruned, first) = (&answer["pruned"], &answer["first_kept"]);
        ctx.out.line(&format!(
            "{pruned} events before {} have lost their bodies; the first that is whole is seq {first}",
            operate::text(&answer, "before")
        ))?;
        ctx.out
            .note("Their leaves stay in the tree: proofs taken before hold, and so do those of other events.");
        Ok(())
    })
}
