//! Why a policy was not loaded.

/// Which part of a policy is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyErrorKind {
    /// The folder or a file could not be read, or does not belong there.
    Read,
    /// The schema is missing, does not parse, or asks for facts that are not sent.
    Schema,
    /// A rule does not parse.
    Syntax,
    /// A rule does not fit the schema, or could never apply.
    Validation,
    /// A rule's annotations are wrong.
    Annotation,
}

/// What is wrong with a policy, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {what}; {fix}", line.map(|n| format!(":{n}")).unwrap_or_default())]
pub struct PolicyError {
    /// Which part.
    pub kind: PolicyErrorKind,
    /// File inside the policy folder, or the folder.
    pub file: String,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl PolicyError {
    /// An error without a line.
    pub(super) fn new(
        kind: PolicyErrorKind,
        file: &str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            file: file.to_owned(),
            line: None,
            what: what.into(),
            fix: fix.into(),
        }
    }

    /// The same with a line.
    pub(super) fn at(mut self, line: Option<usize>) -> Self {
        self.line = line;
        self
    }
}

/// The line (from 1) that a Cedar error points at.
pub(super) fn line_of(text: &str, error: &dyn miette::Diagnostic) -> Option<usize> {
    let offset = error.labels()?.next()?.offset();
    Some(line_at(text, offset))
}

/// The line (from 1) of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}
