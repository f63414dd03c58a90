//! Writing the next version. The object is sealed and kept first; nobody sees it until its pointer
//! commits, and what loses a race is removed.

use super::super::answer::{Answer, Put as PutAnswer};
use super::super::{Cx, Done, Halt, tag};
use super::object::{about, broken, cap, open, sha256};
use super::{Access, MAX_CONTENT, Mode, Put, too_large};
use crate::authority::event::{Ending, Row};
use crate::authority::ports::{
    Committed, Effect, Guard, MemoryFacts, Place, Salt, Slot, Stored, Test, Unit, VaultError,
};
use crate::authority::principal::MemoryOp;
use crate::authority::{Cause, Outcome, Refusal, unavailable};

/// How long the same piece from the same token is taken for a repeated call.
const REPEAT_MS: i64 = 120_000;

/// Writes under a permission that was found. Without `if_version` a lost race is run again.
pub(in super::super) async fn write(cx: &Cx<'_>, access: &Access<'_>, put: &Put) -> Done {
    if put.content.expose().len() > MAX_CONTENT {
        return cx
            .invalid_about(&access.subject, access.tool, too_large())
            .await;
    }
    let ledger = cx.authority.ledger();
    let facts = ledger
        .memory(access.scope, put.namespace, None, cx.principal.token_id())
        .await
        .map_err(unavailable)?;
    let current = facts.current.as_ref().map_or(0, |s| s.version);
    if put.if_version.is_some_and(|wanted| wanted != current) {
        let row = (access.row)(Ending::Deny, "version_conflict").namespace(put.namespace);
        let event = cx.authority.event_about(cx.principal, &access.subject, row);
        let answer = Answer::Conflict {
            namespace: put.namespace,
            version: current,
        };
        return Ok(cx.authority.record(event, answer).await?);
    }
    if let Some(stored) = repeated(cx, access, put, &facts) {
        return unchanged(cx, access, put, stored, &facts).await;
    }
    let text = match joined(cx, access, put, &facts).await {
        Ok(text) => text,
        Err(error) => return broken(cx, access, put.namespace, &error).await,
    };
    if text.len() > MAX_CONTENT {
        return cx
            .invalid_about(&access.subject, access.tool, too_large())
            .await;
    }
    Version::new(cx, access, put, &facts, &text).commit().await
}

/// The version that says already what is to be written. Who may not read learns that only of its
/// own writes: else a guess could be tested.
fn repeated<'f>(
    cx: &Cx<'_>,
    access: &Access<'_>,
    put: &Put,
    facts: &'f MemoryFacts,
) -> Option<&'f Stored> {
    let salt = facts.salt.salt.as_ref()?;
    let piece = tag(&salt.bytes, put.content.expose().as_bytes());
    let own = |s: &&Stored| s.token_id.as_deref() == cx.principal.token_id();
    match put.mode {
        Mode::Replace => {
            let current = facts.current.as_ref().filter(|s| s.tag == piece);
            current.filter(|s| access.may_read || own(s))
        }
        Mode::Append => facts.last_piece.as_ref().filter(|s| {
            let age = cx.principal.frame().at_ms - s.written_ms;
            s.piece_tag == piece && age <= REPEAT_MS
        }),
    }
}

async fn unchanged(
    cx: &Cx<'_>,
    access: &Access<'_>,
    put: &Put,
    stored: &Stored,
    facts: &MemoryFacts,
) -> Done {
    let text = match open(cx, access, put.namespace, Some(stored), facts).await {
        Ok(text) => text,
        Err(error) => return broken(cx, access, put.namespace, &error).await,
    };
    let row = (access.row)(Ending::Accept, "unchanged").namespace(put.namespace);
    let row = about(row, stored);
    let event = cx.authority.event_about(cx.principal, &access.subject, row);
    let event_id = event.id.clone();
    let unit = Unit {
        guards: (access.guards)(),
        effects: (access.effects)(stored),
        event,
    };
    let answer = put_answer(access, put, stored, &text, true);
    match cx.authority.commit(unit).await? {
        Committed::Done { .. } => Ok(Outcome { answer, event_id }),
        Committed::Refused { .. } | Committed::Stale => Err(Halt::Stale),
    }
}

/// The whole text after a write.
async fn joined(
    cx: &Cx<'_>,
    access: &Access<'_>,
    put: &Put,
    facts: &MemoryFacts,
) -> Result<String, VaultError> {
    let piece = put.content.expose();
    if put.mode == Mode::Replace {
        return Ok(piece.clone());
    }
    let mut text = open(cx, access, put.namespace, facts.current.as_ref(), facts).await?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(piece);
    Ok(text)
}

