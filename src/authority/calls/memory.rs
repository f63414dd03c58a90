//! What an actor remembers: read and written under a binding, sealed, versioned.

use super::answer::{Answer, Memory, Put as PutAnswer};
use super::{ATTEMPTS, Cx, InputProblem, OpKind, decided, tag};
use crate::authority::event::{Ending, Row, Subject, rfc3339};
use crate::authority::policy::{Decision, Verdict};
use crate::authority::ports::{
    Committed, Effect, Guard, MemoryFacts, Place, Salt, Slot, Stored, Test, Unit, VaultError,
};
use crate::authority::principal::{ActorScope, MemoryOp, VerifiedCap};
use crate::authority::words::Namespace;
use crate::authority::{Cause, Outcome, Refusal, unavailable};
use crate::secret::Secret;
use serde_json::Value;

const GET: &str = "agentkeys.memory.get";
const PUT: &str = "agentkeys.memory.put";

/// The largest memory, in bytes.
pub const MAX_CONTENT: usize = 256 * 1024;

/// How long the same piece from the same token is taken for a repeated call.
const REPEAT_MS: i64 = 120_000;

/// How long a cap that never leaves the process lives.
const IN_PROCESS_MS: i64 = 30_000;

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
type MakeEffects<'a> = Box<dyn Fn(&Stored) -> Vec<Effect> + Send + Sync + 'a>;

/// Makes a row with its ending and reason.
type MakeRow<'a> = Box<dyn Fn(Ending, &str) -> Row + Send + Sync + 'a>;

/// Who reads or writes, after the permission was found: the same for a vendor's tool call, a
/// spent cap and the operator.
pub(super) struct Access<'a> {
    /// Whose memory.
    pub(super) scope: &'a ActorScope,
    /// Guards under which the permission holds, each with its refusal's row.
    pub(super) guards: Box<dyn Fn() -> Vec<Guard> + Send + Sync + 'a>,
    /// What else changes in the same commit, given the version it is about.
    pub(super) effects: MakeEffects<'a>,
    /// What is answered when one of them no longer does.
    pub(super) lost: Box<dyn Fn() -> Result<Answer, Refusal> + Send + Sync + 'a>,
    /// What the row says besides.
    pub(super) row: MakeRow<'a>,
    /// Whom the row is about.
    pub(super) subject: Subject,
}

/// `agentkeys.memory.get`
pub(super) async fn get(
    cx: &Cx<'_>,
    namespace: Namespace,
    version: Option<u64>,
) -> Result<Outcome, Refusal> {
    let (vendor, scope) = cx.caller()?;
    let granted = vendor.binding.read.has(namespace);
    let decision = cx.ask("memory.read", namespace, granted).await?;
    if decision.verdict != Verdict::Accept {
        return violation(cx, namespace, false, granted, &decision).await;
    }
    let policy = vendor.policy_version;
    let access = Access {
        scope,
        guards: Box::new(Vec::new),
        effects: Box::new(|_| Vec::new()),
        lost: Box::new(|| Err(Cause::ActorForbidden.into())),
        row: Box::new(move |ending, reason| {
            decided(
                Row::new(OpKind::MemoryGet, GET, ending, reason),
                &decision,
                policy,
            )
        }),
        subject: Subject::of(cx.principal),
    };
    read(cx, &access, namespace, version).await
}

/// `agentkeys.memory.put`
pub(super) async fn put(cx: &Cx<'_>, put: &Put) -> Result<Outcome, Refusal> {
    let (vendor, scope) = cx.caller()?;
    let granted = vendor.binding.write.has(put.namespace);
    let decision = cx.ask("memory.write", put.namespace, granted).await?;
    if decision.verdict != Verdict::Accept {
        return violation(cx, put.namespace, true, granted, &decision).await;
    }
    let policy = vendor.policy_version;
    let access = Access {
        scope,
        guards: Box::new(move || cx.still_bound(scope, PUT, OpKind::MemoryPut)),
        effects: Box::new(|_| Vec::new()),
        lost: Box::new(move || {
            Ok(Answer::Violation {
                namespace: put.namespace,
                write: true,
            })
        }),
        row: Box::new(move |ending, reason| {
            decided(
                Row::new(OpKind::MemoryPut, PUT, ending, reason),
                &decision,
                policy,
            )
        }),
        subject: Subject::of(cx.principal),
    };
    write(cx, &access, put).await
}

