//! A host's file on disk: read whole, written beside itself and moved into place, with a backup of
//! what was there, and with the owner, the mode and the link it had.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::change::{Backup, Change};
use super::{Flaw, Kind, WireError};

/// No config of a host is larger.
pub const MAX: u64 = 1024 * 1024;

/// What a backup's name ends with. The backup is the file as it is without us; an empty one says
/// that there was no file.
pub const BACKUP: &str = ".before-agentkeys";

/// A file as it was read.
#[derive(Debug, Clone)]
pub struct HostFile {
    /// As it was named.
    path: PathBuf,
    /// Where it really lies, after every link.
    target: PathBuf,
    /// What is in it; none when there is no file.
    text: Option<String>,
    /// What its backup holds; none when there is no backup, or one that is no text.
    backup: Option<String>,
    /// Its mode; none when there is no file.
    mode: Option<u32>,
    /// The mode of a file that was not there before.
    fresh: u32,
}

/// What writing left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The backup that lies beside the file now.
    pub backup: Option<PathBuf>,
}

impl HostFile {
    /// Reads a file, or finds that there is none.
    pub fn read(path: &Path) -> Result<Self, WireError> {
        let target = follow(path)?;
        let Some(target) = target else {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let backup = kept(&whole);
            return Ok(Self {
                path: whole.clone(),
                target: whole,
                text: None,
                backup,
                mode: None,
                fresh: 0o600,
            });
        };
        let found = fs::metadata(&target).map_err(|e| WireError::io(Kind::Unreadable, path, &e))?;
        if !found.is_file() {
            return Err(Flaw::new(Kind::NotAFile, "is not a file").of(path));
        }
        let text = self::text(&target)
            .map_err(|f| f.of(path))?
            .ok_or_else(|| {
                Flaw::new(Kind::ChangedMeanwhile, "went away while it was read").of(path)
            })?;
        Ok(Self {
            backup: kept(&target),
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            target,
            text: Some(text),
            mode: Some(found.permissions().mode() & 0o7777),
            fresh: 0o600,
        })
    }

