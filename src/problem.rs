//! What went wrong, for the person who has to act on it: a stable code, a cause and a fix.

use std::fmt;

/// Process exit codes. Public contract; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Ok = 0,
    /// Something failed that no more specific code describes.
    Failed = 1,
    /// The command line was not understood.
    Usage = 2,
    /// The configuration or the data folder is wrong.
    Config = 3,
    /// A credential was missing or refused.
    Auth = 4,
    /// The policy said no.
    Refused = 5,
    /// An acceptance check failed, or drift was found.
    Acceptance = 6,
    /// The audit log or a bundle does not verify.
    AuditInvalid = 7,
    /// The other side could not be reached.
    Unreachable = 8,
    /// Stopped by ctrl-c.
    Interrupted = 130,
}

/// An error as an operator sees it.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Which exit code the process ends with.
    pub exit: Exit,
    /// Stable, dotted, `agentkeys.<area>.<what>`.
    pub code: &'static str,
    /// What happened, as a sentence without a full stop.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
    /// The name that nobody has, as it was typed.
    pub typed: Option<String>,
}

impl Problem {
    /// A problem with its exit code, stable code, cause and fix.
    pub fn new(
        exit: Exit,
        code: &'static str,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            code,
            cause: cause.into(),
            fix: fix.into(),
            typed: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({})\n  fix: {}",
            crate::text::clean(&self.cause),
            self.code,
            crate::text::clean(&self.fix)
        )
    }
}

impl std::error::Error for Problem {}