impl Cx<'_> {
    /// Guards that the consent and the token a decision rests on are still what they were; the
    /// row says so when they are not.
    pub(super) fn still_bound(&self, scope: &ActorScope, tool: &str, kind: OpKind) -> Vec<Guard> {
        let refused = || {
            let row = Row::new(kind, tool, Ending::Deny, "permission_changed");
            Some(self.authority.event(self.principal, row))
        };
        let mut guards = Vec::new();
        if let Some(vendor) = self.principal.vendor() {
            let test = Test::BindingIs {
                scope: scope.clone(),
                vendor: vendor.name.clone(),
                revision: vendor.binding.revision,
            };
            guards.push(Guard {
                test,
                refused: refused(),
            });
        }
        if let Some(id) = self.principal.token_id() {
            let at_ms = self.principal.frame().at_ms;
            let test = Test::TokenLive {
                id: id.to_owned(),
                at_ms,
            };
            guards.push(Guard {
                test,
                refused: refused(),
            });
        }
        guards
    }
}

async fn violation(
    cx: &Cx<'_>,
    namespace: Namespace,
    write: bool,
    granted: bool,
    decision: &Decision,
) -> Result<Outcome, Refusal> {
    let tool = if write { PUT } else { GET };
    let policy = cx.caller()?.0.policy_version;
    let (kind, reason) = if granted {
        let kind = if write {
            OpKind::MemoryPut
        } else {
            OpKind::MemoryGet
        };
        (kind, decision.reason.as_str())
    } else {
        (OpKind::NamespaceViolation, "namespace_not_allowed")
    };
    let row = Row::new(kind, tool, decision.verdict.into(), reason).namespace(namespace);
    let event = cx
        .authority
        .event(cx.principal, decided(row, decision, policy));
    let answer = Answer::Violation { namespace, write };
    cx.authority.record(event, answer).await
}

/// Reads a version under a permission that was found.
pub(super) async fn read(
    cx: &Cx<'_>,
    access: &Access<'_>,
    namespace: Namespace,
    version: Option<u64>,
) -> Result<Outcome, Refusal> {
    let ledger = cx.authority.ledger();
    let facts = ledger
        .memory(access.scope, namespace, version, None)
        .await
        .map_err(unavailable)?;
    let wanted = match version {
        Some(_) => facts.wanted.as_ref(),
        None => facts.current.as_ref(),
    };
    if version.is_some() && wanted.is_none() {
        let problem = InputProblem::new(
            "agentkeys.memory.version_not_found",
            "there is no such version; leave `version` out for the current one",
        );
        return cx.invalid(GET, problem).await;
    }
    let text = match open(cx, access, namespace, wanted, &facts).await {
        Ok(text) => text,
        Err(error) => return broken(cx, access, namespace, &error).await,
    };
    let row = (access.row)(Ending::Accept, "default_allow_memory").namespace(namespace);
    let row = match wanted {
        Some(stored) => about(row, stored),
        None => row.with("version", Value::from(0)),
    };
    let event = cx.authority.event_about(cx.principal, &access.subject, row);
    let answer = Answer::Memory(Memory {
        namespace,
        sha256: sha256(text.as_bytes()),
        content: text,
        version: wanted.map_or(0, |s| s.version),
        updated_at: wanted.map(|s| rfc3339(s.written_ms)),
    });
    let event_id = event.id.clone();
    let guards = (access.guards)();
    match cx
        .authority
        .commit(Unit {
            guards,
            effects: Vec::new(),
            event,
        })
        .await?
    {
        Committed::Done { .. } => Ok(Outcome { answer, event_id }),
        _ => (access.lost)().map(|answer| Outcome { answer, event_id }),
    }
}

/// Writes under a permission that was found. Without `if_version` a lost race is run again.
pub(super) async fn write(cx: &Cx<'_>, access: &Access<'_>, put: &Put) -> Result<Outcome, Refusal> {
    if put.content.expose().len() > MAX_CONTENT {
        return cx.invalid(PUT, too_large()).await;
    }
    for _ in 0..ATTEMPTS {
        let ledger = cx.authority.ledger();
        let facts = ledger
            .memory(access.scope, put.namespace, None, cx.principal.token_id())
            .await
            .map_err(unavailable)?;
        let current = facts.current.as_ref().map_or(0, |s| s.version);
        if put.if_version.is_some_and(|wanted| wanted != current) {
            let event = conflict(cx, access, put.namespace);
            let answer = Answer::Conflict {
                namespace: put.namespace,
                version: current,
            };
            return cx.authority.record(event, answer).await;
        }
        if let Some(stored) = repeated(put, &facts, cx.principal.frame().at_ms) {
            return unchanged(cx, access, put.namespace, stored, &facts).await;
        }
        let text = match joined(cx, access, put, &facts).await {
            Ok(Some(text)) => text,
            Ok(None) => return cx.invalid(PUT, too_large()).await,
            Err(error) => return broken(cx, access, put.namespace, &error).await,
        };
        let attempt = Attempt {
            put,
            facts: &facts,
            text: &text,
        };
        if let Some(outcome) = attempt.run(cx, access).await? {
            return Ok(outcome);
        }
        tracing::debug!("a memory moved while it was written; again");
    }
    let problem = InputProblem::new(
        "agentkeys.memory.busy",
        "others write this memory at the same time; try again",
    );
    cx.invalid(PUT, problem).await
}