    /// The same file, to be its owner's alone once it is written: it may come to hold a token.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.mode = self.mode.map(|mode| mode & 0o700);
        self
    }

    /// The same file, for all to read when it is made: no secret goes into it, and who reads it is a
    /// service of another user.
    #[must_use]
    pub const fn public(mut self) -> Self {
        self.fresh = 0o644;
        self
    }

    /// Where it is, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it; none when there is no file.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// What its backup holds.
    pub(super) fn backup(&self) -> Option<&str> {
        self.backup.as_deref()
    }

    /// The mode, if others than the owner can read what is in it.
    pub fn open_to_others(&self) -> Option<u32> {
        self.mode.filter(|mode| mode & 0o044 != 0)
    }

    /// Brings the file to where a change wants it: backup first, then the file, each at once or
    /// not at all.
    pub fn apply(&self, change: &Change) -> Result<Written, WireError> {
        let backup = backup_of(&self.target);
        if change.before == change.after {
            let there = backup.exists().then_some(backup);
            return Ok(Written { backup: there });
        }
        self.may_write()?;
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        if !folder.exists() {
            make_folder(folder).map_err(|e| WireError::io(Kind::NotWritable, folder, &e))?;
        }
        if let Backup::Is(text) = &change.backup
            && self.backup.as_ref() != Some(text)
        {
            self.replace(&backup, text)?;
        }
        // Whoever wrote it since would lose what they wrote.
        if text(&self.target).map_err(|f| f.of(&self.path))? != self.text {
            let flaw = Flaw::new(Kind::ChangedMeanwhile, "was changed meanwhile");
            return Err(flaw.of(&self.path));
        }
        if let Some(text) = &change.after {
            self.replace(&self.target, text)?;
        } else {
            fs::remove_file(&self.target)
                .map_err(|e| WireError::io(Kind::NotWritable, &self.path, &e))?;
            sync_folder(folder);
        }
        if change.backup == Backup::Gone {
            // What is left of it is of no more use, and no harm either.
            let _ = fs::remove_file(&backup);
        }
        let there = backup.exists().then_some(backup);
        Ok(Written { backup: there })
    }

    /// A file that nobody may write is not for us to write, even where we could.
    pub fn may_write(&self) -> Result<(), WireError> {
        match self.mode {
            Some(mode) if mode & 0o222 == 0 => {
                let cause = format!("is read-only (mode {mode:o})");
                Err(Flaw::new(Kind::ReadOnly, cause).of(&self.path))
            }
            _ => Ok(()),
        }
    }

    /// Writes a text beside `path`, makes it durable, and moves it there.
    fn replace(&self, path: &Path, text: &str) -> Result<(), WireError> {
        let failed = |e: io::Error| WireError::io(Kind::NotWritable, path, &e);
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut temp = tempfile::Builder::new()
            .prefix(".agentkeys-wire-")
            .tempfile_in(folder)
            .map_err(failed)?;
        temp.write_all(text.as_bytes()).map_err(failed)?;
        self.own(temp.as_file(), folder)?;
        temp.as_file().sync_all().map_err(failed)?;
        temp.persist(path).map_err(|e| failed(e.error))?;
        sync_folder(folder);
        Ok(())
    }

    /// Owner and mode as the file has them; a new one is its folder's owner's, and nobody else's
    /// to read, since a token goes into it, unless it is a public one.
    fn own(&self, file: &File, folder: &Path) -> Result<(), WireError> {
        let failed = |e: io::Error| WireError::io(Kind::NotWritable, &self.path, &e);
        let own = file.metadata().map_err(failed)?;
        let model = match self.mode {
            Some(_) => fs::metadata(&self.target),
            None => fs::metadata(folder),
        };
        let model = model.map_err(failed)?;
        let ids = |m: &Metadata| (m.uid(), m.gid());
        if ids(&own) != ids(&model) {
            let done = fchown(file, Some(model.uid()), Some(model.gid()));
            if let Err(error) = done
                && self.mode.is_some()
            {
                let cause = format!(
                    "belongs to user {} and group {}, and would not afterwards: {error}",
                    model.uid(),
                    model.gid()
                );
                return Err(Flaw::new(Kind::Owner, cause).of(&self.path));
            }
        }
        let mode = Permissions::from_mode(self.mode.unwrap_or(self.fresh));
        file.set_permissions(mode).map_err(failed)
    }
}

/// Makes a folder that belongs to whom the one above belongs to, where that can be done.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let above = fs::metadata(folder.parent().unwrap_or(Path::new("/")))?;
    let _ = std::os::unix::fs::chown(folder, Some(above.uid()), Some(above.gid()));
    Ok(())
}

/// The backup beside a file. What is no file of its own is none: whoever owns the folder may have
/// put a pipe or a link there.
fn kept(target: &Path) -> Option<String> {
    let backup = backup_of(target);
    let found = fs::symlink_metadata(&backup).ok()?;
    found.is_file().then(|| text(&backup).ok().flatten())?
}

/// Where a path leads after every link; none where nothing is.
fn follow(path: &Path) -> Result<Option<PathBuf>, WireError> {
    match fs::canonicalize(path) {
        Ok(target) => Ok(Some(target)),
        Err(e) if e.kind() == ErrorKind::NotFound => match fs::symlink_metadata(path) {
            Ok(_) => Err(Flaw::new(Kind::DanglingLink, "is a link to nothing").of(path)),
            Err(_) => Ok(None),
        },
        Err(e) => Err(WireError::io(Kind::Unreadable, path, &e)),
    }
}

