//! Memory from the operator's side. An operator reading a memory is a row like any other.

use super::{Change, found, told};
use crate::authority::calls::memory::{self, Access, Mode, Put};
use crate::authority::calls::{Answer, Cx, Done, OpKind};
use crate::authority::event::{Row, Subject, rfc3339};
use crate::authority::ports::{Effect, Slot};
use crate::authority::principal::ActorScope;
use crate::authority::unavailable;
use crate::authority::words::Namespace;
use crate::secret::Secret;
use serde_json::{Map, Value, json};

fn access<'a>(
    cx: &'a Cx<'_>,
    scope: &'a ActorScope,
    kind: OpKind,
    tool: &'static str,
) -> Access<'a> {
    Access {
        scope,
        guards: Box::new(Vec::new),
        effects: Box::new(|_| Vec::new()),
        may_read: true,
        tool,
        row: Box::new(move |ending, reason| {
            let reason = if reason.is_empty() {
                "operator"
            } else {
                reason
            };
            Row::new(kind, tool, ending, reason)
        }),
        subject: Subject::of(cx.principal).about(scope.actor(), scope.operator()),
    }
}

pub(super) async fn put(
    cx: &Cx<'_>,
    actor: &str,
    namespace: Namespace,
    content: Secret<String>,
) -> Done {
    let (_, scope) = found!(cx, "memory.put", cx.target(actor).await?);
    let access = access(cx, &scope, OpKind::MemoryPut, "memory.put");
    let put = Put {
        namespace,
        content,
        mode: Mode::Replace,
        if_version: None,
    };
    memory::write(cx, &access, &put).await
}

pub(super) async fn get(
    cx: &Cx<'_>,
    actor: &str,
    namespace: Namespace,
    version: Option<u64>,
) -> Done {
    let (_, scope) = found!(cx, "memory.get", cx.target(actor).await?);
    let access = access(cx, &scope, OpKind::MemoryGet, "memory.get");
    memory::read(cx, &access, namespace, version).await
}

pub(super) async fn history(cx: &Cx<'_>, actor: &str, namespace: Namespace) -> Done {
    let (_, scope) = found!(cx, "memory.history", cx.target(actor).await?);
    let versions = cx
        .authority
        .ledger()
        .history(&scope, namespace)
        .await
        .map_err(unavailable)?;
    let rows = versions.iter().map(|s| {
        json!({
            "version": s.version, "written_at": rfc3339(s.written_ms), "length": s.length,
            "object_key": s.object_key, "token_id": s.token_id, "appended": s.appended,
            "event_id": s.event_id,
        })
    });
    Ok(told(rows.collect()))
}

/// What is destroyed, and what its row says besides.
pub(super) struct Erasing<'a> {
    pub(super) namespaces: &'a [Namespace],
    pub(super) statements: bool,
    pub(super) reason: &'static str,
    pub(super) more: Map<String, Value>,
}

pub(super) async fn erase(cx: &Cx<'_>, actor: &str, namespace: Option<Namespace>) -> Done {
    let namespaces = namespace.map_or_else(|| Namespace::ALL.to_vec(), |n| vec![n]);
    let erasing = Erasing {
        namespaces: &namespaces,
        statements: namespace.is_none(),
        reason: "erased",
        more: Map::new(),
    };
    erase_all(cx, actor, erasing).await
}

pub(super) async fn erase_all(cx: &Cx<'_>, actor: &str, erasing: Erasing<'_>) -> Done {
    let (_, scope) = found!(cx, "memory.erase", cx.target(actor).await?);
    let namespaces = erasing.namespaces;
    let words: Vec<_> = namespaces.iter().map(|n| n.as_str()).collect();
    let mut detail = erasing.more;
    detail.insert("namespaces".to_owned(), json!(words));
    if erasing.statements {
        detail.insert("statements".to_owned(), true.into());
    }
    let mut objects = Vec::new();
    let detail = Value::Object(detail);
    let mut change =
        Change::new(cx, OpKind::MemoryErase, "memory.erase", detail).about(cx, scope.actor());
    for namespace in namespaces {
        let kept = cx
            .authority
            .ledger()
            .history(&scope, *namespace)
            .await
            .map_err(unavailable)?;
        objects.extend(kept.into_iter().map(|s| s.object_key));
        let slot = Slot::Memory(*namespace);
        change = change.effect(Effect::Erase {
            scope: scope.clone(),
            slot,
        });
    }
    if erasing.statements {
        change = change.effect(Effect::Erase {
            scope: scope.clone(),
            slot: Slot::Statements,
        });
    }
    let grants = words
        .iter()
        .flat_map(|w| [format!("memory.read:{w}"), format!("memory.write:{w}")]);
    let change = change.effect(Effect::RevokeCapsOn {
        scope: scope.clone(),
        vendor: None,
        grants: grants.collect(),
        at_ms: cx.principal.frame().at_ms,
    });
    let answer = Answer::Json(json!({
        "ok": true, "actor_omni": scope.actor().to_string(), "namespaces": words,
        "objects": objects.len(),
    }));
    let outcome = change.commit(cx, erasing.reason, answer).await?;
    // The salt is gone, so what is left on disk is noise already; removing it saves the space.
    for object in objects {
        if let Err(error) = cx.authority.vault().remove(&object).await {
            tracing::warn!(%error, "an erased object stays on disk, unreadable");
        }
    }
    Ok(outcome)
}
