//! Files and folders that are not there until they are whole.

use crate::authority::ports::Entropy as _;
use crate::folder::system::SystemEntropy;
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// A file on its way: it has no name, so whatever ends the program ends it too.
pub(super) struct Draft {
    file: File,
    /// Only where the file system knows no files without one.
    named: Option<tempfile::TempPath>,
    path: PathBuf,
}

impl Draft {
    /// For a file at `path`, which only its owner will be able to read.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let folder = folder_of(path);
        let path = path.to_owned();
        if let Some(file) = nameless(folder) {
            let named = None;
            return Ok(Self { file, named, path });
        }
        let (file, named) = tempfile::NamedTempFile::new_in(folder)?.into_parts();
        let named = Some(named);
        Ok(Self { file, named, path })
    }

    /// What is written to.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, once it is on the disk; never that of a file that is there.
    pub(super) fn publish(self) -> io::Result<()> {
        self.file.sync_all()?;
        match self.named {
            Some(named) => named.persist_noclobber(&self.path).map_err(|e| e.error)?,
            None => link(&self.file, &self.path)?,
        }
        File::open(folder_of(&self.path))?.sync_all()
    }
}

/// The folder a path is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(target_os = "linux")]
fn nameless(folder: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags};
    // How one gets a name later.
    if !Path::new("/proc/self/fd").exists() {
        return None;
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR);
    file.ok().map(File::from)
}

#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD};
    use std::os::fd::AsRawFd as _;
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, from, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A folder for what is on its way, removed when dropped. What a killed program left is removed by the
/// next that makes one beside it: the kernel's lock says which are somebody's.
pub(super) struct Scratch {
    path: PathBuf,
    _lock: File,
}

/// How the names of such folders begin.
const PREFIX: &str = ".agentkeys-unfinished-";

impl Scratch {
    /// In a folder, for its owner alone.
    pub(super) fn inside(folder: &Path) -> io::Result<Self> {
        sweep(folder)?;
        loop {
            let mut random = [0; 8];
            SystemEntropy.fill(&mut random);
            let path = folder.join(format!("{PREFIX}{}", hex::encode(random)));
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
    pub(super) fn path(&self) -> &Path {
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
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
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
    use std::io::Write as _;

    #[test]
    fn a_draft_is_not_there_before_it_is_whole_and_takes_nobodys_place() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        let entries = || std::fs::read_dir(temp.path()).unwrap().count();
        let draft = Draft::of(&path).unwrap();
        draft.file().write_all(b"a").unwrap();
        assert!(draft.named.is_some() || entries() == 0);
        draft.publish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let draft = Draft::of(&path).unwrap();
        let error = draft.publish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"a");
        assert_eq!(entries(), 1);
    }

    #[test]
    fn what_a_killed_program_left_is_removed_and_what_is_somebodys_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let left = temp.path().join(format!("{PREFIX}left"));
        std::fs::create_dir_all(left.join("data")).unwrap();
        let one = Scratch::inside(temp.path()).unwrap();
        assert!(!left.exists());
        let two = Scratch::inside(temp.path()).unwrap();
        assert!(one.path().exists() && two.path().exists());
        drop((one, two));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
