//! Folders that are gone when whoever made them is.

use super::system::SystemEntropy;
use crate::authority::ports::Entropy as _;
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// A folder for what is on its way, removed when dropped. What a killed program left is removed by the
/// next that makes one beside it: the kernel's lock says which are somebody's.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// In a folder, for its owner alone, with a name that begins so.
    pub(crate) fn inside(folder: &Path, prefix: &str) -> io::Result<Self> {
        sweep(folder, prefix)?;
        loop {
            let mut random = [0; 8];
            SystemEntropy.fill(&mut random);
            let path = folder.join(format!("{prefix}{}", hex::encode(random)));
            DirBuilder::new().mode(0o700).create(&path)?;
            let lock = File::open(&path);
            let lock = lock.and_then(|lock| lock.try_lock().map(|()| lock).map_err(Into::into));
            // Somebody may have taken it for one that was left before it was locked.
            if let Ok(lock) = lock
                && path.metadata().ok().map(|m| m.ino()) == Some(lock.metadata()?.ino())
            {
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "an unfinished folder stays");
        }
    }
}

/// Removes those that nobody holds.
fn sweep(folder: &Path, prefix: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with(prefix);
        if !ours || !entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(held) = File::open(entry.path()) else {
            continue;
        };
        match held.try_lock() {
            // Somebody else's in a shared folder is no reason to stop.
            Ok(()) => {
                if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                    tracing::warn!(%error, "what a killed run left behind stays");
                }
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PREFIX: &str = ".agentkeys-test-";

    #[test]
    fn what_a_killed_program_left_is_removed_and_what_is_somebodys_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let left = temp.path().join(format!("{PREFIX}left"));
        std::fs::create_dir_all(left.join("data")).unwrap();
        let one = Scratch::inside(temp.path(), PREFIX).unwrap();
        assert!(!left.exists());
        let two = Scratch::inside(temp.path(), PREFIX).unwrap();
        assert!(one.path().exists() && two.path().exists());
        drop((one, two));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
