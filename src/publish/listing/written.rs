//! A listing in a folder: only one of ours is written over, and what is replaced is kept beside it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Files, Kind, MANIFEST};
use crate::folder::{bounded, bounded_text, ordinary_here, replace_public};
use crate::problem::{Exit, Problem};
use crate::publish::deploy::keep;
use crate::publish::wire::diff;

/// No file of a listing is larger.
pub(super) const MAX: u64 = 2 * 1024 * 1024;

/// A folder as it is, and what has to be in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    texts: Vec<One>,
    images: &'static [(&'static str, &'static [u8])],
}

#[derive(Debug)]
struct One {
    path: PathBuf,
    /// What is in it; none when there is no file.
    there: Option<String>,
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
    pub fn read(path: &Path, files: Files) -> Result<Self, Problem> {
        if path.exists() && !path.is_dir() {
            return Err(no_folder(path));
        }
        let names = files.texts.iter().map(|(name, _)| name.as_str());
        let mut names = names.chain(files.images.iter().map(|(name, _)| *name));
        if !is_ours(path)
            && let Some(name) = names.find(|name| path.join(name).symlink_metadata().is_ok())
        {
            return Err(Problem::new(
                Exit::Config,
                "agentkeys.listing.not_ours",
                format!(
                    "{} is there already, and `agentkeys listing` did not write it",
                    path.join(name).display()
                ),
                "name another folder, or move that file away",
            ));
        }
        for (image, _) in files.images {
            // One that is a link would be written through.
            let below = path.join(image);
            let below = below.parent().unwrap_or(path);
            if below.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
                return Err(no_folder(below));
            }
        }
        let read = |(name, wanted): (String, String)| {
            let path = path.join(name);
            let text = ordinary_here(&path).and_then(|file| bounded_text(&file, MAX));
            let there = match text {
                Ok(text) => Some(text),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(unreadable(&path, &error)),
            };
            Ok(One {
                path,
                there,
                wanted,
            })
        };
        let texts = files.texts.into_iter().map(read);
        Ok(Self {
            texts: texts.collect::<Result<_, Problem>>()?,
            path: path.to_owned(),
            images: files.images,
        })
    }

    /// What is different in its texts. There is no secret in them.
    pub fn diff(&self) -> String {
        let one = |one: &One| {
            let name = one.path.display().to_string();
            diff::plain(&name, one.there.as_deref(), Some(&one.wanted))
        };
        self.texts.iter().map(one).collect()
    }

    /// Writes what differs.
    ///
    /// # Errors
    /// When a file cannot be written; those before it are.
    pub fn write(&self) -> Result<Outcome, Problem> {
        let mut outcome = Outcome::default();
        make(&self.path)?;
        for One {
            path,
            there,
            wanted,
        } in &self.texts
        {
            outcome.files.push(path.clone());
            if there.as_ref() == Some(wanted) {
                continue;
            }
            if there.is_some() {
                let kept = keep(path).map_err(|e| unwritable(path, &e))?;
                outcome.backups.push(kept);
            }
            place(path, wanted.as_bytes())?;
            outcome.changed.push(path.clone());
        }
        for (name, bytes) in self.images {
            let path = self.path.join(name);
            let there = ordinary_here(&path).and_then(|file| bounded(&file, MAX));
            if there.ok().as_deref() != Some(*bytes) {
                make(path.parent().unwrap_or(&self.path))?;
                place(&path, bytes)?;
                outcome.changed.push(path.clone());
            }
            outcome.files.push(path);
        }
        Ok(outcome)
    }
}

/// Whether a folder holds a listing that this program wrote, whatever became of it since.
fn is_ours(path: &Path) -> bool {
    let text = ordinary_here(&path.join(MANIFEST)).and_then(|file| bounded(&file, MAX));
    let manifest: Value = serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default();
    manifest["listing"].as_str().and_then(Kind::named).is_some()
}

fn make(folder: &Path) -> Result<(), Problem> {
    std::fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))
}

fn place(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    replace_public(path, bytes).map_err(|problem| Problem {
        code: UNWRITABLE,
        fix: WRITABLE.to_owned(),
        ..problem
    })
}

const UNWRITABLE: &str = "agentkeys.listing.unwritable";
const WRITABLE: &str =
    "name a folder that this user may write, with nothing but files under the listing's names";

fn unwritable(path: &Path, error: &std::io::Error) -> Problem {
    let cause = format!("{} cannot be written: {error}", path.display());
    Problem::new(Exit::Config, UNWRITABLE, cause, WRITABLE)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.listing.unreadable",
        format!("{} cannot be read: {error}", path.display()),
        "name another folder, or move that file away",
    )
}

fn no_folder(path: &Path) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.listing.not_a_folder",
        format!("{} is not a folder", path.display()),
        "name a folder, with no link in it",
    )
}