struct Attempt<'a> {
    put: &'a Put,
    facts: &'a MemoryFacts,
    text: &'a str,
}

impl Attempt<'_> {
    /// One try; `None` when the facts moved.
    async fn run(&self, cx: &Cx<'_>, access: &Access<'_>) -> Result<Option<Outcome>, Refusal> {
        let namespace = self.put.namespace;
        let (salt, new_salt) = match &self.facts.salt.salt {
            Some(salt) => (salt.clone(), false),
            None => (
                Salt {
                    epoch: self.facts.salt.next_epoch,
                    bytes: Secret::new(cx.authority.random()),
                },
                true,
            ),
        };
        let event_id = cx.authority.fresh_id("evt");
        let version = self.facts.last_version + 1;
        let place = Place {
            actor: access.scope.actor(),
            namespace,
            version,
            event_id: &event_id,
            salt: &salt,
        };
        let now_ms = cx.authority.now_ms();
        let cap = VerifiedCap::new(
            access.scope.clone(),
            MemoryOp::Put,
            namespace,
            now_ms + IN_PROCESS_MS,
        );
        let kept = cx
            .authority
            .vault()
            .put(&cap, place, self.text.as_bytes(), now_ms)
            .await;
        let kept = kept.map_err(|error| {
            tracing::error!(%error, "the object store did not keep a memory");
            Refusal::from(Cause::AuditUnavailable)
        })?;
        let stored = Stored {
            version,
            event_id: event_id.clone(),
            object_key: kept.object_key.clone(),
            length: self.text.len() as u64,
            envelope_size: kept.envelope_size,
            tag: tag(&salt.bytes, self.text.as_bytes()),
            piece_tag: tag(&salt.bytes, self.put.content.expose().as_bytes()),
            epoch: salt.epoch,
            token_id: cx.principal.token_id().map(str::to_owned),
            written_ms: cx.principal.frame().at_ms,
            appended: self.put.mode == Mode::Append,
        };
        let answer = put_answer(namespace, &stored, self.text, false);
        let unit = self.unit(cx, access, &salt, new_salt, stored);
        match cx.authority.commit(unit).await {
            Ok(Committed::Done { .. }) => Ok(Some(Outcome { answer, event_id })),
            Ok(Committed::Refused { guard, .. }) => {
                self.discard(cx, &kept.object_key).await;
                if guard < (access.guards)().len() {
                    return (access.lost)().map(|answer| Some(Outcome { answer, event_id }));
                }
                let current = self.facts.current.as_ref().map_or(0, |s| s.version);
                let answer = Answer::Conflict {
                    namespace,
                    version: current + 1,
                };
                Ok(Some(Outcome { answer, event_id }))
            }
            Ok(Committed::Stale) => {
                self.discard(cx, &kept.object_key).await;
                Ok(None)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn unit(
        &self,
        cx: &Cx<'_>,
        access: &Access<'_>,
        salt: &Salt,
        new_salt: bool,
        stored: Stored,
    ) -> Unit {
        let namespace = self.put.namespace;
        let scope = || access.scope.clone();
        let slot = Slot::Memory(namespace);
        let mut guards = (access.guards)();
        guards.push(Guard::fresh(Test::SaltIs {
            scope: scope(),
            slot,
            epoch: (!new_salt).then_some(salt.epoch),
        }));
        guards.push(Guard {
            test: Test::VersionIs {
                scope: scope(),
                namespace,
                version: self.facts.last_version,
            },
            refused: self.put.if_version.map(|_| conflict(cx, access, namespace)),
        });
        let row = about(
            (access.row)(Ending::Accept, "default_allow_memory").namespace(namespace),
            &stored,
        );
        let id = stored.event_id.clone();
        let event = cx
            .authority
            .event_with_id(cx.principal, &access.subject, row, id);
        let mut all = (access.effects)(&stored);
        if new_salt {
            all.push(Effect::UseSalt {
                scope: scope(),
                slot,
                salt: salt.clone(),
            });
        }
        all.push(Effect::PutMemory {
            scope: scope(),
            namespace,
            stored,
        });
        Unit {
            guards,
            effects: all,
            event,
        }
    }

    /// What lost the race is removed at once; `vault gc` finds what a crash leaves.
    async fn discard(&self, cx: &Cx<'_>, object_key: &str) {
        if let Err(error) = cx.authority.vault().remove(object_key).await {
            tracing::warn!(%error, "an object that lost a race stays until gc");
        }
    }
}

async fn unchanged(
    cx: &Cx<'_>,
    access: &Access<'_>,
    namespace: Namespace,
    stored: &Stored,
    facts: &MemoryFacts,
) -> Result<Outcome, Refusal> {
    let text = match open(cx, access, namespace, Some(stored), facts).await {
        Ok(text) => text,
        Err(error) => return broken(cx, access, namespace, &error).await,
    };
    let row = about(
        (access.row)(Ending::Accept, "unchanged").namespace(namespace),
        stored,
    );
    let event = cx.authority.event_about(cx.principal, &access.subject, row);
    let event_id = event.id.clone();
    let answer = put_answer(namespace, stored, &text, true);
    let guards = (access.guards)();
    let effects = (access.effects)(stored);
    match cx
        .authority
        .commit(Unit {
            guards,
            effects,
            event,
        })
        .await?
    {
        Committed::Done { .. } => Ok(Outcome { answer, event_id }),
        _ => (access.lost)().map(|answer| Outcome { answer, event_id }),
    }
}

fn repeated<'f>(put: &Put, facts: &'f MemoryFacts, now_ms: i64) -> Option<&'f Stored> {
    let salt = facts.salt.salt.as_ref()?;
    let piece = tag(&salt.bytes, put.content.expose().as_bytes());
    match put.mode {
        Mode::Replace => facts.current.as_ref().filter(|s| s.tag == piece),
        Mode::Append => facts
            .last_piece
            .as_ref()
            .filter(|s| s.piece_tag == piece && now_ms - s.written_ms <= REPEAT_MS),
    }
}

