//! The feed of an authority elsewhere, followed over its `/v1/audit/stream`: through restarts of
//! that server, without a gap and without a repeat.

use super::Filters;
use super::sink::Sink;
use crate::cli::args::token_file;
use crate::operate::text;
use crate::problem::{Exit, Problem};
use crate::rails::CaFile;
use crate::rails::wire::{self, SseEvents};
use crate::secret::Secret;
use backon::BackoffBuilder as _;
use clap::Args;
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Where the log is, when it is not in this machine's folder.
#[derive(Debug, Args)]
pub struct Elsewhere {
    /// Read from this server instead of the data folder.
    #[arg(long, value_name = "U", requires = "token_file")]
    pub url: Option<String>,
    /// A viewer's, parent's or auditor's token, alone in a file of your own.
    #[arg(long, value_name = "F", requires = "url")]
    pub token_file: Option<PathBuf>,
    /// A further certificate authority to trust.
    #[arg(long, value_name = "F", requires = "url")]
    pub ca_file: Option<PathBuf>,
}

/// How long reaching the server may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an open feed may be silent: the server says that it lives every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// The largest event that is read, and the largest page.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// One server's log, and where to go on in it.
#[derive(Clone)]
pub(in crate::cli) struct Feed {
    http: reqwest::Client,
    base: Url,
    token: Secret<String>,
    filters: Vec<(&'static str, String)>,
    next: u64,
}

/// Why a feed ended.
enum End {
    /// It may be there again in a moment.
    Gone(String),
    /// It will not.
    Final(Problem),
}

/// From a tenth of a second up to ten, without end.
fn waits() -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(10))
        .with_jitter()
        .without_max_times()
        .build()
}

impl Feed {
    /// Of the server at an address; asks it nothing yet.
    pub(in crate::cli) fn open(
        at: &Elsewhere,
        url: &str,
        filters: &Filters,
    ) -> Result<Self, Problem> {
        let file = at.token_file.as_deref().unwrap_or_else(|| "".as_ref());
        Self::at(url, at.ca_file.as_deref(), token_file(file)?, filters)
    }

    /// The same with a token at hand.
    pub(in crate::cli) fn at(
        url: &str,
        ca_file: Option<&Path>,
        token: Secret<String>,
        filters: &Filters,
    ) -> Result<Self, Problem> {
        let base = wire::parse_url("--url", url)?;
        if base.scheme() == "http" && !base.host_str().is_some_and(wire::is_loopback) {
            return Err(Problem::new(
                Exit::Config,
                "agentkeys.audit.plaintext_refused",
                "the token would travel unencrypted to the address after --url",
                "give its https:// address",
            ));
        }
        let ca = ca_file.map(CaFile::read).transpose()?;
        Ok(Self {
            http: wire::client(&base, CONNECT, &ca.unwrap_or_default())?,
            token,
            filters: filters.query(),
            base,
            next: 0,
        })
    }

    /// The server, as people read it.
    pub(in crate::cli) fn place(&self) -> String {
        wire::bare(&self.base)
    }

    /// The newest events, then each as it happens, through restarts of the server.
    pub(in crate::cli) async fn tail(
        &mut self,
        to: &mut impl Sink,
        limit: u32,
        follow: bool,
    ) -> Result<(), Problem> {
        match self.newest(to, limit).await {
            Ok(()) => {}
            Err(End::Final(problem)) => return Err(problem),
            Err(End::Gone(cause)) => return Err(self.unreachable(&cause)),
        }
        if !follow {
            return Ok(());
        }
        let mut waits = waits();
        let mut heard = Instant::now();
        loop {
            let from = self.next;
            let Err(end) = self.follow(to, &mut heard).await;
            let cause = match end {
                End::Final(problem) => return Err(problem),
                End::Gone(cause) => cause,
            };
            if self.next > from {
                waits = self::waits();
            }
            to.cut(Some(&gone(heard.elapsed(), &cause))).await?;
            tokio::time::sleep(waits.next().unwrap_or(SILENCE)).await;
        }
    }

