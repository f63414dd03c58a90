//! What somebody looked at, how it is and what to do: one vocabulary for `doctor`, `tls status` and
//! `/readyz`.

use crate::text::clean_to;
use serde_json::{Value, json};

/// The longest cause, in characters: what an authority says of a certificate may be long.
const MAX_CAUSE: usize = 800;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warn,
    /// It does not work.
    Failed,
    /// It was not looked at.
    Skipped,
}

impl Status {
    /// The word in an answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What was looked at.
    pub id: String,
    /// How it is.
    pub status: Status,
    /// What was seen, as a sentence.
    pub cause: String,
    /// What to do; empty when nothing.
    pub fix: String,
}

impl Finding {
    /// A finding.
    pub fn new(
        id: impl Into<String>,
        status: Status,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            status,
            cause: clean_to(&cause.into(), MAX_CAUSE),
            fix: fix.into(),
        }
    }

    /// One that needs nothing done.
    pub fn ok(id: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::new(id, Status::Ok, cause, "")
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({"id": self.id, "status": self.status.as_str(), "cause": self.cause, "fix": self.fix})
    }
}
