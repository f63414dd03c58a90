//! What keeps a suite from running at all. A check that fails is no error: it is in the report.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::problem::{Exit, Problem};

/// A suite's own failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// A file or folder of ours cannot be used.
    #[error("{what}: {cause}")]
    Input {
        /// Which.
        what: String,
        /// Why not.
        cause: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// A secret would go to an address in the clear.
    #[error("{what} would travel unencrypted to the address after {flag}")]
    Plaintext {
        /// The secret.
        what: &'static str,
        /// Where the address was named.
        flag: &'static str,
    },
    /// Whoever answers is not the server that the tokens are for; it was sent none.
    #[error("{0}; it was sent no token")]
    Stranger(String),
    /// Whoever answers takes none of the kit's tokens.
    #[error("{url} does not take this kit's tokens: {cause}")]
    KitUnknown {
        /// Who was asked.
        url: String,
        /// Its words.
        cause: String,
    },
    /// The operator's own tools connect there, and hosts do not.
    #[error("the operator's port of the server answers at {0}, and hosts call another")]
    OperatorPort(String),
    /// The server gave no answer.
    #[error("{url} cannot be reached: {cause}")]
    Unreachable {
        /// Where it was sent.
        url: String,
        /// What the network said.
        cause: String,
    },
    /// The server answers, and not in the shape that the contract fixes.
    #[error("{what}: {cause}")]
    Protocol {
        /// Which answer.
        what: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A child process of the proof failed.
    #[error("`agentkeys {what}` failed: {cause}")]
    Child {
        /// Its command, without secrets.
        what: String,
        /// Its own last words.
        cause: String,
    },
    /// Whoever ran it ended it; what it had changed is back as it was.
    #[error("interrupted")]
    Interrupted,
    /// A run ended early, and something it had changed could not be put back.
    #[error("{step}: not put back: {cause}")]
    Unrestored {
        /// The step that failed.
        step: &'static str,
        /// What is not as it was, and why the run ended.
        cause: String,
    },
    /// The authority refused what the kit needs.
    #[error("{what} was refused ({code}): {cause}")]
    Refused {
        /// The step.
        what: String,
        /// The authority's code.
        code: String,
        /// Its words.
        cause: String,
    },
}

impl AcceptError {
    pub(super) fn input(what: &Path, cause: impl std::fmt::Display) -> Self {
        Self::input_with(what, cause, "correct what is named here, or name another")
    }

    pub(super) fn input_with(
        what: &Path,
        cause: impl std::fmt::Display,
        fix: &'static str,
    ) -> Self {
        Self::Input {
            what: what.display().to_string(),
            cause: cause.to_string(),
            fix,
        }
    }

    /// Whether no suite that speaks for a kit gets any further.
    pub const fn ends_every_suite(&self) -> bool {
        matches!(self, Self::KitUnknown { .. } | Self::OperatorPort(_))
    }

    /// An error as soon as a run is to end.
    pub(super) fn going_on(stop: &CancellationToken) -> Result<(), Self> {
        if stop.is_cancelled() {
            return Err(Self::Interrupted);
        }
        Ok(())
    }

    pub(super) fn protocol(what: &str, cause: impl Into<String>) -> Self {
        Self::Protocol {
            what: what.to_owned(),
            cause: cause.into(),
        }
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        let (exit, code, fix) = match &error {
            AcceptError::Input { fix, .. } => {
                (Exit::Config, "agentkeys.accept.input_invalid", *fix)
            }
            AcceptError::KitUnknown { .. } => (
                Exit::Config,
                "agentkeys.accept.kit_unknown",
                "make one in the data folder of that server, `agentkeys accept kit --out DIR`: this one was made in another, is over after its 24 hours, or was removed",
            ),
            AcceptError::OperatorPort(_) => (
                Exit::Config,
                "agentkeys.accept.operator_port",
                "give the address that hosts call: `[server] listen`, by default http://127.0.0.1:8088",
            ),
            AcceptError::Plaintext { .. } => (
                Exit::Config,
                "agentkeys.accept.plaintext_refused",
                "give its https:// address",
            ),
            AcceptError::Stranger(_) => (
                Exit::Acceptance,
                "agentkeys.accept.another_server",
                "send this name to the server that the kit was made for, in the proxy or the DNS record, or make a kit in the folder of the server that is there",
            ),
            AcceptError::Unreachable { .. } => (
                Exit::Unreachable,
                "agentkeys.accept.unreachable",
                "check the address, that the server runs, and its certificate (`--ca-file` for a private one)",
            ),
            AcceptError::Protocol { .. } => (
                Exit::Acceptance,
                "agentkeys.accept.protocol",
                "the server's answer has not the shape that the contract fixes; correct the server",
            ),
            AcceptError::Child { .. } => (
                Exit::Acceptance,
                "agentkeys.accept.child_failed",
                "read its last words above; the same command can be run by hand",
            ),
            AcceptError::Interrupted => {
                (Exit::Interrupted, "agentkeys.interrupted", "run it again")
            }
            AcceptError::Unrestored { .. } => (
                Exit::Acceptance,
                "agentkeys.accept.not_restored",
                "look with `agentkeys actor show` and `agentkeys budget show`, and give back by hand: `actor grant`, `budget release`",
            ),
            AcceptError::Refused { .. } => (
                Exit::Failed,
                "agentkeys.accept.kit_refused",
                "make the kit in the folder of the server under proof, with `--dir`",
            ),
        };
        Self::new(exit, code, error.to_string(), fix)
    }
}
