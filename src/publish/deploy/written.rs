//! Files of a bundle on disk: what is as it has to be stays, what differs is replaced and kept beside
//! it, and what somebody else wrote is neither shown nor replaced unless that is asked for.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Bundle, DeployError};
use crate::digest::sha256;
use crate::publish::wire::change::{Backup, Change};
use crate::publish::wire::file::{BACKUP, HostFile};
use crate::publish::wire::{Kind, WireError, diff};

/// What one of the first lines of each of these files says, and of no other's.
const MARK: &str = "Written by `agentkeys deploy ";

/// Around the beginning of the hash of all the rest, right after it.
const SEAL: (&str, &str) = (" [", "]");

/// Hexadecimal digits of that hash: enough to see that somebody edited the file.
const DIGITS: usize = 16;

/// How far from its beginning a file says who wrote it.
const HEAD_LINES: usize = 5;

/// How many kept copies of a file there may be before somebody has to look.
const MOST_KEPT: u32 = 1000;

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

/// What writing a file comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is none yet.
    New,
    /// It is as it has to be.
    Same,
    /// It is an older one of ours.
    Ours,
    /// One of ours that somebody edited: what was added may be secret, and is wanted.
    Edited,
    /// Somebody else wrote it.
    Foreign,
}

/// What is to be told of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Where.
    pub path: PathBuf,
    /// How it was found.
    pub state: State,
    /// How many lines it has now.
    pub lines: usize,
    /// The difference; empty for a file of somebody else's, which may have secrets.
    pub diff: String,
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
    /// Reads what is in the folder; `replace` when files of others may be replaced.
    ///
    /// # Errors
    /// When a file cannot be read or is somebody else's, or a template does not render.
    pub fn read(folder: &Path, bundle: &Bundle, replace: bool) -> Result<Self, DeployError> {
        if folder.exists() && !folder.is_dir() {
            return Err(DeployError::new(
                "agentkeys.deploy.not_a_folder",
                format!("{} is not a folder", folder.display()),
                "name a folder with --out",
            ));
        }
        let files = bundle.files()?.into_iter().map(|(name, wanted)| {
            let path = folder.join(name);
            let file = HostFile::read(&path).map_err(|e| of_file(e, &path))?;
            let one = One {
                file: file.public(),
                wanted,
            };
            match one.state() {
                state @ (State::Foreign | State::Edited) if !replace => Err(foreign(&path, state)),
                _ => Ok(one),
            }
        });
        Ok(Self {
            folder: folder.to_owned(),
            files: files.collect::<Result<_, DeployError>>()?,
        })
    }

    /// What is different.
    pub fn told(&self) -> Vec<Told> {
        self.files.iter().map(One::told).collect()
    }

    /// Writes what differs.
    ///
    /// # Errors
    /// When a file cannot be written; those before it are.
    pub fn write(&self) -> Result<Outcome, DeployError> {
        let mut outcome = Outcome::default();
        let unwritable =
            |path: &Path, e: &io::Error| of_file(WireError::io(Kind::NotWritable, path, e), path);
        std::fs::create_dir_all(&self.folder).map_err(|e| unwritable(&self.folder, &e))?;
        for one in &self.files {
            let path = one.file.path().to_owned();
            outcome.files.push(path.clone());
            let before = one.file.text().map(str::to_owned);
            if before.as_ref() == Some(&one.wanted) {
                continue;
            }
            one.file.may_write().map_err(|e| of_file(e, &path))?;
            if before.is_some() {
                let kept = keep(&path).map_err(|e| unwritable(&path, &e))?;
                outcome.backups.push(kept);
            }
            let change = Change {
                before,
                after: Some(one.wanted.clone()),
                backup: Backup::Stays,
            };
            one.file.apply(&change).map_err(|e| of_file(e, &path))?;
            outcome.changed.push(path);
        }
        Ok(outcome)
    }
}

impl One {
    fn state(&self) -> State {
        match self.file.text() {
            None => State::New,
            Some(text) if text == self.wanted => State::Same,
            Some(text) => whose(text),
        }
    }