    /// What the server answers at a path, once.
    pub(in crate::cli) async fn ask(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Value, Problem> {
        let answer = match self.get(path, &[], query).await {
            Ok(response) => body(response).await,
            Err(end) => Err(end),
        };
        answer.map_err(|end| match end {
            End::Final(problem) => problem,
            End::Gone(cause) => self.unreachable(&cause),
        })
    }

    async fn get(
        &self,
        path: &str,
        filters: &[(&str, String)],
        more: &[(&str, String)],
    ) -> Result<Response, End> {
        let mut url = self.base.clone();
        url.set_path(path);
        url.query_pairs_mut()
            .clear()
            .extend_pairs(filters.iter().map(|(k, v)| (*k, v)))
            .extend_pairs(more.iter().map(|(k, v)| (*k, v)));
        let request = self.http.get(url).bearer_auth(self.token.expose());
        let sent = tokio::time::timeout(SILENCE, request.send()).await;
        let response = sent
            .map_err(|_| End::Gone("it did not answer in time".to_owned()))?
            .map_err(|error| End::Gone(wire::chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // What is asked too often, or of a server that cannot say now, is asked again.
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(End::Gone(format!("it answered {status}")));
        }
        Err(End::Final(refused(status, response).await))
    }

    async fn newest(&mut self, to: &mut impl Sink, limit: u32) -> Result<(), End> {
        let most = limit.clamp(1, 1000).to_string();
        let newest = [("newest", "true".to_owned()), ("limit", most)];
        let response = self.get("/v1/audit/events", &self.filters, &newest).await?;
        let mut page = body(response).await?;
        if let Value::Array(events) = page["events"].take()
            && limit > 0
        {
            for event in events {
                to.event(event).await.map_err(End::Final)?;
            }
        }
        self.next = page["next_seq"].as_u64().unwrap_or(self.next);
        Ok(())
    }

    /// Each event from the next one on, until the feed ends; and when the server was last heard.
    async fn follow(
        &mut self,
        to: &mut impl Sink,
        heard: &mut Instant,
    ) -> Result<std::convert::Infallible, End> {
        let from = [("from_seq", self.next.to_string())];
        let mut response = self.get("/v1/audit/stream", &self.filters, &from).await?;
        to.cut(None).await.map_err(End::Final)?;
        let mut events = SseEvents::default();
        loop {
            let chunk = tokio::time::timeout(SILENCE, response.chunk()).await;
            let chunk = chunk.map_err(|_| End::Gone("it fell silent".to_owned()))?;
            let chunk = chunk.map_err(|error| End::Gone(wire::chain(&error)))?;
            *heard = Instant::now();
            let Some(chunk) = chunk else {
                return Err(End::Gone("the server closed it".to_owned()));
            };
            for data in events.push(&chunk) {
                let event: Value = serde_json::from_slice(&data)
                    .map_err(|_| End::Gone("it sent no event".to_owned()))?;
                let seq = event["seq"].as_u64().unwrap_or(0);
                if seq >= self.next {
                    to.event(event).await.map_err(End::Final)?;
                    self.next = seq.saturating_add(1);
                }
            }
            if events.pending() > MAX_BYTES {
                return Err(End::Gone("an event was too large".to_owned()));
            }
        }
    }

    fn unreachable(&self, cause: &str) -> Problem {
        let fix = if cause.contains(crate::tls::NO_TLS) {
            "write http:// before the address, or name the port that speaks TLS"
        } else {
            "look whether that server runs and is reached from here"
        };
        Problem::new(
            Exit::Unreachable,
            "agentkeys.audit.unreachable",
            format!("{} cannot be read: {cause}", wire::bare(&self.base)),
            fix,
        )
    }
}

/// That nothing is heard of the server, for how long, and the innermost reason.
fn gone(silent: Duration, cause: &str) -> String {
    let why = cause.rsplit(": ").next().unwrap_or(cause);
    match silent.as_secs() {
        0 => format!("server gone; trying again: {why}"),
        s => format!("server gone for {s} s; trying again: {why}"),
    }
}

async fn body(response: Response) -> Result<Value, End> {
    let whole = tokio::time::timeout(SILENCE, read(response)).await;
    whole.map_err(|_| End::Gone("its answer did not come to an end".to_owned()))?
}

async fn read(mut response: Response) -> Result<Value, End> {
    let mut bytes = Vec::new();
    let gone = |error: reqwest::Error| End::Gone(wire::chain(&error));
    while let Some(chunk) = response.chunk().await.map_err(gone)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BYTES {
            return Err(End::Gone("its answer was too large".to_owned()));
        }
    }
    serde_json::from_slice(&bytes).map_err(|_| End::Gone("its answer was no JSON".to_owned()))
}

async fn refused(status: StatusCode, response: Response) -> Problem {
    let body = body(response).await.unwrap_or(Value::Null);
    let said = text(&body["error"], "message");
    let said = if said.is_empty() {
        "there is no authority at this address"
    } else {
        said
    };
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Auth,
        _ => Exit::Failed,
    };
    Problem::new(
        exit,
        "agentkeys.audit.refused",
        format!("the server answered {status}: {said}"),
        "use the server's address and a token made by `agentkeys operator token create`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_gone_is_told_of_once_in_few_words() {
        let refused = "error sending request: client error (Connect): tcp connect error: \
                       Connection refused (os error 111)";
        assert_eq!(
            gone(Duration::from_millis(12_400), refused),
            "server gone for 12 s; trying again: Connection refused (os error 111)"
        );
        assert_eq!(
            gone(Duration::ZERO, "it fell silent"),
            "server gone; trying again: it fell silent"
        );
    }
}
