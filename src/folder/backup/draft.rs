//! Files and folders that are not there until they are whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// How the names of folders begin that hold what is on its way.
pub(super) const UNFINISHED: &str = ".agentkeys-unfinished-";

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

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
}
