//! What can go wrong when a host drives a server, and how an operator hears of it.

use crate::problem::{Exit, Problem};

/// A rail's failure: what the host would have met, with the numbers a proof can quote.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RailError {
    /// A settings, plan, prompt or config file that the host would not accept either.
    #[error("{what}: {cause}")]
    Input {
        /// The file or entry.
        what: String,
        /// Why it fails, in the host's terms where the host has them.
        cause: String,
    },
    /// No answer could be had at all: name, connection or TLS.
    #[error("{url} cannot be reached: {cause}")]
    Unreachable {
        /// Where it was sent.
        url: String,
        /// What the network said.
        cause: String,
    },
    /// The deadline passed first.
    #[error("{what} did not finish within {seconds} s")]
    Timeout {
        /// The step.
        what: String,
        /// The deadline that passed.
        seconds: u64,
    },
    /// The server answered with a status that is not a success.
    #[error("{what} was answered with HTTP {status}: {message}")]
    Http {
        /// The step.
        what: String,
        /// The status.
        status: u16,
        /// The server's own words, cut.
        message: String,
        /// The server's stable code (`error.data.code` of MCP, `error.code` of Ark), if it sent one.
        code: Option<String>,
    },
    /// HTTP was fine, and the JSON-RPC answer was an error.
    #[error("{what} was answered with JSON-RPC error {code}: {message}")]
    Rpc {
        /// The step.
        what: String,
        /// JSON-RPC code.
        code: i64,
        /// JSON-RPC message.
        message: String,
        /// `error.data.code`, if the server sent one.
        data_code: Option<String>,
    },
    /// The answer is not what this host's own parser accepts.
    #[error("{what}: {cause}")]
    Protocol {
        /// The step.
        what: String,
        /// What was wrong with it.
        cause: String,
    },
    /// The host knows no such tool, so nothing was sent.
    #[error("the host knows no tool `{tool}`: {cause}")]
    UnknownTool {
        /// The name asked for.
        tool: String,
        /// Why it is not there.
        cause: String,
    },
}

impl RailError {
    /// The HTTP status that a refusal carried.
    pub const fn http_status(&self) -> Option<u16> {
        match self {
            Self::Http { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The server's stable code (`agentkeys.auth.…` from ours), if the answer had one.
    pub fn server_code(&self) -> Option<&str> {
        match self {
            Self::Http { code, .. } => code.as_deref(),
            Self::Rpc { data_code, .. } => data_code.as_deref(),
            _ => None,
        }
    }
}

impl From<RailError> for Problem {
    fn from(error: RailError) -> Self {
        let cause = error.to_string();
        match error {
            RailError::Input { .. } => Self::new(
                Exit::Config,
                "agentkeys.rails.input_invalid",
                cause,
                "correct the file; the host itself would fail on it too",
            ),
            RailError::Unreachable { .. } => Self::new(
                Exit::Unreachable,
                "agentkeys.rails.unreachable",
                cause,
                "check the address, that the server runs, and its certificate (`--ca-file` for a private one)",
            ),
            RailError::Timeout { .. } => Self::new(
                Exit::Unreachable,
                "agentkeys.rails.timeout",
                cause,
                "the host gives up at this moment too; look at the server's own log and latency",
            ),
            RailError::Http {
                status: 401 | 403, ..
            } => Self::new(
                Exit::Auth,
                "agentkeys.rails.refused",
                cause,
                "check the token and the actor header in the host's settings",
            ),
            RailError::Http { .. } | RailError::Rpc { .. } => Self::new(
                Exit::Failed,
                "agentkeys.rails.error_answer",
                cause,
                "read the server's message; its log has the row of this request",
            ),
            RailError::Protocol { .. } => Self::new(
                Exit::Failed,
                "agentkeys.rails.protocol",
                cause,
                "the server's answer breaks this host; correct the server",
            ),
            RailError::UnknownTool { .. } => Self::new(
                Exit::Failed,
                "agentkeys.rails.unknown_tool",
                cause,
                "use a name from the tools step of this run",
            ),
        }
    }
}
