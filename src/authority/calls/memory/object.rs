//! Sealed objects, as both reading and writing meet them.

use super::super::answer::Answer;
use super::super::{Cx, Done, InputProblem};
use super::Access;
use crate::authority::event::{Ending, Row};
use crate::authority::ports::{MemoryFacts, Place, Stored, VaultError};
use crate::authority::principal::{MemoryOp, VerifiedCap};
use crate::authority::words::Namespace;
use serde_json::Value;

/// How long a cap that never leaves the process lives.
const IN_PROCESS_MS: i64 = 30_000;

/// The permission as the data path takes it.
pub(super) fn cap(access: &Access<'_>, op: MemoryOp, ns: Namespace, now_ms: i64) -> VerifiedCap {
    VerifiedCap::new(access.scope.clone(), op, ns, now_ms + IN_PROCESS_MS)
}

/// The text of a version; empty when there is none.
pub(super) async fn open(
    cx: &Cx<'_>,
    access: &Access<'_>,
    namespace: Namespace,
    stored: Option<&Stored>,
    facts: &MemoryFacts,
) -> Result<String, VaultError> {
    let Some(stored) = stored else {
        return Ok(String::new());
    };
    let salt = facts.salt.salt.as_ref().ok_or(VaultError::Integrity)?;
    let place = Place {
        actor: access.scope.actor(),
        namespace,
        version: stored.version,
        event_id: &stored.event_id,
        salt,
    };
    let now_ms = cx.authority.now_ms();
    let cap = cap(access, MemoryOp::Get, namespace, now_ms);
    let vault = cx.authority.vault();
    let bytes = vault.get(&cap, place, &stored.object_key, now_ms).await?;
    String::from_utf8(bytes).map_err(|_| VaultError::Integrity)
}

/// An object that is missing or not the one that was written: on record, and never a guess.
pub(super) async fn broken(
    cx: &Cx<'_>,
    access: &Access<'_>,
    namespace: Namespace,
    error: &VaultError,
) -> Done {
    tracing::error!(%error, namespace = namespace.as_str(), "a memory object did not open");
    let problem = InputProblem::new(
        "agentkeys.memory.integrity_error",
        "the stored memory is damaged; the operator finds the object in the audit row",
    );
    let row = (access.row)(Ending::Error, "integrity_error")
        .namespace(namespace)
        .status(cx.status_of(&problem));
    let event = cx.authority.event_about(cx.principal, &access.subject, row);
    let answer = Answer::Invalid(problem);
    Ok(cx.authority.record(event, answer).await?)
}

/// What a row says of a version: never its content.
pub(super) fn about(row: Row, stored: &Stored) -> Row {
    row.with("version", Value::from(stored.version))
        .with("object_key", Value::from(stored.object_key.as_str()))
        .with(
            "content_tag",
            Value::from(crate::digest::hex32(&stored.tag)),
        )
        .with("content_length", Value::from(stored.length))
}

/// SHA-256 in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    crate::digest::hex32(&crate::digest::sha256(&[bytes]))
}
