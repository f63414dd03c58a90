//! A listing in a folder: only one of ours is written over, and what is replaced is kept beside it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Files, Kind, MANIFEST};
use crate::publish::deploy::keep;
use crate::publish::wire::change::{Backup, Change};
use crate::publish::wire::file::HostFile;
use crate::publish::wire::{Flaw, Kind as FlawKind, WireError, diff};

/// A folder as it is, and what has to be in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    texts: Vec<One>,
    images: &'static [(&'static str, &'static [u8])],
}

#[derive(Debug)]
struct One {
    file: HostFile,
    wanted: String,
}

/// What writing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All files of the listing.
    pub files: Vec<PathBuf>,
    /// Those that were written.
    pub changed: Vec<PathBuf>,
    /// What was there before, for texts that were replaced.
    pub backups: Vec<PathBuf>,
}

impl Folder {
    /// Reads what is there.
    ///
    /// # Errors
    /// When a file of this name is there and no listing is, or when one cannot be read.
    pub fn read(path: &Path, files: Files) -> Result<Self, WireError> {
        let names = files.texts.iter().map(|(name, _)| name.as_str());
        let mut names = names.chain(files.images.iter().map(|(name, _)| *name));
        if !is_ours(path)
            && let Some(name) = names.find(|name| path.join(name).exists())
        {
            let cause = "is there already, and `agentkeys listing` did not write it";
            return Err(Flaw::new(FlawKind::NotOurs, cause).of(&path.join(name)));
        }
        if path.exists() && !path.is_dir() {
            return Err(Flaw::new(FlawKind::NotAFile, "is not a folder").of(path));
        }
        let read = |(name, wanted): (String, String)| {
            let file = HostFile::read(&path.join(name))?.public();
            Ok(One { file, wanted })
        };
        let texts = files.texts.into_iter().map(read);
        Ok(Self {
            texts: texts.collect::<Result<_, WireError>>()?,
            path: path.to_owned(),
            images: files.images,
        })
    }

    /// What is different in its texts. There is no secret in them.
    pub fn diff(&self) -> String {
        let one = |one: &One| {
            let name = one.file.path().display().to_string();
            diff::plain(&name, one.file.text(), Some(&one.wanted))
        };
        self.texts.iter().map(one).collect()
    }

    /// Writes what differs.
    ///
    /// # Errors
    /// When a file cannot be written; those before it are.
    pub fn write(&self) -> Result<Outcome, WireError> {
        let mut outcome = Outcome::default();
        std::fs::create_dir_all(&self.path).map_err(|e| unwritable(&self.path, &e))?;
        for one in &self.texts {
            let path = one.file.path().to_owned();
            outcome.files.push(path.clone());
            if one.file.text() == Some(one.wanted.as_str()) {
                continue;
            }
            one.file.may_write()?;
            if one.file.text().is_some() {
                let kept = keep(&path).map_err(|e| unwritable(&path, &e))?;
                outcome.backups.push(kept);
            }
            one.file.apply(&Change {
                before: one.file.text().map(str::to_owned),
                after: Some(one.wanted.clone()),
                backup: Backup::Stays,
            })?;
            outcome.changed.push(path);
        }
        for (name, bytes) in self.images {
            let path = self.path.join(name);
            if std::fs::read(&path).ok().as_deref() != Some(*bytes) {
                place(&path, bytes).map_err(|e| unwritable(&path, &e))?;
                outcome.changed.push(path.clone());
            }
            outcome.files.push(path);
        }
        Ok(outcome)
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> WireError {
    WireError::io(FlawKind::NotWritable, path, error)
}

/// Whether a folder holds a listing that this program wrote, whatever became of it since.
fn is_ours(path: &Path) -> bool {
    let text = std::fs::read_to_string(path.join(MANIFEST)).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
    manifest["listing"].as_str().and_then(Kind::named).is_some()
}

/// Writes a file whole or not at all.
fn place(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    let public = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(public)?;
    file.persist(path)?;
    Ok(())
}
