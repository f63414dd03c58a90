//! The mark of a run of `init` that is under way. It is there before anything is founded and goes
//! when the answer is out, so that whoever finds it after a crash may go on.

use super::{bounded, io, ordinary, replace_private, sync};
use crate::problem::Problem;
use std::io::ErrorKind;
use std::path::Path;

const MARK: &str = "init.unfinished";

/// No mark is longer.
const MAX: u64 = 64;

/// What a run of `init` is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// An empty authority.
    Plain,
    /// One with the demo set in it.
    Demo,
}

impl Begun {
    /// What a run that was cut off had begun in this folder.
    pub fn left_in(dir: &Path) -> Result<Option<Self>, Problem> {
        let path = dir.join(MARK);
        match ordinary(&path).and_then(|file| bounded(&file, MAX)) {
            Ok(word) if word == Self::Demo.word() => Ok(Some(Self::Demo)),
            Ok(_) => Ok(Some(Self::Plain)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path, &error)),
        }
    }

    const fn word(self) -> &'static [u8] {
        match self {
            Self::Plain => b"plain\n",
            Self::Demo => b"demo\n",
        }
    }

    /// Leaves the mark.
    pub(super) fn mark(self, dir: &Path) -> Result<(), Problem> {
        replace_private(&dir.join(MARK), self.word())?;
        sync(dir)
    }

    /// Takes it away.
    pub(super) fn unmark(dir: &Path) -> Result<(), Problem> {
        let path = dir.join(MARK);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io(&path, &error)),
            _ => sync(dir),
        }
    }
}
