//! What of the log is on a chain, what is on its way, and what stands in the way.

use crate::audit::anchor::AnchorKind;
use crate::authority::event::rfc3339;
use crate::authority::ports::KeptAnchor;
use crate::cli::Ctx;
use crate::config::{AnchorTo, Evm};
use crate::folder::Folder;
use crate::jobs::anchor::{AnchorStore as _, Record, StoreError};
use crate::operate::text;
use crate::problem::{Exit, Problem};
use serde_json::{Value, json};

/// What people read wherever nothing can be on a chain.
pub(super) const NOT_ON_A_CHAIN: &str = "not on a chain";

pub(super) async fn run(ctx: &Ctx, limit: u32) -> Result<(), Problem> {
    let config = ctx.config()?;
    let folder = ctx.open().await?;
    let to = &config.audit.anchor;
    let kept = folder.authority.anchors(limit).await?;
    let last = folder.authority.last_checkpoint().await?;
    let mut answer = json!({
        "anchor": to.kind().as_str(),
        "sealed": last.map(|signed| signed.checkpoint.size()),
        "anchors": kept.iter().map(one).collect::<Vec<_>>(),
    });
    match to {
        AnchorTo::None => {}
        AnchorTo::File(path) => of_file(&folder, path, &mut answer)?,
        AnchorTo::Evm(evm) => of_chain(&folder, evm, &mut answer).await?,
    }
    ctx.out.answer(&answer, || print(ctx, to.kind(), &answer))
}

fn one(kept: &KeptAnchor) -> Value {
    let anchor = &kept.anchor;
    json!({
        "origin": anchor.origin, "size": anchor.anchored.entry_count,
        "chain_id": anchor.chain_id, "contract": hex_of(&anchor.contract),
        "transaction": hex_of(&anchor.transaction), "block": anchor.block,
        "root": hex_of(&anchor.anchored.root), "kept_at": rfc3339(kept.at_ms),
    })
}

fn of_file(folder: &Folder, path: &std::path::Path, answer: &mut Value) -> Result<(), Problem> {
    let file = folder.checkpoint_file(path);
    let shown = file.path().display().to_string();
    let last = file.last().map_err(|error| {
        Problem::new(
            Exit::Failed,
            "agentkeys.anchor.file_unreadable",
            format!("{shown} cannot be read: {error}"),
            "run as the user who owns it, or name another as audit.anchor_file",
        )
    })?;
    // The second line of a checkpoint is its size.
    let size = last.as_ref().and_then(|note| note.text().lines().nth(1));
    let size: Option<u64> = size.and_then(|size| size.parse().ok());
    answer["file"] = json!({"path": shown, "size": size});
    Ok(())
}

async fn of_chain(folder: &Folder, evm: &Evm, answer: &mut Value) -> Result<(), Problem> {
    let store = folder.anchor_store(evm);
    let record = store.load().await.map_err(|e| damaged(&e))?;
    let due = store.due().await.map_err(|e| damaged(&e))?;
    let trouble = store.trouble().await.map_err(|e| damaged(&e))?;
    answer["chain_id"] = evm.chain_id.into();
    answer["contract"] = evm.contract.to_string().into();
    answer["wallet"] = folder.wallet().await?.address().to_string().into();
    answer["on_its_way"] = on_its_way(&record);
    answer["due"] = due.map_or(Value::Null, |due| json!({"size": due.size}));
    answer["halted"] = trouble.map_or(Value::Null, |trouble| {
        json!({
            "code": trouble.code, "cause": trouble.cause, "fix": trouble.fix,
            "since": rfc3339(trouble.at_ms),
        })
    });
    Ok(())
}

fn on_its_way(record: &Record) -> Value {
    let Some(flight) = &record.flight else {
        return Value::Null;
    };
    let newest = flight.newest();
    json!({
        "size": flight.anchored.entry_count, "chain_id": flight.chain_id,
        "contract": flight.contract.to_string(), "nonce": flight.nonce,
        "transaction": newest.map(|attempt| hex_of(&attempt.signed.hash)),
        "sent": flight.attempts.len(),
        "since": flight.attempts.first().map(|attempt| rfc3339(attempt.at_ms)),
    })
}

fn print(ctx: &Ctx, kind: AnchorKind, answer: &Value) -> Result<(), Problem> {
    let out = ctx.out;
    let sealed = match answer["sealed"].as_u64() {
        Some(size) => format!("{size} events"),
        None => "nothing yet".to_owned(),
    };
    let mut fields = vec![("sealed", sealed)];
    match kind {
        AnchorKind::None => fields.push(("anchor", NOT_ON_A_CHAIN.to_owned())),
        AnchorKind::File => {
            let file = &answer["file"];
            let path = text(file, "path");
            let what = match file["size"].as_u64() {
                Some(size) => format!("up to {size} events in {path}, {NOT_ON_A_CHAIN}"),
                None => format!("nothing in {path} yet, {NOT_ON_A_CHAIN}"),
            };
            fields.push(("anchor", what));
        }
        AnchorKind::Evm => {
            let contract = text(answer, "contract");
            let to = format!("contract {contract} on chain {}", answer["chain_id"]);
            fields.push(("anchor", to));
            fields.push(("wallet", text(answer, "wallet").to_owned()));
            let way = &answer["on_its_way"];
            if !way.is_null() {
                let transaction = text(way, "transaction");
                fields.push((
                    "on its way",
                    format!("{} events in {transaction}", way["size"]),
                ));
            }
            if let Some(size) = answer["due"]["size"].as_u64() {
                fields.push(("due", format!("{size} events")));
            }
        }
    }
    out.fields(&fields)?;
    let anchors = answer["anchors"].as_array().into_iter().flatten();
    for anchor in anchors {
        out.line(&line(anchor))?;
    }
    let halted = &answer["halted"];
    if halted.is_object() {
        let (cause, code) = (text(halted, "cause"), text(halted, "code"));
        let since = text(halted, "since");
        out.line(&format!("nothing gets on since {since}: {cause} ({code})"))?;
        out.line(&format!("  fix: {}", text(halted, "fix")))?;
    }
    Ok(())
}

/// An anchor for people.
pub(super) fn line(anchor: &Value) -> String {
    format!(
        "{} events are on chain {} in block {}, transaction {}",
        anchor["size"],
        anchor["chain_id"],
        anchor["block"],
        text(anchor, "transaction")
    )
}

fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn damaged(error: &StoreError) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.anchor.record_unavailable",
        error.to_string(),
        "run it again; if it stays so, put the folder back from a backup",
    )
}