/// The whole text after a write; `None` when it would be too large.
async fn joined(
    cx: &Cx<'_>,
    access: &Access<'_>,
    put: &Put,
    facts: &MemoryFacts,
) -> Result<Option<String>, VaultError> {
    let piece = put.content.expose();
    let text = match put.mode {
        Mode::Replace => piece.clone(),
        Mode::Append => {
            let mut text = open(cx, access, put.namespace, facts.current.as_ref(), facts).await?;
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(piece);
            text
        }
    };
    Ok((text.len() <= MAX_CONTENT).then_some(text))
}

async fn open(
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
    let cap = VerifiedCap::new(
        access.scope.clone(),
        MemoryOp::Get,
        namespace,
        now_ms + IN_PROCESS_MS,
    );
    let bytes = cx
        .authority
        .vault()
        .get(&cap, place, &stored.object_key, now_ms)
        .await?;
    String::from_utf8(bytes).map_err(|_| VaultError::Integrity)
}

/// An object that is missing or not the one that was written: on record, and never a guess.
async fn broken(
    cx: &Cx<'_>,
    access: &Access<'_>,
    namespace: Namespace,
    error: &VaultError,
) -> Result<Outcome, Refusal> {
    tracing::error!(%error, namespace = namespace.as_str(), "a memory object did not open");
    let row = (access.row)(Ending::Error, "integrity_error")
        .namespace(namespace)
        .status(500);
    let event = cx.authority.event_about(cx.principal, &access.subject, row);
    let problem = InputProblem::new(
        "agentkeys.memory.integrity_error",
        "the stored memory is damaged; the operator finds the object in the audit row",
    );
    cx.authority.record(event, Answer::Invalid(problem)).await
}

fn conflict(
    cx: &Cx<'_>,
    access: &Access<'_>,
    namespace: Namespace,
) -> crate::authority::event::Event {
    let row = (access.row)(Ending::Deny, "version_conflict").namespace(namespace);
    cx.authority.event_about(cx.principal, &access.subject, row)
}

fn about(row: Row, stored: &Stored) -> Row {
    row.with("version", Value::from(stored.version))
        .with("object_key", Value::from(stored.object_key.as_str()))
        .with("content_tag", Value::from(hex::encode(stored.tag)))
        .with("content_length", Value::from(stored.length))
}

pub(super) fn put_answer(
    namespace: Namespace,
    stored: &Stored,
    text: &str,
    unchanged: bool,
) -> Answer {
    Answer::Put(PutAnswer {
        namespace,
        version: stored.version,
        sha256: sha256(text.as_bytes()),
        object_key: stored.object_key.clone(),
        envelope_size: stored.envelope_size,
        unchanged,
    })
}

fn too_large() -> InputProblem {
    InputProblem::new(
        "agentkeys.memory.content_too_large",
        "one memory holds at most 256 KiB; write less or replace what is there",
    )
}

/// SHA-256 in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}
