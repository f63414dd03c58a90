//! The loop beside the server. One process anchors a log: the one that has the folder's lock.

use super::file::CheckpointFile;
use super::ledger::LedgerStore;
use super::sender::{Pace, Progress, Sender, StepError};
use super::store::StoreError;
use super::trouble::Trouble;
use crate::audit::note::SignedNote;
use crate::authority::ports::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long after a file could not be written it is tried again.
const WRITE_AGAIN: Duration = Duration::from_mins(1);

/// The newest checkpoint, as it was signed.
pub type Newest = watch::Receiver<Option<SignedNote>>;

/// What is done with new checkpoints.
#[derive(Debug)]
pub enum Job {
    /// Nothing.
    None,
    /// They are appended to a file.
    File(CheckpointFile),
    /// Their roots are put on a chain.
    Chain(Box<Sender<LedgerStore>>),
}

impl Job {
    /// Does it until the shutdown, which may end it anywhere: what it was about to do is kept.
    pub async fn run(self, clock: Arc<dyn Clock>, newest: Newest, shutdown: CancellationToken) {
        let work = async {
            match self {
                Self::None => {}
                Self::File(file) => append(file, newest).await,
                Self::Chain(sender) => put_on_chain(*sender, clock, newest).await,
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn append(file: CheckpointFile, mut newest: Newest) {
    loop {
        let note = newest.borrow_and_update().clone();
        let wait = match note {
            Some(note) => write(&file, note).await,
            None => Duration::MAX,
        };
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Appends a note, and says when to look again.
async fn write(file: &CheckpointFile, note: SignedNote) -> Duration {
    let shown = file.path().display().to_string();
    let file = file.clone();
    let written = tokio::task::spawn_blocking(move || file.append(&note)).await;
    match written.map_err(std::io::Error::other).flatten() {
        Ok(true) => {
            tracing::info!(
                file = shown,
                "the checkpoint is in the file, not on a chain"
            );
            Duration::MAX
        }
        Ok(false) => Duration::MAX,
        Err(error) => {
            tracing::error!(
                %error,
                file = shown,
                code = "agentkeys.anchor.file_not_written",
                fix = "make room, or name another file as audit.anchor_file; it is tried again",
                "the checkpoint is not in the file"
            );
            WRITE_AGAIN
        }
    }
}

async fn put_on_chain(mut sender: Sender<LedgerStore>, clock: Arc<dyn Clock>, mut newest: Newest) {
    let mut pace = Pace::default();
    let mut told = sender.store().trouble().await.unwrap_or_default();
    loop {
        let now_ms = clock.now_ms();
        let step = sender.step(now_ms).await;
        tell(&step);
        if let Err(error) = note(&sender, &step, &mut told, now_ms).await {
            tracing::warn!(%error, "what stops the anchor is not kept");
        }
        let wait = pace.after(&step);
        // While something is under way, or stands in the way, another checkpoint changes nothing.
        let idle = matches!(step, Ok(Progress::Idle));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = newest.changed(), if idle => {}
        }
    }
}

/// Says what was done.
fn tell(step: &Result<Progress, StepError>) {
    let hash = |transaction: &[u8; 32]| format!("0x{}", hex::encode(transaction));
    match step {
        Ok(Progress::Sent(sent)) => tracing::info!(
            transaction = hash(&sent.transaction),
            entries = sent.entries,
            "a root is on its way to the chain"
        ),
        Ok(Progress::SentAgain { sent, why }) => tracing::info!(
            transaction = hash(&sent.transaction),
            entries = sent.entries,
            ?why,
            "a root was sent to the chain again"
        ),
        Ok(Progress::Settled { anchored, landed }) => tracing::info!(
            transaction = hash(&landed.transaction),
            block = landed.block,
            entries = anchored.entry_count,
            "a root is on the chain"
        ),
        Ok(Progress::Waiting { transaction, until }) => {
            tracing::debug!(
                transaction = hash(transaction),
                ?until,
                "a root is under way"
            );
        }
        Ok(Progress::Idle | Progress::Halted(_)) | Err(_) => {}
    }
}

/// Tells what stands in the way once, and keeps it for `audit anchors` until something gets on.
async fn note(
    sender: &Sender<LedgerStore>,
    step: &Result<Progress, StepError>,
    told: &mut Option<Trouble>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let trouble = match step {
        Ok(Progress::Halted(halt)) => Some(Trouble::halt(halt, now_ms)),
        Err(error) => Some(Trouble::error(error, now_ms)),
        Ok(_) => None,
    };
    let same = match (&*told, &trouble) {
        (Some(old), Some(new)) => old.is_still(new),
        (old, new) => old.is_none() && new.is_none(),
    };
    if same {
        return Ok(());
    }
    if let Some(Trouble {
        code, cause, fix, ..
    }) = &trouble
    {
        tracing::warn!(code, cause, fix, "nothing can be put on the chain");
    }
    sender.store().keep_trouble(trouble.as_ref()).await?;
    *told = trouble;
    Ok(())
}
