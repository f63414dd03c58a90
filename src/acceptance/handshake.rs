//! Suite `handshake`: what a host meets before its first tool call, in every protocol version, and
//! what anyone may ask a server: its health, its keys, what it took back.

mod door;
mod published;
mod versions;

use reqwest::Method;
use serde_json::Value;

use super::client::{Client, Headers, Reply, value};
use super::kit::{Kit, TokenKind, TokenState};
use super::mcp::credentials;
use super::report::{Check, Report};
use super::{AcceptError, Trust};

/// The suite's name.
pub const SUITE: &str = "handshake";
/// How often it waits for the bound on calls.
const MOST_WAITS: usize = 3;
const BOTH: &str = "application/json, text/event-stream";

/// Runs the suite. It changes nothing, and leaves a row only where it is refused.
pub async fn run(
    url: &str,
    kit: &Kit,
    trust: &Trust,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Report, AcceptError> {
    let client = Client::new(url, trust, kit.authority()).await?;
    let held = kit.token(&kit.vendors.plain, TokenState::Active, TokenKind::Pinned)?;
    let mut suite = Suite {
        client: &client,
        who: credentials(held.text.expose(), None),
        checks: Vec::new(),
    };
    progress("what anyone may ask");
    suite.published().await?;
    progress("each protocol version");
    suite.versions().await?;
    progress("what hosts send");
    suite.door().await?;
    let mut report = Report::new(SUITE, client.base());
    report.checks = suite.checks;
    Ok(report)
}

struct Suite<'a> {
    client: &'a Client,
    /// Bearer of the kit's vendor on no particular rail, which names its actor itself.
    who: Headers,
    checks: Vec<Check>,
}

/// An answer with its body as it came.
struct Answer {
    reply: Reply,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.reply.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    fn at(&self, pointer: &str) -> Option<&Value> {
        self.reply.json.pointer(pointer)
    }

    /// In one line for a report.
    fn told(&self) -> String {
        let kind = self.header("content-type");
        let location = self.header("location");
        match (kind, location) {
            ("", "") => self.reply.told(),
            (kind, "") => format!("{}, {kind}", self.reply.told()),
            (_, to) => format!("HTTP {} to {to}", self.reply.status),
        }
    }
}

impl Suite<'_> {
    /// Sends a message as a host does: JSON, reading JSON and streams.
    async fn message(
        &self,
        path: &str,
        more: Headers,
        body: &Value,
    ) -> Result<Answer, AcceptError> {
        let named = |name: &str| more.iter().any(|(n, _)| *n == name);
        let mut headers = self.who.clone();
        for (name, usual) in [("accept", BOTH), ("content-type", "application/json")] {
            if !named(name) {
                headers.push((name, value(usual)));
            }
        }
        headers.extend(more.into_iter().filter(|(_, v)| !v.is_empty()));
        let body = body.to_string().into_bytes();
        self.ask(Method::POST, path, &headers, body).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &Headers,
        body: Vec<u8>,
    ) -> Result<Answer, AcceptError> {
        for _ in 0..MOST_WAITS {
            let (reply, body) = self
                .client
                .bare(method.clone(), path, headers, body.clone())
                .await?;
            // Suites that ran a moment ago used the same token.
            match reply.retry_after() {
                Some(left) => tokio::time::sleep(left).await,
                None => return Ok(Answer { reply, body }),
            }
        }
        let (reply, body) = self.client.bare(method, path, headers, body).await?;
        Ok(Answer { reply, body })
    }

    fn check(&mut self, id: &str, holds: bool, expected: &str, answer: &Answer, fix: &str) {
        self.judged(id, (!holds).then(|| answer.told()), expected, fix);
    }

    fn judged(&mut self, id: &str, amiss: Option<String>, expected: &str, fix: &str) {
        let id = format!("{SUITE}/{id}");
        let holds = amiss.is_none();
        let got = amiss.unwrap_or_else(|| expected.to_owned());
        self.checks.push(Check::of(id, holds, expected, &got, fix));
    }
}
