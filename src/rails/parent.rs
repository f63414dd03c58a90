//! A parent's app: changes what a vendor may do for an actor, over HTTP with a parent's token.

use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;

use super::RailError;
use super::wire::{self, CaFile};
use crate::secret::Secret;
use crate::text::clean_to;

/// How long reaching the server may take.
const CONNECT: Duration = Duration::from_secs(10);
/// One change.
const DEADLINE: Duration = Duration::from_secs(30);

/// What can be changed.
pub const CHANGES: [&str; 4] = ["grant", "ungrant", "release", "erase"];

/// A server and a parent of one of its actors.
#[derive(Debug)]
pub struct ParentApp {
    http: reqwest::Client,
    base: Url,
    token: Secret<String>,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// What the server answered.
    pub answer: Value,
    /// Status of the answer.
    pub http_status: u16,
    /// Milliseconds until it was read.
    pub ms: u64,
}

impl ParentApp {
    /// `url` is the server's address, with or without `/mcp`.
    pub fn new(url: &str, token: Secret<String>, ca: &CaFile) -> Result<Self, RailError> {
        let mut base = wire::parse_url("`url`", url)?;
        wire::no_plaintext("`url`", &base, "the token")?;
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix("/mcp").unwrap_or(path).to_owned();
        base.set_path(&path);
        Ok(Self {
            http: wire::client(&base, CONNECT, ca)?,
            base,
            token,
        })
    }

    /// Makes one change; what the server refuses is an error.
    pub async fn change(
        &self,
        actor: &str,
        change: &str,
        body: &Value,
    ) -> Result<Changed, RailError> {
        let what = format!("the {change}");
        if !CHANGES.contains(&change) {
            return Err(RailError::Input {
                what: "`change`".to_owned(),
                cause: format!("is one of {}", CHANGES.join(", ")),
            });
        }
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "actors", actor, change]);
        }
        let started = Instant::now();
        let sent = self.post(&what, &url, body);
        let (status, answer) =
            tokio::time::timeout(DEADLINE, sent)
                .await
                .map_err(|_| RailError::Timeout {
                    what: what.clone(),
                    seconds: DEADLINE.as_secs(),
                })??;
        if status != 200 {
            let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
            return Err(RailError::Http {
                what,
                status,
                message: clean_to(text("/error/message").unwrap_or_default(), 300),
                code: text("/error/data/code").map(|code| clean_to(code, 80)),
            });
        }
        Ok(Changed {
            answer,
            http_status: status,
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn post(&self, what: &str, url: &Url, body: &Value) -> Result<(u16, Value), RailError> {
        let request = self.http.post(url.clone());
        let sent = request.bearer_auth(self.token.expose()).json(body).send();
        let mut response = sent.await.map_err(|e| wire::unreachable(url, &e))?;
        let status = response.status().as_u16();
        let bytes = wire::body(what, url, &mut response).await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }
}
