//! Files that are put in their place when they are whole and on the disk. Every file that takes
//! another's place, or is there for somebody else to read, goes through here.

use super::io;
use crate::problem::{Exit, Problem};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How the names of files end that are not whole yet.
const BESIDE: &str = ".half-written";

/// A file on its way, beside its place under a name nobody can guess; removed when it gets there no
/// more. Only its owner can read it.
pub(crate) struct Beside {
    temp: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Beside {
    /// For a file at `path`.
    ///
    /// # Errors
    /// When something else than a file is there: a pipe or a device would be gone for whoever reads it.
    pub(crate) fn of(path: &Path) -> Result<Self, Problem> {
        ordinary(path)?;
        let folder = path.parent().filter(|f| *f != Path::new(""));
        let temp = tempfile::Builder::new()
            .prefix(".agentkeys-")
            .suffix(BESIDE)
            .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))
            .map_err(|e| io(path, &e))?;
        let path = path.to_owned();
        Ok(Self { temp, path })
    }

    /// What is written to.
    pub(crate) fn file(&self) -> &File {
        self.temp.as_file()
    }

    /// Puts it where it belongs, in place of a file that is there.
    pub(crate) fn replace(self) -> Result<(), Problem> {
        let at = |e: &std::io::Error| io(&self.path, e);
        self.temp.as_file().sync_all().map_err(|e| at(&e))?;
        ordinary(&self.path)?;
        let put = self.temp.persist(&self.path);
        put.map(|_| ()).map_err(|e| at(&e.error))
    }

    /// The same, but never in place of what is there.
    fn publish(self) -> Result<(), Problem> {
        let at = |e: &std::io::Error| io(&self.path, e);
        self.temp.as_file().sync_all().map_err(|e| at(&e))?;
        let put = self.temp.persist_noclobber(&self.path);
        put.map(|_| ()).map_err(|e| at(&e.error))
    }
}

/// Refuses the place of anything but a file. A link is none either: `/dev/stdout` is one.
fn ordinary(path: &Path) -> Result<(), Problem> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(path, &error)),
    };
    if found.is_file() {
        return Ok(());
    }
    Err(Problem::new(
        Exit::Config,
        "agentkeys.file.not_a_file",
        format!(
            "{} is there and is no ordinary file, so nothing is put in its place",
            path.display()
        ),
        "name a file, or a place where nothing is",
    ))
}

/// Writes a new file that only its owner can read: all of it or, if a crash comes between, nothing.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    written(path, bytes)?.publish()
}

/// The same in place of what is there.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    written(path, bytes)?.replace()
}

/// The same, for everybody to read.
pub(crate) fn replace_public(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let beside = written(path, bytes)?;
    let public = std::fs::Permissions::from_mode(0o644);
    let opened = beside.file().set_permissions(public);
    opened.map_err(|e| io(path, &e))?;
    beside.replace()
}

fn written(path: &Path, bytes: &[u8]) -> Result<Beside, Problem> {
    let beside = Beside::of(path)?;
    let mut file = beside.file();
    file.write_all(bytes).map_err(|e| io(path, &e))?;
    Ok(beside)
}

/// Removes what runs that were killed left beside its place.
pub(super) fn sweep(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().ends_with(BESIDE.as_bytes()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

    #[test]
    fn a_file_takes_the_place_of_files_alone() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        write_private(&at("file"), b"a").unwrap();
        replace_private(&at("file"), b"b").unwrap();
        // Nobody's place is taken by a new one.
        write_private(&at("file"), b"c").unwrap_err();
        assert_eq!(std::fs::read(at("file")).unwrap(), b"b");
        let mode = at("file").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        replace_public(&at("file"), b"d").unwrap();
        let mode = at("file").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);

        let piped = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(piped.unwrap().success());
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for name in ["pipe", "link", "folder"] {
            let problem = replace_private(&at(name), b"x").unwrap_err();
            assert_eq!(problem.code, "agentkeys.file.not_a_file", "{name}");
            let problem = replace_public(&at(name), b"x").unwrap_err();
            assert_eq!(problem.code, "agentkeys.file.not_a_file", "{name}");
        }
        assert!(at("pipe").symlink_metadata().unwrap().file_type().is_fifo());
        assert!(at("link").is_symlink());
        // Nothing is left of any of them.
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 4);
    }

    #[test]
    fn what_lies_under_a_name_of_ours_is_never_written_to() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        let theirs = temp.path().join("theirs");
        std::fs::write(&theirs, "theirs").unwrap();
        let guess = format!("file.{}.half-written", std::process::id());
        std::os::unix::fs::symlink(&theirs, temp.path().join(guess)).unwrap();
        let (one, two) = (Beside::of(&path).unwrap(), Beside::of(&path).unwrap());
        assert_ne!(one.temp.path(), two.temp.path());
        replace_private(&path, b"ours").unwrap();
        assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs");
        assert_eq!(std::fs::read(&path).unwrap(), b"ours");
        drop(one);
        two.temp.keep().unwrap();
        sweep(temp.path()).unwrap();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2);
    }
}
