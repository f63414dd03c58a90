//! What stops the anchor, kept for whoever asks another process than the one that anchors.

use super::halt::Halt;
use super::sender::StepError;
use serde::{Deserialize, Serialize};

/// A reason why nothing gets on, until something does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    /// A stable code.
    pub code: String,
    /// What happened, as a sentence without a full stop.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
    /// Since when, Unix milliseconds.
    pub at_ms: i64,
}

impl Trouble {
    /// Nothing can be sent until somebody does something.
    pub fn halt(halt: &Halt, at_ms: i64) -> Self {
        Self::new(halt.code(), halt.to_string(), halt.fix(), at_ms)
    }

    /// It is tried again.
    pub fn error(error: &StepError, at_ms: i64) -> Self {
        Self::new(error.code(), error.to_string(), error.fix(), at_ms)
    }

    /// From its words.
    pub fn new(code: &str, cause: String, fix: &str, at_ms: i64) -> Self {
        Self {
            code: code.to_owned(),
            cause,
            fix: fix.to_owned(),
            at_ms,
        }
    }

    /// Whether it is the same trouble, whenever it began.
    pub fn is_still(&self, other: &Self) -> bool {
        (&self.code, &self.cause) == (&other.code, &other.cause)
    }
}
