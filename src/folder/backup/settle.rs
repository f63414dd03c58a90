//! A restored folder goes on: another name for its log, a row for what happened, what was erased is
//! erased, and its place.

use super::bundle::Manifest;
use super::draft::{Scratch, folder_of};
use super::erasures::Erasure;
use super::problems::not_kept;
use super::restore::{Known, Restore, Restored, durable, vacant};
use super::{RESTORE, file};
use crate::audit::recheck::What;
use crate::authority::Limits;
use crate::authority::calls::admin::{AdminCall, ErasureAgain, RestoreRow};
use crate::authority::identity::Omni;
use crate::folder::Folder;
use crate::ledger::backup::Erased;
use crate::operate;
use crate::problem::{Exit, Problem};
use std::collections::BTreeSet;
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

impl Unpacked {
    /// Says in its log what it is, and gives it its place.
    pub(super) async fn finish(self) -> Result<Restored, Problem> {
        let folder = Folder::open(&self.data, Limits::default()).await;
        let folder = folder.map_err(|problem| self.unwritten(problem))?;
        let restored = self.tell(&folder).await;
        // Closes the ledger before it is moved.
        drop(folder);
        let restored = restored.map_err(|problem| self.unwritten(problem))?;
        let dir = &self.restore.dir;
        let at = |error: &io::Error| file(RESTORE, dir, error);
        durable(&self.data).map_err(|e| at(&e))?;
        // Takes the place of an empty folder, and of nothing else.
        std::fs::rename(&self.data, dir).map_err(|error| match vacant(dir) {
            Err(problem) => problem,
            Ok(()) => at(&error),
        })?;
        let parent = File::open(folder_of(dir)).and_then(|parent| parent.sync_all());
        parent.map_err(|e| at(&e))?;
        drop(self.scratch);
        Ok(restored)
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
    async fn tell(&self, folder: &Folder) -> Result<Restored, Problem> {
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
        for erased in &self.erased {
            perform(AdminCall::EraseAgain(ErasureAgain {
                actor: erased.actor,
                namespaces: erased.namespaces.clone(),
                statements: erased.statements,
                replays: None,
            }))
            .await?;
        }
        let due = self.due(folder).await?;
        for erasure in &due {
            perform(AdminCall::EraseAgain(ErasureAgain {
                actor: erasure.actor,
                namespaces: erasure.namespaces.clone(),
                statements: erasure.statements,
                replays: Some(erasure.event_id.clone()),
            }))
            .await?;
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
            newer_keys: self.keys_id != self.manifest.id,
            erased_by_keys: self.erased.len() as u64,
            replayed: due.len() as u64,
            passed_over: (given - due.len()) as u64,
        })
    }

    /// The erasures of the file that this ledger does not have.
    async fn due(&self, folder: &Folder) -> Result<Vec<Erasure>, Problem> {
        let given = self.restore.erasures.iter().flatten();
        let operator = folder.authority.operator();
        let actors = folder.ledger.actors().await;
        let actors = actors.map_err(|e| crate::folder::failed(&e))?;
        let actors: BTreeSet<Omni> = actors.into_iter().map(|actor| actor.omni).collect();
        let pruned = folder.authority.log().log_state().await;
        let pruned = pruned.map_err(|e| crate::folder::failed(&e))?.pruned;
        let mut done = self.done.clone();
        let mut due = Vec::new();
        for erasure in given {
            if erasure.operator.is_some_and(|of| of != operator) {
                return Err(Problem::new(
                    Exit::Usage,
                    "agentkeys.restore.erasures_of_another",
                    format!("{} is of another authority", erasure.event_id),
                    "give the rows of this authority's own log",
                ));
            }
            // Of what was pruned nobody can look up the id. It is older than the snapshot.
            let old = erasure.seq < pruned;
            let first = erasure.replays.as_ref().unwrap_or(&erasure.event_id);
            let known = done.contains(first) || !done.insert(erasure.event_id.clone());
            if !old && !known && actors.contains(&erasure.actor) {
                due.push(erasure.clone());
            }
            done.insert(first.clone());
        }
        Ok(due)
    }
}