/// All of a file as text, bounded; none where nothing is.
fn text(path: &Path) -> Result<Option<String>, Flaw> {
    let unreadable = |e: io::Error| Flaw::new(Kind::Unreadable, format!("cannot be read: {e}"));
    let file = match crate::folder::ordinary(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e)),
    };
    let mut bytes = Vec::new();
    file.take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX {
        let cause = format!("has more than {MAX} bytes");
        return Err(Flaw::new(Kind::TooLarge, cause));
    }
    let at = |e: std::string::FromUtf8Error| {
        let at = e.utf8_error().valid_up_to();
        Flaw::new(Kind::NotUtf8, format!("is not UTF-8 from byte {at} on"))
    };
    String::from_utf8(bytes).map(Some).map_err(at)
}

fn backup_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(BACKUP);
    PathBuf::from(name)
}

/// Makes a name durable. Some file systems cannot; the file itself is safe by then.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|f| f.sync_all());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn change(before: Option<&str>, after: Option<&str>, backup: Backup) -> Change {
        Change {
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            backup,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_link_stays_a_link_and_mode_and_owner_stay() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real.json");
        let link = dir.path().join("link.json");
        fs::write(&real, "a").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        let strange = fchown(File::open(&real).unwrap(), Some(12_345), Some(54_321)).is_ok();
        std::os::unix::fs::symlink("real.json", &link).unwrap();
        let file = HostFile::read(&link).unwrap();
        assert_eq!(
            (file.text(), file.open_to_others()),
            (Some("a"), Some(0o640))
        );
        let written = file
            .apply(&change(Some("a"), Some("b"), Backup::Is("a".to_owned())))
            .unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "b");
        let backup = written.backup.unwrap();
        assert_eq!(
            backup,
            fs::canonicalize(dir.path())
                .unwrap()
                .join("real.json.before-agentkeys")
        );
        assert_eq!(fs::read_to_string(&backup).unwrap(), "a");
        assert_eq!((mode(&real), mode(&backup)), (0o640, 0o640));
        if strange {
            let found = fs::metadata(&real).unwrap();
            assert_eq!((found.uid(), found.gid()), (12_345, 54_321));
        }
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            3,
            "nothing else is left"
        );
    }

    #[test]
    fn a_new_file_is_its_owners_only_and_its_folder_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/f.json");
        let file = HostFile::read(&path).unwrap();
        assert_eq!(file.text(), None);
        file.apply(&change(None, Some("b"), Backup::Is(String::new())))
            .unwrap();
        assert_eq!(mode(&path), 0o600);
        let file = HostFile::read(&path).unwrap();
        assert_eq!(file.backup(), Some(""));
        let written = file.apply(&change(Some("b"), None, Backup::Gone)).unwrap();
        assert_eq!(written.backup, None);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn what_somebody_writes_meanwhile_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        fs::write(&path, "a").unwrap();
        let file = HostFile::read(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        let error = file
            .apply(&change(Some("a"), Some("b"), Backup::Stays))
            .unwrap_err();
        assert_eq!(error.kind, Kind::ChangedMeanwhile);
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    }

    #[test]
    fn what_is_no_file_of_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |name: &str| HostFile::read(&dir.path().join(name)).err().map(|e| e.kind);
        let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        write("huge", &vec![b' '; usize::try_from(MAX).unwrap() + 1]);
        write("full", &vec![b' '; usize::try_from(MAX).unwrap()]);
        write("latin", b"{\"a\": \"\xe9\"}");
        fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("nothing", dir.path().join("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        assert_eq!(kind("huge"), Some(Kind::TooLarge));
        assert_eq!(kind("full"), None);
        assert_eq!(kind("latin"), Some(Kind::NotUtf8));
        assert_eq!(kind("folder"), Some(Kind::NotAFile));
        assert_eq!(kind("dangling"), Some(Kind::DanglingLink));
        assert_eq!(kind("loop"), Some(Kind::Unreadable));
        assert_eq!(kind("none"), None);
    }

    #[test]
    fn a_file_nobody_may_write_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        fs::write(&path, "a").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let file = HostFile::read(&path).unwrap();
        let error = file
            .apply(&change(Some("a"), Some("b"), Backup::Stays))
            .unwrap_err();
        assert_eq!(error.kind, Kind::ReadOnly);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a");
    }
}