    fn told(&self) -> Told {
        let (path, state) = (self.file.path().to_owned(), self.state());
        let diff = match state {
            State::Foreign | State::Edited => String::new(),
            _ => diff::plain(
                &path.display().to_string(),
                self.file.text(),
                Some(&self.wanted),
            ),
        };
        Told {
            path,
            state,
            lines: self.wanted.lines().count(),
            diff,
        }
    }
}

/// The place right after what a text says of who wrote it, if one of its first lines does.
fn mark(text: &str) -> Option<usize> {
    let head = text.split_inclusive('\n').take(HEAD_LINES);
    let head = &text[..head.map(str::len).sum()];
    let said = head.find(MARK)? + MARK.len();
    let end = head[said..].find('`')?;
    Some(said + end + 1)
}

/// A text with its own hash after the words that say who wrote it.
pub(super) fn sealed(text: &str) -> String {
    let Some(at) = mark(text) else {
        return text.to_owned();
    };
    let hash = hex::encode(sha256(&[text.as_bytes()]));
    let (open, close) = SEAL;
    format!(
        "{}{open}{}{close}{}",
        &text[..at],
        &hash[..DIGITS],
        &text[at..]
    )
}

/// Whether a text was written here, and is as it was.
pub(super) fn whose(text: &str) -> State {
    let Some(at) = mark(text) else {
        return State::Foreign;
    };
    let end = at + SEAL.0.len() + DIGITS + SEAL.1.len();
    // An older version wrote no hash: whether it was edited cannot be known.
    let bare = match text.get(end..) {
        Some(rest) => format!("{}{rest}", &text[..at]),
        None => return State::Edited,
    };
    if sealed(&bare) == text {
        State::Ours
    } else {
        State::Edited
    }
}

/// Gives a file a second name, of those that are free the first: it stays there, with its owner and
/// mode, when another file takes its place.
pub(in crate::publish) fn keep(path: &Path) -> io::Result<PathBuf> {
    let target = std::fs::canonicalize(path)?;
    for n in 0..MOST_KEPT {
        let mut name = target.clone().into_os_string();
        name.push(BACKUP);
        if n > 0 {
            name.push(format!(".{n}"));
        }
        let kept = PathBuf::from(name);
        match std::fs::hard_link(&target, &kept) {
            Ok(()) => return Ok(kept),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("too many copies of it were kept"))
}

fn foreign(path: &Path, state: State) -> DeployError {
    let (code, why) = match state {
        State::Edited => (
            "agentkeys.deploy.edited_file",
            "somebody edited it since `agentkeys deploy` wrote it",
        ),
        _ => (
            "agentkeys.deploy.foreign_file",
            "`agentkeys deploy` did not write it",
        ),
    };
    DeployError::new(
        code,
        format!("{} is there, and {why}", path.display()),
        "write elsewhere with --out and take over what you want by hand, or put it aside with \
         --replace, which keeps it under another name",
    )
}

/// A file's trouble in the codes of this command.
fn of_file(error: WireError, path: &Path) -> DeployError {
    let code = match error.kind {
        // No text, or far too long: none of ours, and none to replace either.
        Kind::NotUtf8 | Kind::TooLarge => {
            return DeployError {
                fix: "move it away, or write elsewhere with --out".to_owned(),
                ..foreign(path, State::Foreign)
            };
        }
        Kind::Unreadable => "agentkeys.deploy.unreadable",
        Kind::NotAFile => "agentkeys.deploy.not_a_file",
        Kind::DanglingLink => "agentkeys.deploy.dangling_link",
        Kind::ReadOnly => "agentkeys.deploy.read_only",
        Kind::Owner => "agentkeys.deploy.owner",
        Kind::ChangedMeanwhile => "agentkeys.deploy.changed_meanwhile",
        _ => "agentkeys.deploy.not_writable",
    };
    let fix = match error.kind {
        Kind::NotAFile => "move it away, or write elsewhere with --out",
        kind => kind.fix(),
    };
    DeployError::new(code, error.cause, fix)
}
