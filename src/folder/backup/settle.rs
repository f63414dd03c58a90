//! A restored folder goes on: another name for its log, a row for what happened, what was erased is
//! erased, and its place.

use super::bundle::Manifest;
use super::draft::folder_of;
use super::problems::not_kept;
use super::restore::{Known, Restore, Restored, durable, vacant};
use super::{RESTORE, file};
use crate::audit::recheck::What;
use crate::authority::Limits;
use crate::authority::calls::admin::{AdminCall, ErasureAgain, RestoreRow};
use crate::authority::identity::Omni;
use crate::authority::words::Namespace;
use crate::folder::Folder;
use crate::folder::scratch::Scratch;
use crate::ledger::backup::Erased;
use crate::operate;
use crate::problem::{Exit, Problem};
use crate::tls::RESTORED;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Nobody else seals a folder that nobody can see.
const PATIENCE: Duration = Duration::from_secs(10);

/// A checked folder that is not at its place yet.
pub(super) struct Unpacked {
    pub(super) restore: Restore,
    pub(super) scratch: Scratch,
    pub(super) data: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) keys_id: String,
    pub(super) keys_ms: i64,
    pub(super) known: Known,
    /// What its salts do not open.
    pub(super) erased: Vec<Erased>,
    /// Erasures it knows of.
    pub(super) done: BTreeSet<String>,
}

/// A checked folder that waits for a word: what its salts and the rows of erasures do to it is known.
pub struct Prepared {
    // Closed before what it lies in is removed.
    folder: Folder,
    unpacked: Unpacked,
    by_keys: Vec<Again>,
    due: Vec<Again>,
}

/// Something that is erased again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Whose memories.
    pub actor: Omni,
    /// What that actor is called.
    pub alias: String,
    /// Which memories.
    pub namespaces: Vec<Namespace>,
    /// Whether what was stated for the record goes too.
    pub statements: bool,
    /// The row that says so; none where the salt's absence does.
    pub replays: Option<String>,
}

impl Again {
    /// As an object for programs.
    pub fn to_json(&self) -> Value {
        let namespaces = self.namespaces.iter().map(|n| n.as_str());
        json!({
            "actor_omni": self.actor.to_string(), "alias": self.alias,
            "namespaces": namespaces.collect::<Vec<_>>(), "statements": self.statements,
            "event_id": self.replays,
        })
    }

    fn call(&self) -> AdminCall {
        AdminCall::EraseAgain(ErasureAgain {
            actor: self.actor,
            namespaces: self.namespaces.clone(),
            statements: self.statements,
            replays: self.replays.clone(),
        })
    }
}

impl Prepared {
    /// What the rows of erasures would erase. Nothing shows that they are true, so somebody has to
    /// look at them.
    pub fn due(&self) -> &[Again] {
        &self.due
    }

    /// Says in its log what it is, and gives it its place.
    pub async fn finish(self) -> Result<Restored, Problem> {
        let Self {
            folder,
            unpacked,
            by_keys,
            due,
        } = self;
        let restored = unpacked.tell(&folder, by_keys, due).await;
        // Closes the ledger before it is moved.
        drop(folder);
        let restored = restored.map_err(|problem| unpacked.unwritten(problem))?;
        let dir = &unpacked.restore.dir;
        let at = |error: &io::Error| file(RESTORE, dir, error);
        durable(&unpacked.data).map_err(|e| at(&e))?;
        // Takes the place of an empty folder, and of nothing else.
        std::fs::rename(&unpacked.data, dir).map_err(|error| match vacant(dir) {
            Err(problem) => problem,
            Ok(()) => at(&error),
        })?;
        let parent = File::open(folder_of(dir)).and_then(|parent| parent.sync_all());
        parent.map_err(|e| at(&e))?;
        drop(unpacked.scratch);
        Ok(restored)
    }
}

impl Unpacked {
    /// Opened, and asked what has to be erased in it.
    pub(super) async fn prepared(self) -> Result<Prepared, Problem> {
        let folder = Folder::open(&self.data, Limits::default()).await;
        let folder = folder.map_err(|problem| self.unwritten(problem))?;
        let again = self.again(&folder).await;
        let (by_keys, due) = again.map_err(|problem| self.unwritten(problem))?;
        Ok(Prepared {
            folder,
            unpacked: self,
            by_keys,
            due,
        })
    }

