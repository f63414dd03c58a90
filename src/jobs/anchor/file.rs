//! Signed checkpoints in a file that only grows: something to take elsewhere, and no chain.

use crate::audit::note::SignedNote;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file of signed notes, each followed by an empty line.
#[derive(Debug, Clone)]
pub struct CheckpointFile(PathBuf);

impl CheckpointFile {
    /// At a place. It is made when there is something to write.
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Appends a note, durable when it returns, unless it is the last one there; says whether it was
    /// appended. A piece that a power cut left stays, and the note begins on a line of its own.
    pub fn append(&self, note: &SignedNote) -> io::Result<bool> {
        let entry = format!("{note}\n");
        let is_there = self.0.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.0)?;
        if !is_there {
            self.keep_name()?;
        }
        let end = ending(&mut file, entry.len())?;
        if end == entry.as_bytes() {
            // One that was written and not made durable before the power went.
            file.sync_all()?;
            return Ok(false);
        }
        let torn = !end.is_empty() && !end.ends_with(b"\n\n");
        let before = if torn { "\n\n" } else { "" };
        file.write_all(format!("{before}{entry}").as_bytes())?;
        file.sync_all()?;
        Ok(true)
    }

    /// The newest note there; none in a file that is not there or does not end with one.
    pub fn last(&self) -> io::Result<Option<SignedNote>> {
        /// More than the longest note.
        const MOST: usize = 64 * 1024;
        let mut file = match File::open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let end = ending(&mut file, MOST)?;
        let Some(text) = end.strip_suffix(b"\n\n") else {
            return Ok(None);
        };
        // A note is a text, an empty line and its signatures.
        let breaks = text.windows(2).enumerate();
        let mut breaks = breaks.filter(|(_, w)| w == b"\n\n").map(|(at, _)| at);
        let begins = breaks.by_ref().rev().nth(1).map_or(0, |at| at + 2);
        let note = [&text[begins..], b"\n"].concat();
        Ok(SignedNote::parse(&note).ok())
    }

    fn keep_name(&self) -> io::Result<()> {
        let folder = match self.0.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }
}

/// The last bytes of a file, as many as there are.
fn ending(file: &mut File, most: usize) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut end = Vec::new();
    file.take(most).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::audit::checkpoint::Checkpoint;
    use crate::audit::note::LogKey;
    use crate::secret::Secret;
    use std::os::unix::fs::PermissionsExt as _;

    fn note(size: u64) -> SignedNote {
        let key = LogKey::from_seed("log", &Secret::new([7; 32])).unwrap();
        let checkpoint = Checkpoint::new("log", size, [1; 32]).unwrap();
        checkpoint.sign_after(None, &[], &[key]).unwrap()
    }

    #[test]
    fn notes_are_appended_once_each_and_nothing_is_taken_away() {
        let temp = tempfile::tempdir().unwrap();
        let file = CheckpointFile::at(temp.path().join("checkpoints"));
        assert_eq!(file.last().unwrap(), None);
        for size in [3, 9] {
            assert!(file.append(&note(size)).unwrap());
            assert!(!file.append(&note(size)).unwrap());
            assert_eq!(file.last().unwrap(), Some(note(size)));
        }
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, format!("{}\n{}\n", note(3), note(9)));
        let mode = file.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // Half of an entry, as a power cut leaves it.
        let torn = &text[..text.len() - 9];
        std::fs::write(file.path(), torn).unwrap();
        assert_eq!(file.last().unwrap(), None);
        assert!(file.append(&note(9)).unwrap());
        let now = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(now, format!("{torn}\n\n{}\n", note(9)));
        assert_eq!(file.last().unwrap(), Some(note(9)));
    }
}
