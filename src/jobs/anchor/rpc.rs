//! JSON-RPC 2.0 over HTTP to a node of a chain. A node is not trusted with anything but the chain's
//! own facts: every answer is bounded in time and size and read strictly.

use crate::rails::wire;
use crate::secret::Secret;
use crate::text::clean_to;
use reqwest::Url;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(5);
/// From sending to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(15);
/// A contract's code is at most 48 KiB as hex, a large block's list of transactions some 200 KiB.
const MAX_BODY: usize = 1024 * 1024;
/// JSON-RPC's own code for a method a node does not have.
const METHOD_NOT_FOUND: i64 = -32601;

/// Whether a node may be spoken to without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plain {
    /// On this machine only.
    #[default]
    Loopback,
    /// Anywhere: somebody on the way can then lie about the chain, and read the key in the address.
    Anywhere,
}

/// Why there is no answer to use. Never tells more of the node's address than scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// Not an address of a node.
    #[error("the node's address is not usable: {0}")]
    Address(&'static str),
    /// No connection, or it broke.
    #[error("the node at {place} cannot be reached: {cause}")]
    Unreachable {
        /// Scheme, host and port.
        place: String,
        /// What the network said.
        cause: String,
    },
    /// No whole answer in time.
    #[error("the node at {place} did not answer `{method}` in time")]
    Late {
        /// Scheme, host and port.
        place: String,
        /// What was asked.
        method: &'static str,
    },
    /// An HTTP status without a JSON-RPC answer.
    #[error("the node at {place} answered `{method}` with HTTP {status}")]
    Http {
        /// Scheme, host and port.
        place: String,
        /// What was asked.
        method: &'static str,
        /// The status.
        status: u16,
    },
    /// Not a JSON-RPC answer to what was asked, or not one that can be meant.
    #[error("the node at {place} answered `{method}` with {what}")]
    Malformed {
        /// Scheme, host and port.
        place: String,
        /// What was asked.
        method: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The node refused.
    #[error("the node refused `{method}`: {message} ({code})")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// JSON-RPC code.
        code: i64,
        /// The node's words, cleaned.
        message: String,
    },
}

impl RpcError {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Address(_) => "agentkeys.anchor.node_address",
            Self::Unreachable { .. } => "agentkeys.anchor.node_unreachable",
            Self::Late { .. } => "agentkeys.anchor.node_late",
            Self::Http { .. } => "agentkeys.anchor.node_http",
            Self::Malformed { .. } => "agentkeys.anchor.node_malformed",
            Self::Refused { .. } => "agentkeys.anchor.node_refused",
        }
    }

    /// What to do about it.
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::Address(_) => {
                "write an https:// address, or http:// of this machine; see `anchor` in the configuration"
            }
            Self::Unreachable { .. } | Self::Late { .. } | Self::Http { .. } => {
                "it is tried again; look at the node, its address and its key"
            }
            Self::Malformed { .. } => "look whether the address is that of a JSON-RPC node",
            Self::Refused { .. } => "it is tried again; read the node's words",
        }
    }

    /// Whether the node does not know the method.
    pub const fn is_unknown_method(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: METHOD_NOT_FOUND,
                ..
            }
        )
    }
}

/// A client of one node.
#[derive(Debug)]
pub struct Rpc {
    http: reqwest::Client,
    /// Whole, with the key that providers put into path, query or user.
    url: Secret<Url>,
    place: String,
    deadline: Duration,
    next_id: AtomicU64,
}

impl Rpc {
    /// A client for an address. Nothing is sent yet.
    pub fn new(address: &Secret<String>, plain: Plain) -> Result<Self, RpcError> {
        let url = Url::parse(address.expose()).map_err(|_| RpcError::Address("it is no URL"))?;
        let host = url.host_str().ok_or(RpcError::Address("it has no host"))?;
        match url.scheme() {
            "https" => {}
            "http" if plain == Plain::Anywhere || wire::is_loopback(host) => {}
            "http" => return Err(RpcError::Address("http only reaches this machine")),
            _ => return Err(RpcError::Address("it is neither https nor http")),
        }
        let ca = crate::rails::CaFile::default();
        Ok(Self {
            http: wire::client(&url, CONNECT, &ca)
                .map_err(|_| RpcError::Address("TLS cannot be set up"))?,
            place: url.origin().ascii_serialization(),
            url: Secret::new(url),
            deadline: DEADLINE,
            next_id: AtomicU64::new(1),
        })
    }

    /// Scheme, host and port of the node: what may be shown.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Asks, and returns the `result`.
    pub async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcError> {
        let late = || RpcError::Late {
            place: self.place.clone(),
            method,
        };
        let done = tokio::time::timeout(self.deadline, self.ask(method, params)).await;
        done.unwrap_or_else(|_| Err(late()))
    }

    /// An answer that cannot be meant.
    pub(super) fn malformed(&self, method: &'static str, what: &'static str) -> RpcError {
        RpcError::Malformed {
            place: self.place.clone(),
            method,
            what,
        }
    }

    async fn ask(&self, method: &'static str, params: Value) -> Result<Value, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let request = self.http.post(self.url.expose().clone()).json(&body);
        let mut response = request.send().await.map_err(|e| self.unreachable(e))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(e))? {
            if bytes.len() + chunk.len() > MAX_BODY {
                return Err(self.malformed(method, "more than 1 MiB"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        // Some providers send their JSON-RPC errors with a status to match.
        let read = self.read(method, id, answer);
        match read {
            Err(RpcError::Malformed { .. }) | Ok(_) if !status.is_success() => {
                Err(RpcError::Http {
                    place: self.place.clone(),
                    method,
                    status: status.as_u16(),
                })
            }
            read => read,
        }
    }

    fn read(&self, method: &'static str, id: u64, mut answer: Value) -> Result<Value, RpcError> {
        let wrong = |what| Err(self.malformed(method, what));
        if answer.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return wrong("what is not JSON-RPC 2.0");
        }
        let error = answer.get("error").filter(|error| !error.is_null());
        // A node that could not even read the id answers with null.
        match answer.get("id") {
            Some(Value::Null) if error.is_some() => {}
            Some(answered) if answered.as_u64() == Some(id) => {}
            _ => return wrong("the answer to another question"),
        }
        if let Some(error) = error {
            let message = error.get("message").and_then(Value::as_str);
            return Err(RpcError::Refused {
                method,
                code: error.get("code").and_then(Value::as_i64).unwrap_or(0),
                message: self.veiled(message.unwrap_or("without words")),
            });
        }
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => wrong("neither a result nor an error"),
        }
    }

    /// A node's words, cleaned, and without the key: some providers repeat it in their errors.
    fn veiled(&self, words: &str) -> String {
        let url = self.url.expose();
        let path = url.path_segments().into_iter().flatten();
        let query = url.query().unwrap_or_default().split(['&', '=']);
        let user = [url.username(), url.password().unwrap_or_default()];
        let secrets = path.chain(query).chain(user);
        // A shorter one is a word such as `v2`.
        let veiled = secrets
            .filter(|secret| secret.len() >= 8)
            .fold(words.to_owned(), |words, secret| {
                words.replace(secret, "•••")
            });
        clean_to(&veiled, 200)
    }

    fn unreachable(&self, error: reqwest::Error) -> RpcError {
        RpcError::Unreachable {
            place: self.place.clone(),
            cause: wire::chain(&error.without_url()),
        }
    }
}

#[cfg(test)]
mod tests;