/// The plaintext hash and the size go only to who may read; a writer gets the hash of its piece.
fn put_answer(
    access: &Access<'_>,
    put: &Put,
    stored: &Stored,
    text: &str,
    unchanged: bool,
) -> Answer {
    let hashed = if access.may_read {
        text
    } else {
        put.content.expose()
    };
    Answer::Put(PutAnswer {
        namespace: put.namespace,
        version: stored.version,
        sha256: sha256(hashed.as_bytes()),
        object_key: stored.object_key.clone(),
        envelope_size: access.may_read.then_some(stored.envelope_size),
        unchanged,
    })
}

/// A version on its way.
struct Version<'a> {
    cx: &'a Cx<'a>,
    access: &'a Access<'a>,
    put: &'a Put,
    facts: &'a MemoryFacts,
    text: &'a str,
    salt: Salt,
    new_salt: bool,
    number: u64,
    event_id: String,
}

impl<'a> Version<'a> {
    fn new(
        cx: &'a Cx<'a>,
        access: &'a Access<'a>,
        put: &'a Put,
        facts: &'a MemoryFacts,
        text: &'a str,
    ) -> Self {
        let (salt, new_salt) = cx.salt(&facts.salt);
        Self {
            cx,
            access,
            put,
            facts,
            text,
            salt,
            new_salt,
            number: facts.last_version + 1,
            event_id: cx.authority.fresh_id("evt"),
        }
    }

    async fn commit(self) -> Done {
        let (cx, access) = (self.cx, self.access);
        let stored = self.keep().await?;
        let answer = put_answer(access, self.put, &stored, self.text, false);
        let (event_id, object_key) = (self.event_id.clone(), stored.object_key.clone());
        match cx.authority.commit(self.unit(stored)).await {
            Ok(Committed::Done { .. }) => Ok(Outcome { answer, event_id }),
            Ok(Committed::Refused { .. } | Committed::Stale) => {
                // What lost the race is removed at once; `vault gc` finds what a crash leaves.
                if let Err(error) = cx.authority.vault().remove(&object_key).await {
                    tracing::warn!(%error, "an object that lost a race stays until gc");
                }
                Err(Halt::Stale)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Seals and keeps the object.
    async fn keep(&self) -> Done<Stored> {
        let (cx, access) = (self.cx, self.access);
        let place = Place {
            actor: access.scope.actor(),
            namespace: self.put.namespace,
            version: self.number,
            event_id: &self.event_id,
            salt: &self.salt,
        };
        let now_ms = cx.authority.now_ms();
        let cap = cap(access, MemoryOp::Put, self.put.namespace, now_ms);
        let vault = cx.authority.vault();
        let kept = vault.put(&cap, place, self.text.as_bytes(), now_ms).await;
        let kept = kept.map_err(|error| {
            tracing::error!(%error, "the object store did not keep a memory");
            Refusal::from(Cause::AuditUnavailable)
        })?;
        Ok(Stored {
            version: self.number,
            event_id: self.event_id.clone(),
            object_key: kept.object_key,
            length: self.text.len() as u64,
            envelope_size: kept.envelope_size,
            tag: tag(&self.salt.bytes, self.text.as_bytes()),
            piece_tag: tag(&self.salt.bytes, self.put.content.expose().as_bytes()),
            epoch: self.salt.epoch,
            token_id: cx.principal.token_id().map(str::to_owned),
            written_ms: cx.principal.frame().at_ms,
            appended: self.put.mode == Mode::Append,
        })
    }

    fn unit(self, stored: Stored) -> Unit {
        let (cx, access, namespace) = (self.cx, self.access, self.put.namespace);
        let scope = || access.scope.clone();
        let slot = Slot::Memory(namespace);
        let mut guards = (access.guards)();
        guards.push(Guard::fresh(Test::SaltIs {
            scope: scope(),
            slot,
            epoch: (!self.new_salt).then_some(self.salt.epoch),
        }));
        guards.push(Guard::fresh(Test::VersionIs {
            scope: scope(),
            namespace,
            version: self.facts.last_version,
        }));
        let row: Row = (access.row)(Ending::Accept, "").namespace(namespace);
        let row = about(row, &stored);
        let event = cx
            .authority
            .event_with_id(cx.principal, &access.subject, row, self.event_id);
        let mut effects = (access.effects)(&stored);
        if self.new_salt {
            let salt = self.salt;
            effects.push(Effect::UseSalt {
                scope: scope(),
                slot,
                salt,
            });
        }
        effects.push(Effect::PutMemory {
            scope: scope(),
            namespace,
            stored,
        });
        Unit {
            guards,
            effects,
            event,
        }
    }
}
