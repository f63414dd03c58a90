//! Backups: a **snapshot**, which is everything but what opens it, and a **keys file**, which is what
//! opens it and nothing else, encrypted to a passphrase. Two files, so that they can be kept in two
//! places, and so that an erasure reaches old snapshots: who destroys the old keys files and keeps a
//! newer one has erased in all of them at once.
//!
//! # Why it is consistent while a server writes
//!
//! 1. The row that a backup is taken, and a checkpoint over it, so that the snapshot's last signed root
//!    covers all that it can.
//! 2. The ledger, as it is at one moment (one read transaction).
//! 3. The objects that this copy points to. An object is durable before its pointer commits and is never
//!    written to again, so each is there; only an erasure removes one. Objects first would miss those
//!    whose pointers commit meanwhile.
//! 4. The salts, last. What was erased since the ledger was copied has none any more, so the copy's
//!    pointers to it open nothing: a restore sees that, and erases it again, on record. Salts first
//!    would bring it back.
//!
//! Both files are written without a name, and get it when they are whole and on the disk; so nothing
//! half is ever there, whenever the program is killed. The keys go first: a snapshot without its keys
//! is worth nothing.
//!
//! # Why a changed snapshot is not put back
//!
//! The log is signed, but tokens, grants and policies are rows like any other. So the manifest, which
//! names every byte of the snapshot, is authenticated under a key that only the keys file has.
//!
//! It must never write a key where the snapshot goes, take the place of a file that is there, or make
//! a folder visible that is not whole and checked.

mod age;
mod bundle;
mod draft;
mod erasures;
mod keys;
mod problems;
mod restore;
mod settle;
mod take;

pub use erasures::Erasure;
pub use restore::{Restore, Restored};
pub use settle::{Again, Prepared};
pub use take::{Take, Taken};

use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use std::io;
use std::path::Path;

/// The format of what is written, and the newest that is read.
const FORMAT: u32 = 1;

/// Fewer characters than this are guessed.
pub const MIN_PASSPHRASE: usize = 12;

/// How far a long command is: a word for what, and how much of how much.
pub type Progress<'a> = dyn FnMut(&str, u64, u64) + Send + 'a;

/// Whether a passphrase can protect keys.
pub fn strong(passphrase: Secret<String>) -> Result<Secret<String>, Problem> {
    if passphrase.expose().chars().count() >= MIN_PASSPHRASE {
        return Ok(passphrase);
    }
    Err(Problem::new(
        Exit::Usage,
        "agentkeys.backup.passphrase_weak",
        format!("the passphrase has fewer than {MIN_PASSPHRASE} characters"),
        "take five or more random words: whoever has the keys file can try for years",
    ))
}

/// What happened to a file, as a problem that names it.
fn file(code: Codes, path: &Path, error: &io::Error) -> Problem {
    let shown = path.display();
    if error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded {
        return Problem::new(
            Exit::Failed,
            code.full,
            format!("there is no room for {shown}; nothing was left there"),
            "make room, or name a place on another disk",
        );
    }
    Problem::new(
        Exit::Failed,
        code.failed,
        format!("{shown}: {error}"),
        "look at that file and its folder: is it there, and may this user use it?",
    )
}

/// The codes of a command for what a file system can do to it.
#[derive(Debug, Clone, Copy)]
struct Codes {
    full: &'static str,
    failed: &'static str,
}

const BACKUP: Codes = Codes {
    full: "agentkeys.backup.disk_full",
    failed: "agentkeys.backup.file_failed",
};

const RESTORE: Codes = Codes {
    full: "agentkeys.restore.disk_full",
    failed: "agentkeys.restore.file_failed",
};

#[cfg(test)]
mod tests;
