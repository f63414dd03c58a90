//! What stands in the way of a restore, in words.

use super::bundle::BundleError;
use super::{RESTORE, file};
use crate::audit::recheck::{Failure, What};
use crate::problem::{Exit, Problem};
use std::path::Path;

pub(super) fn newer(snapshot: &Path, why: &str) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.restore.newer",
        format!("{} cannot be read: {why}", snapshot.display()),
        "use the program version that wrote it, or a newer one",
    )
}

pub(super) fn unusable(snapshot: &Path, why: &str) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.restore.damaged",
        format!("{} is not put back: {why}", snapshot.display()),
        "take another copy of it; nothing was changed here",
    )
}

pub(super) fn bundle_problem(snapshot: &Path, error: &BundleError) -> Problem {
    match error {
        BundleError::Newer(_) => newer(snapshot, &error.to_string()),
        BundleError::Io(inner) if inner.raw_os_error().is_some() => file(RESTORE, snapshot, inner),
        error => unusable(snapshot, &error.to_string()),
    }
}

pub(super) fn older(keys: &Path) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.restore.keys_older",
        format!(
            "{} is older than the snapshot and lacks keys of it",
            keys.display()
        ),
        "give the keys file that was written with this snapshot, or a later one",
    )
}

pub(super) fn not_kept(why: &str) -> Problem {
    Problem::new(
        Exit::AuditInvalid,
        What::Since.code(),
        format!("the kept checkpoint does not hold: {why}"),
        What::Since.fix(),
    )
}

pub(super) fn does_not_verify(failure: &Failure) -> Problem {
    let place = failure.first_bad;
    let place = place.map_or(String::new(), |place| {
        format!(" (first bad: entry seq {place})")
    });
    Problem::new(
        Exit::AuditInvalid,
        failure.what.code(),
        format!(
            "the log in the snapshot does not verify: {}{place}",
            failure.cause
        ),
        "nothing was put back; take another snapshot, or look at this one's log before you believe it",
    )
}
