//! Seals the log: adds new events to the tree and signs its root. One process at a time does it,
//! under a lease; whatever a crash left is gone on with by the next.
//!
//! The last checkpoint is kept twice, in the ledger and in a file beside it. A ledger that does not
//! contain what the file says was put back from an older copy, or cut: what was signed cannot be
//! continued then, so the log goes on under another name, and its first event there says why.

mod mend;

use crate::audit::checkpoint::{Checkpoint, CheckpointError, SignError};
use crate::audit::note::{MAX_NOTE_BYTES, NoteError, SignedNote, VerifierKey};
use crate::audit::tree::{Frontier, Tree, TreeError, leaf_hash};
use crate::authority::calls::admin::AdminCall;
use crate::authority::found;
use crate::authority::keys::RootKey;
use crate::authority::ports::{
    Clock, KeptCheckpoint, Later, Lease, LedgerError, LogOrigin, LogState, SealedLog,
    WhichCheckpoint,
};
use crate::authority::{Authority, Call, Refusal};
use crate::folder::{bounded, ordinary};
use std::convert::Infallible;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Events added to the tree in one transaction.
const CHUNK: u32 = 8192;

/// How long a lease holds unless it is renewed, milliseconds: a chunk takes a hundredth of it.
const LEASE_MS: i64 = 10_000;

/// How far apart the clocks of two who seal may be, or two looks at one clock: whoever waited at the
/// ledger's door looked before whoever was let in first.
const CLOCKS_APART_MS: i64 = 60_000;

/// How often somebody who waits for the lease looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Pruned events removed from the disk in one transaction.
const SWEEP: u32 = 2_000;

