//! Checks a whole log: one thread reads it, this one hashes and compares.

use crate::audit::note::{SignedNote, VerifierKey};
use crate::audit::recheck::{Failure, Recheck, Stretch, Verdict, What};
use crate::ledger::{Offline, OpenError};
use std::path::Path;
use std::sync::mpsc;

/// Stretches that may be read before they are compared: all the memory this takes.
const AHEAD: usize = 16;

/// How often a file is read again that somebody opened while it was read.
const TRIES: u32 = 3;

/// What the reader of a check brings.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// Keys of the log that the reader pinned.
    pub trusted: Vec<VerifierKey>,
    /// A signed checkpoint that the reader kept.
    pub since: Option<SignedNote>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum RecheckError {
    /// The file does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file was changed again and again while it was read, by something else than a server.
    #[error("the ledger is replaced while it is read")]
    Restless,
}

/// Checks the ledger at a path; `progress` is told how many entries were looked at, of how many.
pub fn recheck(
    path: &Path,
    against: &Against,
    mut progress: impl FnMut(u64, u64),
) -> Result<Verdict, RecheckError> {
    for _ in 0..TRIES {
        let mut ledger = Offline::open(path)?;
        let verdict = check(&mut ledger, against, &mut progress);
        if ledger.undisturbed() {
            return Ok(verdict);
        }
    }
    Err(RecheckError::Restless)
}

fn check(ledger: &mut Offline, against: &Against, progress: &mut impl FnMut(u64, u64)) -> Verdict {
    let unreadable = |place: u64, error: &rusqlite::Error| {
        let cause = format!("the file cannot be read from entry seq {place} on: {error}");
        Verdict::failed(Failure::new(What::Unreadable, Some(place), cause))
    };
    let head = match ledger.head() {
        Ok(head) => head,
        Err(error) => return unreadable(0, &error),
    };
    let begun = Recheck::new(
        head.clone(),
        against.trusted.clone(),
        against.since.as_ref(),
    );
    let mut check = match begun {
        Ok(check) => check,
        Err(failure) => return Verdict::failed(failure),
    };
    let (send, full) = mpsc::sync_channel::<Stretch>(AHEAD);
    let (give_back, empty) = mpsc::channel::<Stretch>();
    let end = std::thread::scope(|threads| {
        let size = head.size;
        let reader = threads.spawn(move || {
            let next = || empty.try_recv().unwrap_or_default();
            ledger.read(&head, next, |stretch| send.send(stretch).is_ok())
        });
        for stretch in full {
            let more = check.take(&stretch);
            progress(check.looked_at(), size);
            if !more {
                break;
            }
            // The reader may be through.
            let _ = give_back.send(stretch);
        }
        reader.join()
    });
    match end {
        Ok(Ok(end)) => check.finish(&end),
        Ok(Err(error)) => unreadable(check.looked_at(), &error),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
