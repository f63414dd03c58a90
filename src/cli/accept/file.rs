//! The `JUnit` file, opened before a run: a run of minutes is not lost to a folder that is not there.

use crate::problem::{Exit, Problem};
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// A file that can be written.
#[derive(Debug)]
pub struct Junit {
    path: PathBuf,
    file: File,
}

impl Junit {
    /// Opens it and leaves what is in it until there is something to write.
    pub fn open(path: Option<&Path>) -> Result<Option<Self>, Problem> {
        let Some(path) = path else {
            return Ok(None);
        };
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|e| unwritable(path, &e))?;
        Ok(Some(Self {
            path: path.to_owned(),
            file,
        }))
    }

    /// Replaces what is in it.
    pub fn write(mut self, xml: &str) -> Result<(), Problem> {
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(xml.as_bytes()));
        written.map_err(|e| unwritable(&self.path, &e))
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.accept.junit",
        format!("{} cannot be written: {error}", file.display()),
        "name a file in a folder that is there and that this user may write",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_replaced_at_the_end_and_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.xml");
        std::fs::write(&path, "an old and longer one").unwrap();
        let junit = Junit::open(Some(&path)).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 21);
        junit.write("<new/>").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "<new/>");
        assert!(Junit::open(None).unwrap().is_none());
        let problem = Junit::open(Some(&dir.path().join("none/out.xml"))).unwrap_err();
        assert_eq!(problem.code, "agentkeys.accept.junit");
    }
}
