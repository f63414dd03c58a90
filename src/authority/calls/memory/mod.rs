//! What an actor remembers: read and written under a binding, sealed, versioned.

mod object;
mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;

use super::answer::Answer;
use super::{Cx, Done, InputProblem, OpKind, decided};
use crate::authority::event::{Ending, Row, Subject};
use crate::authority::policy::{Decision, Verdict};
use crate::authority::ports::{Effect, Guard, Stored};
use crate::authority::principal::ActorScope;
use crate::authority::words::Namespace;
use crate::secret::Secret;

const GET: &str = "agentkeys.memory.get";
const PUT: &str = "agentkeys.memory.put";

/// The largest memory, in bytes.
pub const MAX_CONTENT: usize = 256 * 1024;

/// Whether a text takes the place of what is there, or follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Takes its place.
    Replace,
    /// Follows it, on a line of its own.
    Append,
}

/// A write.
#[derive(Debug)]
pub struct Put {
    /// Where.
    pub namespace: Namespace,
    /// What.
    pub content: Secret<String>,
    /// How.
    pub mode: Mode,
    /// Only if this is the current version.
    pub if_version: Option<u64>,
}

/// Makes what else changes with a version.
pub(super) type MakeEffects<'a> = Box<dyn Fn(&Stored) -> Vec<Effect> + Send + Sync + 'a>;

/// Makes a row with its ending and reason.
type MakeRow<'a> = Box<dyn Fn(Ending, &str) -> Row + Send + Sync + 'a>;

/// Who reads or writes, after the permission was found: the same for a vendor's tool call, a
/// spent cap and the operator.
pub(super) struct Access<'a> {
    /// Whose memory.
    pub(super) scope: &'a ActorScope,
    /// The tool or command.
    pub(super) tool: &'static str,
    /// Whether the caller may know what is there: its hash, its size, that it is the same.
    pub(super) may_read: bool,
    /// Guards under which the permission holds.
    pub(super) guards: Box<dyn Fn() -> Vec<Guard> + Send + Sync + 'a>,
    /// What else changes in the same commit, given the version it is about.
    pub(super) effects: MakeEffects<'a>,
    /// What the row says besides.
    pub(super) row: MakeRow<'a>,
    /// Whom the row is about.
    pub(super) subject: Subject,
}

/// `agentkeys.memory.get`
pub(super) async fn get(cx: &Cx<'_>, namespace: Namespace, version: Option<u64>) -> Done {
    let (vendor, scope) = cx.caller()?;
    let granted = vendor.binding.read.has(namespace);
    let decision = cx.ask("memory.read", namespace, granted).await?;
    if decision.verdict != Verdict::Accept {
        return violation(cx, namespace, false, granted, &decision).await;
    }
    let access = granted_access(cx, scope, (OpKind::MemoryGet, GET), true, decision)?;
    read(cx, &access, namespace, version).await
}

/// `agentkeys.memory.put`
pub(super) async fn put(cx: &Cx<'_>, put: &Put) -> Done {
    let (vendor, scope) = cx.caller()?;
    let granted = vendor.binding.write.has(put.namespace);
    let decision = cx.ask("memory.write", put.namespace, granted).await?;
    if decision.verdict != Verdict::Accept {
        return violation(cx, put.namespace, true, granted, &decision).await;
    }
    let may_read = vendor.binding.read.has(put.namespace);
    let access = granted_access(cx, scope, (OpKind::MemoryPut, PUT), may_read, decision)?;
    write(cx, &access, put).await
}

fn granted_access<'a>(
    cx: &'a Cx<'_>,
    scope: &'a ActorScope,
    (kind, tool): (OpKind, &'static str),
    may_read: bool,
    decision: Decision,
) -> Done<Access<'a>> {
    let policy = cx.caller()?.0.policy_version;
    Ok(Access {
        scope,
        tool,
        may_read,
        guards: Box::new(move || cx.still_bound(scope)),
        effects: Box::new(|_| Vec::new()),
        row: Box::new(move |ending, reason| {
            let reason = match reason {
                "" => decision.reason.as_str(),
                other => other,
            };
            decided(Row::new(kind, tool, ending, reason), &decision, policy)
        }),
        subject: Subject::of(cx.principal),
    })
}

async fn violation(
    cx: &Cx<'_>,
    namespace: Namespace,
    write: bool,
    granted: bool,
    decision: &Decision,
) -> Done {
    let (kind, tool) = if write {
        (OpKind::MemoryPut, PUT)
    } else {
        (OpKind::MemoryGet, GET)
    };
    let policy = cx.caller()?.0.policy_version;
    let row = if granted {
        Row::new(kind, tool, decision.verdict.into(), &decision.reason)
    } else {
        let kind = OpKind::NamespaceViolation;
        Row::new(kind, tool, Ending::Deny, "namespace_not_allowed")
    };
    let row = decided(row.namespace(namespace), decision, policy);
    let event = cx.authority.event(cx.principal, row);
    let answer = Answer::Violation { namespace, write };
    Ok(cx.authority.record(event, answer).await?)
}

fn too_large() -> InputProblem {
    InputProblem::new(
        "agentkeys.memory.content_too_large",
        "one memory holds at most 256 KiB; write less or replace what is there",
    )
}
