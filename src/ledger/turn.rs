//! Whose turn it is to write, among the processes at one file. `SQLite` gives its write lock to
//! whoever happens to ask first and only asks again after a pause, so a process that writes all the
//! time would keep others out until they give up; on a slow disk that takes no more than a few
//! seconds of load. Here the next one waits at the door, and whoever just wrote queues behind it.
//!
//! The lock is on the folder: closing a second handle to the file itself drops `SQLite`'s locks.
//! The kernel drops it with the process.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often it is asked for again.
const ASK: Duration = Duration::from_millis(1);

/// How long it is waited for. Then it is written without: `SQLite`'s own lock still keeps two from
/// writing at once, and a process that was stopped at the door must not stop everybody.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for whoever makes or changes the schema, which others do not do in five seconds.
const LONG_PATIENCE: Duration = Duration::from_mins(1);

/// The door before `SQLite`'s write lock.
pub(super) struct Door(File);

/// A place at the door, until dropped.
pub(super) struct Turn<'a>(Option<&'a File>);

impl Door {
    /// The door of the ledgers in this folder.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        File::open(folder).map(Self)
    }

    /// Waits until nobody else is at the door, or for as long as making a ledger may take somebody.
    pub(super) fn wait(&self) -> Turn<'_> {
        self.within(LONG_PATIENCE)
    }

    /// Waits until nobody else is at the door, or for a while. To be held until `SQLite`'s write
    /// lock is had, and no longer: whoever comes next waits for the commit in it.
    pub(super) fn turn(&self) -> Turn<'_> {
        self.within(PATIENCE)
    }

    fn within(&self, patience: Duration) -> Turn<'_> {
        let start = Instant::now();
        loop {
            match self.0.try_lock() {
                Ok(()) => return Turn(Some(&self.0)),
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    std::thread::sleep(ASK);
                }
                Err(TryLockError::WouldBlock) => {
                    tracing::warn!("another process is at the door for long; not waited for");
                    return Turn(None);
                }
                // A file system without such locks: it goes as it would without a door.
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(%error, "no lock on the ledger's folder");
                    return Turn(None);
                }
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(File::unlock) {
            tracing::error!(%error, "the lock on the ledger's folder was not given back");
        }
    }
}
