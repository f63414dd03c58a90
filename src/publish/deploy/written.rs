//! Files of a bundle on disk: what is as it has to be stays, what differs is replaced, with a backup.

use std::path::{Path, PathBuf};

use super::Bundle;
use crate::publish::wire::change::{Backup, Change};
use crate::publish::wire::file::HostFile;
use crate::publish::wire::{Flaw, Kind, WireError, diff};

/// Files as they are and as they have to be.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    files: Vec<One>,
}

#[derive(Debug)]
struct One {
    file: HostFile,
    wanted: String,
}

/// What writing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All files of the bundle.
    pub files: Vec<PathBuf>,
    /// Those that were written.
    pub changed: Vec<PathBuf>,
    /// What was there before, for those that were replaced.
    pub backups: Vec<PathBuf>,
}

impl Files {
    /// Reads what is in the folder.
    ///
    /// # Errors
    /// When a file cannot be read, or a template does not render.
    pub fn read(folder: &Path, bundle: &Bundle) -> Result<Self, WireError> {
        if folder.exists() && !folder.is_dir() {
            return Err(Flaw::new(Kind::NotAFile, "is not a folder").of(folder));
        }
        let read = |(name, wanted): (&str, String)| {
            let file = HostFile::read(&folder.join(name))?.public();
            Ok(One { file, wanted })
        };
        let files = bundle.files()?.into_iter();
        Ok(Self {
            folder: folder.to_owned(),
            files: files.map(read).collect::<Result<_, WireError>>()?,
        })
    }

    /// What is different, as people read it. There is no secret in these files.
    pub fn diff(&self) -> String {
        let one = |one: &One| {
            let name = one.file.path().display().to_string();
            diff::plain(&name, one.file.text(), Some(&one.wanted))
        };
        self.files.iter().map(one).collect()
    }

    /// Writes what differs.
    ///
    /// # Errors
    /// When a file cannot be written; those before it are.
    pub fn write(&self) -> Result<Outcome, WireError> {
        let mut outcome = Outcome::default();
        std::fs::create_dir_all(&self.folder)
            .map_err(|e| WireError::io(Kind::NotWritable, &self.folder, &e))?;
        for one in &self.files {
            let path = one.file.path().to_owned();
            outcome.files.push(path.clone());
            let before = one.file.text().map(str::to_owned);
            if before.as_ref() == Some(&one.wanted) {
                continue;
            }
            let backup = before.clone().map_or(Backup::Stays, Backup::Is);
            let replaced = before.is_some();
            let written = one.file.apply(&Change {
                before,
                after: Some(one.wanted.clone()),
                backup,
            })?;
            outcome.changed.push(path);
            outcome.backups.extend(written.backup.filter(|_| replaced));
        }
        Ok(outcome)
    }
}
