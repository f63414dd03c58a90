//! Looks at the log and repairs what can be repaired without believing anything that is not proved.

use super::recheck::{Against, recheck};
use super::sealer::{SealError, Sealer};
use crate::audit::recheck::{Failure, What};
use crate::authority::calls::admin::{LogFinding, LogStatus};
use crate::ledger::Offline;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is done when something is bad and no command helps.
const COMPARE: &str = "keep the folder as it is, and compare it with a copy from before";

/// Looks at all of it. `ledger` is its file; somebody else who seals is waited for.
pub async fn fsck(sealer: &Sealer, ledger: &Path, patience: Duration) -> Vec<LogFinding> {
    let mut findings = vec![file(ledger).await, lease(sealer).await];
    let first = entries(ledger).await;
    let tree = match &first {
        Err(failure) if failure.what == What::Tile => tree(sealer, failure, patience).await,
        // What else is wrong is said once, of the entries.
        _ => ok("tree", "the stored tree is the tree of the entries"),
    };
    let sealable = match &first {
        Ok(()) => true,
        Err(failure) => tree.status == LogStatus::Repaired || failure.what == What::NotSealed,
    };
    let tree_bad = tree.status == LogStatus::Bad;
    findings.push(tree);
    if sealable {
        findings.extend(seal(sealer, patience).await);
    }
    findings.push(sweep(sealer).await);
    let last = entries(ledger).await;
    findings.push(match last {
        Ok(()) => ok(
            "entries",
            "every entry is as it was signed, or waits for its checkpoint",
        ),
        Err(failure) => {
            let fix = if tree_bad {
                COMPARE
            } else {
                failure.what.fix()
            };
            bad("entries", in_place(&failure), fix)
        }
    });
    findings
}

fn ok(id: &'static str, cause: impl Into<String>) -> LogFinding {
    finding(id, LogStatus::Ok, cause, "")
}

fn repaired(id: &'static str, cause: impl Into<String>) -> LogFinding {
    finding(id, LogStatus::Repaired, cause, "")
}

fn bad(id: &'static str, cause: impl Into<String>, fix: &str) -> LogFinding {
    finding(id, LogStatus::Bad, cause, fix)
}

fn finding(id: &'static str, status: LogStatus, cause: impl Into<String>, fix: &str) -> LogFinding {
    LogFinding {
        id,
        status,
        cause: cause.into(),
        fix: fix.to_owned(),
    }
}

fn in_place(failure: &Failure) -> String {
    match failure.first_bad {
        Some(place) => format!("{} (first bad: entry seq {place})", failure.cause),
        None => failure.cause.clone(),
    }
}

/// Work on the file changes threads.
async fn elsewhere<T: Send + 'static>(
    ledger: &Path,
    work: impl FnOnce(PathBuf) -> T + Send + 'static,
) -> Option<T> {
    let path = ledger.to_owned();
    tokio::task::spawn_blocking(move || work(path)).await.ok()
}

async fn file(ledger: &Path) -> LogFinding {
    let looked = elsewhere(ledger, |path| {
        let ledger = Offline::open(&path).map_err(|e| e.to_string())?;
        ledger.integrity().map_err(|e| e.to_string())
    });
    match looked.await {
        Some(Ok(None)) => ok("file", "the file and its indexes are whole"),
        Some(Ok(Some(what)) | Err(what)) => bad("file", what, COMPARE),
        None => bad("file", "the check was ended", COMPARE),
    }
}

async fn entries(ledger: &Path) -> Result<(), Failure> {
    let unreadable = |cause: String| Failure::new(What::Unreadable, None, cause);
    let checked = elsewhere(ledger, |path| {
        recheck(&path, &Against::default(), |_, _| ())
    });
    match checked.await {
        Some(Ok(verdict)) => verdict.outcome().as_ref().map(|_| ()).map_err(Clone::clone),
        Some(Err(error)) => Err(unreadable(error.to_string())),
        None => Err(unreadable("the check was ended".to_owned())),
    }
}

async fn lease(sealer: &Sealer) -> LogFinding {
    match sealer.drop_stale_lease().await {
        Ok(true) => repaired(
            "lease",
            "a process that ended while it sealed is no longer waited for",
        ),
        Ok(false) => ok("lease", "nobody who is gone holds up sealing"),
        Err(error) => failed("lease", &error),
    }
}

async fn tree(sealer: &Sealer, failure: &Failure, patience: Duration) -> LogFinding {
    match sealer.mend(patience).await {
        Ok(size) => repaired(
            "tree",
            format!(
                "{}; made again from the {size} entries, whose root is the signed one",
                in_place(failure)
            ),
        ),
        Err(error) => {
            let cause = format!("{}; it cannot be made again: {error}", in_place(failure));
            bad("tree", cause, COMPARE)
        }
    }
}

/// Seals what waits, and writes the kept checkpoint if it is gone.
async fn seal(sealer: &Sealer, patience: Duration) -> Vec<LogFinding> {
    let had_kept = sealer.kept_path().exists();
    let unfinished = sealer.unfinished().await;
    let done = match (unfinished, sealer.seal(patience).await) {
        (Ok(unfinished), Ok(done)) => (unfinished, done),
        (Err(error), _) | (_, Err(error)) => return vec![failed("batch", &error)],
    };
    let (unfinished, done) = done;
    let size = done.checkpoint.size();
    let batch = if unfinished {
        let cause = format!("a batch was begun and not signed; its {size} entries are signed now");
        repaired("batch", cause)
    } else {
        ok(
            "batch",
            format!(
                "the first {size} entries are signed, {} of them just now",
                done.added
            ),
        )
    };
    let kept = if had_kept {
        ok("kept", "the last checkpoint is kept beside the ledger")
    } else {
        repaired(
            "kept",
            "the last checkpoint is kept beside the ledger again",
        )
    };
    let mut findings = vec![batch, kept];
    if let Some(closed) = done.closed {
        let cause = format!(
            "the log does not contain what was signed as {closed}: it goes on as {}",
            done.checkpoint.origin()
        );
        findings.push(repaired("origin", cause));
    }
    findings
}

async fn sweep(sealer: &Sealer) -> LogFinding {
    let swept = async {
        let unswept = sealer.unswept().await?;
        sealer.sweep().await?;
        Ok::<_, SealError>(unswept)
    };
    match swept.await {
        Ok(true) => repaired("pruned", "bodies that were pruned are off the disk now"),
        Ok(false) => ok("pruned", "no body that was pruned is on the disk"),
        Err(error) => failed("pruned", &error),
    }
}

fn failed(id: &'static str, error: &SealError) -> LogFinding {
    let fix = match error {
        SealError::Busy => "run it again in a moment",
        SealError::Kept { .. } => {
            "put that file back from a copy, or remove it if you know why it is as it is"
        }
        SealError::Ledger(_) | SealError::Restart(_) => {
            "look at the disk: is it full or read-only?"
        }
        SealError::Damaged(_) | SealError::LastCheckpoint(_) | SealError::Sign(_) => COMPARE,
    };
    bad(id, error.to_string(), fix)
}
