//! What a file and its backup become when a host is wired, and when it is unwired.
//!
//! The backup is always the file **without us**: as it was before the first time, or, when others
//! edited it since, as it would be after `--remove`. So it never has to be guessed which of two
//! entries somebody wrote by hand, and putting it back by hand is an unwiring too.

use super::file::HostFile;
use super::{Document, Flaw, WireError};

/// What a file becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is in it now; none when there is no file.
    pub before: Option<String>,
    /// What will be in it; none when it goes away.
    pub after: Option<String>,
    /// What becomes of its backup.
    pub backup: Backup,
}

/// What becomes of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backup {
    /// It holds this.
    Is(String),
    /// It stays as it is.
    Stays,
    /// It is of no more use.
    Gone,
}

impl Change {
    /// Whether anything is to be done.
    pub fn is_empty(&self) -> bool {
        self.before == self.after
    }
}

/// The file with our piece as it has to be.
pub fn wired(document: &dyn Document, file: &HostFile) -> Result<Change, WireError> {
    plan_wired(document, file.text(), file.backup()).map_err(|f| f.of(file.path()))
}

/// The file with everything we put in taken out again.
pub fn removed(document: &dyn Document, file: &HostFile) -> Result<Change, WireError> {
    plan_removed(document, file.text(), file.backup()).map_err(|f| f.of(file.path()))
}

fn plan_wired(
    document: &dyn Document,
    text: Option<&str>,
    backup: Option<&str>,
) -> Result<Change, Flaw> {
    let after = document.wire(text.unwrap_or_else(|| document.blank()))?;
    let keep = match text {
        // A backup with something in it is the only copy of a file that somebody deleted.
        None => match backup {
            Some(held) if !held.is_empty() => Backup::Stays,
            _ => Backup::Is(String::new()),
        },
        Some(text) => Backup::Is(without_us(document, text, backup)?),
    };
    Ok(Change {
        before: text.map(str::to_owned),
        after: Some(after),
        backup: keep,
    })
}

/// A file as it is without us, told by the backup of the last time.
fn without_us(document: &dyn Document, text: &str, backup: Option<&str>) -> Result<String, Flaw> {
    let Some(ours) = document.piece(text)? else {
        return Ok(text.to_owned());
    };
    let Some(backup) = backup else {
        // No trace of us: somebody wired it by hand.
        return Ok(text.to_owned());
    };
    if theirs(document, backup).as_ref() == Some(&ours) {
        return Ok(text.to_owned());
    }
    Ok(undone(document, text, &ours, backup)?.unwrap_or_else(|| backup.to_owned()))
}

/// What somebody had written by hand in our place, as the backup has it.
fn theirs(document: &dyn Document, backup: &str) -> Option<String> {
    // A backup that cannot be read any more tells nothing.
    document.piece(backup).ok().flatten()
}

/// The file as it was before us; none when there was no file.
fn undone(
    document: &dyn Document,
    text: &str,
    ours: &str,
    backup: &str,
) -> Result<Option<String>, Flaw> {
    let was = if backup.is_empty() {
        document.blank()
    } else {
        backup
    };
    if document.put(was, ours).is_ok_and(|again| again == text) {
        // Nobody else touched it.
        return Ok((!backup.is_empty()).then(|| backup.to_owned()));
    }
    let kept = match theirs(document, backup) {
        Some(theirs) => document.put(text, &theirs)?,
        None => document.take(text)?,
    };
    Ok(Some(kept))
}

fn plan_removed(
    document: &dyn Document,
    text: Option<&str>,
    backup: Option<&str>,
) -> Result<Change, Flaw> {
    let nothing = Change {
        before: text.map(str::to_owned),
        after: text.map(str::to_owned),
        backup: Backup::Stays,
    };
    let Some(text) = text else { return Ok(nothing) };
    let Some(ours) = document.piece(text)? else {
        return Ok(nothing);
    };
    // Without a trace of us, somebody wired it by hand: not ours to take out.
    let Some(held) = backup else {
        return Ok(nothing);
    };
    let after = undone(document, text, &ours, held)?;
    let same = after.as_deref().unwrap_or_default() == held;
    let backup = if same { Backup::Gone } else { Backup::Stays };
    Ok(Change {
        after,
        backup,
        ..nothing
    })
}