    /// What the house says when it cannot write, about a folder that nobody will ever see.
    fn unwritten(&self, problem: Problem) -> Problem {
        if problem.code.starts_with("agentkeys.restore.") || problem.code == What::Since.code() {
            return problem;
        }
        let dir = self.restore.dir.display();
        let cause = format!(
            "{dir} could not be finished, and nothing was left there: {}",
            problem.cause
        );
        let fix = "make room, or name a place on another disk; the lines above say more";
        Problem::new(Exit::Failed, "agentkeys.restore.not_written", cause, fix)
    }

    /// Goes on with the log: another name first, then what was done, each with its row.
    async fn tell(
        &self,
        folder: &Folder,
        by_keys: Vec<Again>,
        due: Vec<Again>,
    ) -> Result<Restored, Problem> {
        let operator = folder.operator();
        let perform = async |call| operate::admin(&folder.authority, &operator, call).await;
        let state = folder.authority.log().log_state().await;
        let closed = state.map_err(|e| crate::folder::failed(&e))?.origin;
        let name = closed.name.clone();
        let number = self.known.number.max(closed.number).checked_add(1);
        let number = number.ok_or_else(|| not_kept("its name cannot be followed by another"))?;
        perform(AdminCall::LogRestart {
            closed,
            number,
            last: self.known.last.text(),
        })
        .await?;
        perform(AdminCall::BackupRestored(RestoreRow {
            id: self.manifest.id.clone(),
            keys: self.keys_id.clone(),
            events: self.manifest.events,
            lost: self.known.lost,
        }))
        .await?;
        for again in by_keys.iter().chain(&due) {
            perform(again.call()).await?;
        }
        let sealed = folder.sealer().seal(PATIENCE).await;
        let code = "agentkeys.audit.unavailable";
        let sealed = sealed.map_err(|e| Problem::new(Exit::Failed, code, e.to_string(), ""))?;
        let given = self.restore.erasures.as_ref().map_or(0, Vec::len);
        Ok(Restored {
            events: self.manifest.events,
            closed: name,
            checkpoint: sealed.checkpoint,
            lost: self.known.lost,
            unverified: self.known.unverified,
            taken_ms: self.manifest.created_ms,
            keys_ms: self.keys_ms,
            certificate: folder.dir.join("tls").join(RESTORED).exists(),
            newer_keys: self.keys_id != self.manifest.id,
            passed_over: given.saturating_sub(due.len()) as u64,
            erased_by_keys: by_keys,
            replayed: due,
        })
    }

    /// What this ledger has and must not: what no salt opens, and what the rows of the file name that
    /// it does not know.
    async fn again(&self, folder: &Folder) -> Result<(Vec<Again>, Vec<Again>), Problem> {
        let actors = folder.ledger.actors().await;
        let actors = actors.map_err(|e| crate::folder::failed(&e))?.into_iter();
        let actors: BTreeMap<Omni, String> = actors
            .map(|actor| (actor.omni, actor.alias.to_string()))
            .collect();
        let by_keys = self.erased.iter().map(|erased| Again {
            actor: erased.actor,
            alias: actors.get(&erased.actor).cloned().unwrap_or_default(),
            namespaces: erased.namespaces.clone(),
            statements: erased.statements,
            replays: None,
        });
        let by_keys = by_keys.collect();
        let operator = folder.authority.operator();
        let pruned = folder.authority.log().log_state().await;
        let pruned = pruned.map_err(|e| crate::folder::failed(&e))?.pruned;
        let mut listed = HashSet::new();
        let mut due = Vec::new();
        for erasure in self.restore.erasures.iter().flatten() {
            if erasure.operator != Some(operator) {
                return Err(Problem::new(
                    Exit::Usage,
                    "agentkeys.restore.erasures_of_another",
                    format!("{} is not of this authority", erasure.event_id),
                    "give the rows of this authority's own log",
                ));
            }
            // Of what was pruned nobody can look up the id. It is older than the snapshot.
            let old = erasure.seq < pruned;
            let first = erasure.replays.as_ref().unwrap_or(&erasure.event_id);
            // Only the snapshot says that something was done: a line could be there to hide another.
            let known = self.done.contains(first) || self.done.contains(&erasure.event_id);
            let what = (
                first.clone(),
                erasure.actor,
                &erasure.namespaces,
                erasure.statements,
            );
            let Some(alias) = actors.get(&erasure.actor) else {
                continue;
            };
            if !old && !known && listed.insert(what) {
                due.push(Again {
                    actor: erasure.actor,
                    alias: alias.clone(),
                    namespaces: erasure.namespaces.clone(),
                    statements: erasure.statements,
                    replays: Some(erasure.event_id.clone()),
                });
            }
        }
        Ok((by_keys, due))
    }
}
