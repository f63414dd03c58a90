//! Asking a chain whether an anchor is there: the one thing about a proof that needs somebody else.

use crate::audit::bundle::Verdict;
use crate::cli::Ctx;
use crate::folder::private_file;
use crate::jobs::anchor::{Plain, Rpc, RpcError, chain_id, chain_logs};
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use std::path::Path;

/// A node of the reader's choice: its address, or a file of mode 0600 with it, for one with a key.
pub(super) fn node(given: &str, ctx: &Ctx) -> Result<Rpc, Problem> {
    let is_address = given.starts_with("https://") || given.starts_with("http://");
    let address = if is_address {
        Secret::new(given.to_owned())
    } else {
        let text = private_file(Path::new(given))?;
        Secret::new(text.expose().trim().to_owned())
    };
    // Only read from, and whoever writes http means it.
    let rpc = Rpc::new(&address, Plain::Anywhere).map_err(|error| {
        Problem::new(
            Exit::Usage,
            error.code(),
            format!("--rpc: {error}"),
            "give the https:// address of a JSON-RPC node, or a file with it",
        )
    })?;
    if Rpc::new(&address, Plain::Loopback).is_err() {
        ctx.out.note(&format!(
            "{} is asked without TLS: somebody on the way could lie about the chain.",
            rpc.place()
        ));
    }
    Ok(rpc)
}

/// What a node, if one is asked, says about a verdict's anchor. One without an anchor stays as it is.
pub(super) async fn on_chain(rpc: Option<&Rpc>, verdict: Verdict) -> Result<Verdict, Problem> {
    let proof = verdict.outcome().as_ref().ok();
    let (Some(rpc), Some(anchor)) = (rpc, proof.and_then(|proof| proof.anchor.as_ref())) else {
        return Ok(verdict);
    };
    let (wanted, transaction) = (anchor.chain_id, anchor.transaction);
    let found = chain_id(rpc).await.map_err(|e| away(&e))?;
    if found != wanted {
        return Ok(verdict.refuted(format!(
            "the node is of chain {found}, and the anchor names chain {wanted}"
        )));
    }
    match chain_logs(rpc, &transaction).await.map_err(|e| away(&e))? {
        Some((logs, depth)) => Ok(verdict.with_chain(&logs, depth)),
        None => Ok(verdict.refuted(format!(
            "chain {wanted} has no transaction 0x{} in a block",
            hex::encode(transaction)
        ))),
    }
}

fn away(error: &RpcError) -> Problem {
    Problem::new(
        Exit::Unreachable,
        error.code(),
        error.to_string(),
        "nothing is proved or refuted by this; try again, or ask another node of that chain",
    )
}