/// Why the log was not sealed. Nothing is lost: the events are there, and the next try takes them.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Another process is at it.
    #[error("another process is sealing the log")]
    Busy,
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is stored does not fit together.
    #[error("the stored tree is damaged: {0}")]
    Damaged(String),
    /// The last checkpoint in the ledger is not one of this log.
    #[error("the last checkpoint in the ledger does not hold: {0}")]
    LastCheckpoint(#[from] CheckpointError),
    /// The tree is not a continuation of what was signed.
    #[error("the log cannot be signed: {0}")]
    Sign(#[from] SignError),
    /// The kept checkpoint cannot be read or written.
    #[error("{path}: {cause}")]
    Kept {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The authority did not let the log go on under another name.
    #[error("the log could not begin under another name: {0:?}")]
    Restart(Refusal),
}

impl From<TreeError<Infallible>> for SealError {
    fn from(error: TreeError<Infallible>) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// What sealing came to.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The newest checkpoint.
    pub checkpoint: Checkpoint,
    /// The same, signed.
    pub note: SignedNote,
    /// Events that were added to the tree.
    pub added: u64,
    /// The origin that was closed, if the log had to go on under another name.
    pub closed: Option<String>,
}

/// Seals one folder's log.
pub struct Sealer {
    authority: Arc<Authority>,
    root: RootKey,
    clock: Arc<dyn Clock>,
    kept: PathBuf,
    holder: String,
}

impl Sealer {
    /// For the log of `authority`, with the kept checkpoint in a file at `kept`; `holder` is
    /// different for each one who seals.
    pub const fn new(
        authority: Arc<Authority>,
        root: RootKey,
        clock: Arc<dyn Clock>,
        kept: PathBuf,
        holder: String,
    ) -> Self {
        Self {
            authority,
            root,
            clock,
            kept,
            holder,
        }
    }

    /// Adds what is committed to the tree and signs its root, waiting at most `patience` for
    /// another process that is at it. Signs nothing when there is nothing new. Boxed, so that there is
    /// one copy of its code.
    pub fn seal(&self, patience: Duration) -> Later<'_, Result<Sealed, SealError>> {
        Box::pin(self.sealed_within(patience))
    }

    async fn sealed_within(&self, patience: Duration) -> Result<Sealed, SealError> {
        let give_up = tokio::time::Instant::now() + patience;
        let _alone = self.alone(give_up).await?;
        loop {
            self.hold(give_up.saturating_duration_since(tokio::time::Instant::now()))
                .await?;
            let sealed = self.under_lease().await;
            self.log().release(&self.holder).await?;
            match sealed {
                // The lease was over before the work was: another has done some of it.
                Err(SealError::Busy) if tokio::time::Instant::now() < give_up => {}
                sealed => return sealed,
            }
        }
    }

    /// Waits until no other process seals this folder's log. The kernel's lock, unlike the lease, does
    /// not end before its holder does: whoever was stopped in the middle cannot put an older
    /// checkpoint into the file later.
    async fn alone(&self, give_up: tokio::time::Instant) -> Result<File, SealError> {
        let path = self.kept.with_extension("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(&path);
        let file = file.map_err(|error| self.unkept(error.to_string()))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(TryLockError::WouldBlock) => return Err(SealError::Busy),
                Err(TryLockError::Error(error)) => return Err(self.unkept(error.to_string())),
            }
        }
    }

    /// Takes the lease, waiting at most `patience` for another process.
    async fn hold(&self, patience: Duration) -> Result<(), SealError> {
        let give_up = tokio::time::Instant::now() + patience;
        while !self.lease().await? {
            if tokio::time::Instant::now() >= give_up {
                return Err(SealError::Busy);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Drops a lease that is over; says whether there was one.
    pub async fn drop_stale_lease(&self) -> Result<bool, SealError> {
        let now_ms = self.clock.now_ms();
        let latest_ms = now_ms.saturating_add(LEASE_MS + CLOCKS_APART_MS);
        Ok(self.log().drop_lease(now_ms, latest_ms).await?)
    }

    /// Whether the tree has entries that no checkpoint of this name covers: a batch that was begun.
    pub async fn unfinished(&self) -> Result<bool, SealError> {
        let state = self.log().log_state().await?;
        let last = self.log();
        let last = last.checkpoint(state.origin.number, WhichCheckpoint::Last);
        let signed = last.await?.map_or(0, |last| last.size);
        Ok(state.integrated > signed)
    }

    /// Where the last checkpoint is kept beside the ledger.
    pub fn kept_path(&self) -> &Path {
        &self.kept
    }

    /// Whether bodies that were pruned are still on the disk.
    pub async fn unswept(&self) -> Result<bool, SealError> {
        let state = self.log().log_state().await?;
        Ok(state.swept < state.pruned)
    }

    /// Removes what was pruned from the disk.
    pub async fn sweep(&self) -> Result<(), SealError> {
        while !self.log().sweep(SWEEP).await? {}
        Ok(())
    }

    /// Takes or renews the lease.
    pub(super) async fn lease(&self) -> Result<bool, LedgerError> {
        let now_ms = self.clock.now_ms();
        let lease = Lease {
            holder: &self.holder,
            now_ms,
            until_ms: now_ms.saturating_add(LEASE_MS),
            latest_ms: now_ms.saturating_add(LEASE_MS + CLOCKS_APART_MS),
        };
        self.log().lease(lease).await
    }

    fn log(&self) -> &dyn SealedLog {
        self.authority.log()
    }

    async fn under_lease(&self) -> Result<Sealed, SealError> {
        let mut closed = None;
        loop {
            let (state, frontier, added) = self.integrate().await?;
            let origin = &state.origin;
            let last = self.last(origin).await?;
            let kept = self.kept()?;
            if let Some(kept) = &kept
                && self.is_ahead(kept, &state).await?
            {
                closed = Some(origin.name.clone());
                self.restart(origin, kept).await?;
                continue;
            }
            // One that only the file still has was signed all the same.
            let kept = kept.filter(|k| k.origin() == origin.name);
            let signed = last.as_ref().map(|(checkpoint, ..)| checkpoint);
            let newest = match (signed, &kept) {
                (Some(last), Some(kept)) if kept.size() > last.size() => Some(kept),
                (None, Some(kept)) => Some(kept),
                (last, _) => last,
            };
            let checkpoint = Checkpoint::new(&origin.name, state.integrated, frontier.root())?;
            let keys = self.authority.log_keys();
            let now_ms = self.clock.now_ms();
            let keys = keys.signing(&origin.name, now_ms).await?;
            if let Some((last, note, signers)) = &last
                && newest == Some(last)
                && *last == checkpoint
                && keys.iter().all(|key| signers.contains(key.verifier()))
            {
                self.keep(note)?;
                return Ok(Sealed {
                    checkpoint,
                    note: note.clone(),
                    added,
                    closed,
                });
            }
            let proof = match newest {
                Some(last) if last.size() <= checkpoint.size() => {
                    self.consistency(last.size(), checkpoint.size()).await?
                }
                _ => Vec::new(),
            };
            let note = checkpoint.sign_after(newest, &proof, &keys)?;
            let row = KeptCheckpoint {
                origin: origin.number,
                size: checkpoint.size(),
                note: note.to_string(),
                at_ms: now_ms,
            };
            // The file first: a ledger that is put back then never has what the file has not.
            self.keep(&note)?;
            let after = signed.map(Checkpoint::size);
            if !self.log().keep_checkpoint(&row, after).await? {
                return Err(SealError::Busy);
            }
            return Ok(Sealed {
                checkpoint,
                note,
                added,
                closed,
            });
        }
    }

    /// Adds everything that is committed to the tree.
    async fn integrate(&self) -> Result<(LogState, Frontier, u64), SealError> {
        let log = self.log();
        let mut state = log.log_state().await?;
        let tiles = log.tiles(Frontier::tiles(state.integrated)).await?;
        let mut frontier = Frontier::load(state.integrated, &tiles)?;
        let mut added = 0;
        let mut held_ms = self.clock.now_ms();
        while state.integrated < state.size {
            let envelopes = log.envelopes(state.integrated, CHUNK).await?;
            if envelopes.is_empty() {
                let cause = format!("event {} is not there", state.integrated);
                return Err(SealError::Damaged(cause));
            }
            let from = state.integrated;
            let tiles = frontier.append(envelopes.iter().map(|e| leaf_hash(e)));
            let to = frontier.size();
            // A renewal is a commit of its own, and a chunk takes a hundredth of the lease.
            let now_ms = self.clock.now_ms();
            if now_ms.abs_diff(held_ms) > LEASE_MS.unsigned_abs() / 4 {
                if !self.lease().await? {
                    return Err(SealError::Busy);
                }
                held_ms = now_ms;
            }
            if !log.integrate(&self.holder, from, to, tiles).await? {
                return Err(SealError::Busy);
            }
            state.integrated = to;
            state.size = state.size.max(to);
            added += to - from;
        }
        Ok((state, frontier, added))
    }

    /// The newest checkpoint in the ledger, and who signs it.
    async fn last(
        &self,
        origin: &LogOrigin,
    ) -> Result<Option<(Checkpoint, SignedNote, Vec<VerifierKey>)>, SealError> {
        let last = self.log().checkpoint(origin.number, WhichCheckpoint::Last);
        let Some(last) = last.await? else {
            return Ok(None);
        };
        let note = SignedNote::parse(last.note.as_bytes()).map_err(CheckpointError::from)?;
        let keys = self.authority.log_keys();
        let keys = keys.published(self.clock.now_ms()).await?.into_iter();
        let known: Vec<VerifierKey> = keys.map(|k| k.key).collect();
        let (checkpoint, signers) = Checkpoint::open(&note, &known)?;
        if checkpoint.origin() != origin.name || checkpoint.size() != last.size {
            return Err(CheckpointError::KeyName.into());
        }
        let signers = signers.into_iter().cloned().collect();
        Ok(Some((checkpoint, note, signers)))
    }

    /// Whether a kept checkpoint says something that this log does not contain. Who signed it does
    /// not matter here: to go on under another name is always honest.
    async fn is_ahead(&self, kept: &Checkpoint, state: &LogState) -> Result<bool, SealError> {
        if kept.origin() != state.origin.name {
            return Ok(self.later(kept.origin(), &state.origin).is_some());
        }
        if kept.size() > state.integrated {
            return Ok(true);
        }
        let tree = |size| async move {
            let tiles = self.log().tiles(Frontier::tiles(size)).await?;
            Ok::<_, SealError>(Frontier::load(size, &tiles)?.root())
        };
        // A tile that is missing does not say that the log is another one; the entries do.
        let stored = tree(kept.size()).await;
        if stored.as_ref().is_ok_and(|root| root == kept.root()) {
            return Ok(false);
        }
        if self.root_of_entries(state, kept.size()).await? == *kept.root() {
            let cause = "it is not the tree of the entries, which are those that were signed";
            return Err(SealError::Damaged(cause.to_owned()));
        }
        stored.map(|_| true)
    }

    /// The number of a name that this log went on under after `origin`, or beside it: a copy that was
    /// put back as well.
    fn later(&self, name: &str, origin: &LogOrigin) -> Option<u32> {
        let number = found::origin_number(self.authority.issuer(), name)?;
        (number >= origin.number && name != origin.name).then_some(number)
    }

    async fn restart(&self, origin: &LogOrigin, kept: &Checkpoint) -> Result<(), SealError> {
        tracing::error!(
            closed = origin.name,
            "the log does not contain what was signed of it: it was put back from an older copy, \
             or changed; it goes on under another name"
        );
        let newest = self.later(kept.origin(), origin).unwrap_or(origin.number);
        let Some(number) = newest.checked_add(1) else {
            return Err(self.unkept(format!("{} is no name of this log", kept.origin())));
        };
        let call = AdminCall::LogRestart {
            closed: origin.clone(),
            number,
            last: kept.text(),
        };
        let operator = self.authority.at_hand(&self.root);
        let done = self
            .authority
            .perform(&operator, Call::Admin(Box::new(call)))
            .await;
        done.map(|_| ()).map_err(SealError::Restart)
    }

    async fn consistency(
        &self,
        old: u64,
        size: u64,
    ) -> Result<Vec<crate::audit::tree::Hash>, SealError> {
        let none = std::collections::BTreeMap::new();
        let wanted = Tree::new(size, &none)?.consistency_tiles(old)?;
        let tiles = self.log().tiles(wanted).await?;
        Ok(Tree::new(size, &tiles)?.consistency(old)?)
    }

    /// The checkpoint in the file, if there is one.
    fn kept(&self) -> Result<Option<Checkpoint>, SealError> {
        let wrong = |cause: String| self.unkept(cause);
        let most = MAX_NOTE_BYTES as u64;
        let bytes = match ordinary(&self.kept).and_then(|file| bounded(&file, most)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let note = SignedNote::parse(&bytes).map_err(|e: NoteError| wrong(e.to_string()))?;
        let checkpoint = Checkpoint::from_text(note.text()).map_err(|e| wrong(e.to_string()))?;
        Ok(Some(checkpoint))
    }

    fn unkept(&self, cause: String) -> SealError {
        SealError::Kept {
            path: self.kept.clone(),
            cause,
        }
    }

    fn keep(&self, note: &SignedNote) -> Result<(), SealError> {
        let text = note.to_string();
        if std::fs::read(&self.kept).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        let kept = crate::folder::replace_private(&self.kept, text.as_bytes());
        kept.map_err(|problem| self.unkept(problem.cause))
    }
}

/// Where a folder keeps its last checkpoint beside the ledger.
pub fn kept_in(dir: &Path) -> PathBuf {
    dir.join("checkpoint")
}
